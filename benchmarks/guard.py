"""What the guard costs: CPU of a kernel that prints 10 MB, guarded against not, in turn."""

from __future__ import annotations

import os
import statistics
import sys
from typing import Any

from jupyter_client.manager import KernelManager

from clarifai_magic.sandbox import Sandbox

BUDGET = 1.02
ROUNDS = 15
MEGABYTES = 10
PRINTS = {
    "lines of 100 characters": "for _ in range(100_000): print(line)",
    "prints of 100 kB": "for _ in range(100): print(block)",
}
PREPARE = f"""
%load_ext clarifai_magic
%clarifai_auth
import time, random
line = "".join(random.Random(1).choices("0123456789abcdef ,.", k=99))
block = (line + chr(10)) * 1000
assert len(block) * 100 == {MEGABYTES} * 10**6
"""


def cpu(client: Any, cell: str) -> float:
    """CPU seconds that the kernel's process spends on a cell, its output sent."""
    before = float(value(client, "time.process_time()"))
    client.execute_interactive(cell, output_hook=lambda _message: None, timeout=120)
    return float(value(client, "time.process_time()")) - before


def value(client: Any, expression: str) -> str:
    """An expression's value in the kernel, as text."""
    reply = client.execute_interactive("", user_expressions={"value": expression}, timeout=60)
    return reply["content"]["user_expressions"]["value"]["data"]["text/plain"]


def main() -> int:
    """Print a table; 1 if a budget is missed."""
    missed = 0
    print("| what | guard off, ms | guard on, ms | ratio | budget |\n|---|---|---|---|---|")
    with Sandbox() as sandbox:
        os.environ.update(CLARIFAI_PAT=sandbox.keys.pat, CLARIFAI_API_BASE=sandbox.base)
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute_interactive(PREPARE, timeout=60, output_hook=lambda _message: None)
        for name, cell in PRINTS.items():
            spent: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(ROUNDS):
                for guarded in (False, True):
                    client.execute_interactive(f"%config ClarifaiMagics.guard = {guarded}")
                    spent[guarded].append(cpu(client, cell) * 1000)
            off, on = (statistics.median(spent[guarded]) for guarded in (False, True))
            ratio = statistics.median(map(lambda a, b: a / b, spent[True], spent[False]))
            missed += ratio > BUDGET
            print(f"| {name} | {off:.0f} | {on:.0f} | {ratio:.3f} | {BUDGET} |")
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
