"""What the guard costs: CPU of a kernel that prints, guarded against not, in turn."""

from __future__ import annotations

import random
import statistics
import timeit
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager
from measuring import Row, in_turn, ratio

from clarifai_magic.redaction.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 21
KEYS = [f"{random.Random(n).getrandbits(128):032x}" for n in range(2)]
MESSAGE = (b'{"name": "stdout", "text": "epoch 12: loss 0.1234, accuracy 0.9876"}' * 2)[:100]
PREPARE = """
%load_ext clarifai_magic
%clarifai_auth
import time, random
line = "".join(random.Random(1).choices("0123456789abcdef ,.", k=99))
block = (line + chr(10)) * 1000
assert len(block) * 10 == 10**6
class Shown(str):
    __repr__ = str.__str__
result = Shown(block * 100)
"""
OUTPUTS = {
    "10 MB printed in lines of 100 characters": ("for _ in range(100_000): print(line)", 1.02),
    "10 MB in prints of 100 kB": ("for _ in range(100): print(block)", 1.08),
    "one result of 10 MB": ("result", 1.08),
}


def guarding() -> list[Row]:
    """A cell's output with the guard against the same without it, and the guard alone."""
    rows = _alone()
    with _kernel() as client:
        client.execute_interactive(PREPARE, timeout=60, output_hook=lambda _message: None)
        for what, (cell, budget) in OUTPUTS.items():
            ours, peer = in_turn(
                ROUNDS,
                lambda cell=cell: _cpu(client, cell, guarded=True),
                lambda cell=cell: _cpu(client, cell, guarded=False),
            )
            rows.append(
                Row(
                    f"{what}, guarded against unguarded, the kernel's CPU",
                    f"{statistics.median(ours):.0f} ms",
                    f"{statistics.median(peer):.0f} ms",
                    ratio(ours, peer),
                    budget,
                )
            )
    return rows


def _alone() -> list[Row]:
    """What it takes to be ready, and to look at a short message."""
    ready = min(timeit.repeat(lambda: Masker(KEYS), number=1, repeat=ROUNDS))
    masker = Masker(KEYS)
    text = MESSAGE * 1_000  # from here on it looks as it does for most of a session
    once = timeit.timeit(lambda: masker.data(text), number=1)
    once -= timeit.timeit(lambda: masker.data(text), number=1)
    each = min(timeit.repeat(lambda: masker.data(MESSAGE), number=1_000, repeat=ROUNDS)) / 1_000
    return [
        Row("the guard made ready, in ms", f"{ready * 1e3:.1f} ms", "", ready * 1e3, 10),
        Row("hyperscan made ready, once 32 kB were shown", f"{once * 1e3:.1f} ms", ""),
        Row("a message of 100 bytes, in µs", f"{each * 1e6:.1f} µs", "", each * 1e6, 3),
    ]


@contextmanager
def _kernel() -> Iterator[Any]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _cpu(client: Any, cell: str, *, guarded: bool) -> float:
    """Milliseconds of CPU that the kernel spends on a cell, its output sent."""
    client.execute_interactive(f"%config ClarifaiMagics.guard = {guarded}")
    # A new guard prepares hyperscan once, for all that follows.
    client.execute_interactive("print(block)", output_hook=lambda _message: None, timeout=120)
    before = _value(client, "time.process_time()")
    client.execute_interactive(cell, output_hook=lambda _message: None, timeout=120)
    return 1000 * (_value(client, "time.process_time()") - before)


def _value(client: Any, expression: str) -> float:
    reply = client.execute_interactive("", user_expressions={"value": expression}, timeout=60)
    return float(reply["content"]["user_expressions"]["value"]["data"]["text/plain"])
