"""What the guard costs: CPU of a kernel that prints, guarded against not, in turn."""

from __future__ import annotations

import statistics
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager
from measuring import Row, in_turn, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 21
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
# Of prints of 100 kB, and of a result, the kernel itself only makes copies: one pass over each byte
# is a tenth of that. Those figures are told, and not held against a budget.
OUTPUTS = {
    "10 MB printed in lines of 100 characters": ("for _ in range(100_000): print(line)", 1.02),
    "10 MB in prints of 100 kB": ("for _ in range(100): print(block)", None),
    "one result of 10 MB": ("result", None),
}


def guarding() -> list[Row]:
    """A cell's output with the guard against the same without it."""
    rows = []
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
    before = _value(client, "time.process_time()")
    client.execute_interactive(cell, output_hook=lambda _message: None, timeout=120)
    return 1000 * (_value(client, "time.process_time()") - before)


def _value(client: Any, expression: str) -> float:
    reply = client.execute_interactive("", user_expressions={"value": expression}, timeout=60)
    return float(reply["content"]["user_expressions"]["value"]["data"]["text/plain"])
