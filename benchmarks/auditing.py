"""How fast the audit looks through notebooks, on one core, and how much memory that takes."""

from __future__ import annotations

import base64
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import Row

ROUNDS = 5
DIGESTS = 20_000
NOTEBOOKS = 60
_LEAST = 50  # MB a second
_MOST = 400  # MB of memory
MEASURE = """
import re, sys, time
from pathlib import Path
from clarifai_magic.audit.auditing import Scope, audit
begin = time.process_time()
found = list(audit(Scope((Path(sys.argv[1]),))))
print(len(found), time.process_time() - begin)
# What getrusage tells has the parent's memory in it.
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000)
"""


def auditing() -> list[Row]:
    """Notebooks with pictures, tables and code; one with a table of digests; one of 200 MB."""
    with tempfile.TemporaryDirectory() as folder:
        size = sum(_written(Path(folder) / f"{n}.ipynb") for n in range(NOTEBOOKS))
        times, memory = zip(*(_measured(folder) for _ in range(ROUNDS)), strict=True)
    speed = size / 1e6 / statistics.median(times)
    with tempfile.TemporaryDirectory() as folder:
        size = _digests(Path(folder) / "digests.ipynb")
        dense = size / 1e6 / statistics.median(_measured(folder)[0] for _ in range(ROUNDS))
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.ipynb"
        with large.open("w", encoding="utf-8") as file:
            file.writelines("x" * 99 + "\n" for _ in range(2_000_000))
        seconds, most = _measured(folder)
    return [
        Row(
            f"the audit of {NOTEBOOKS} notebooks with pictures; at least {_LEAST} MB/s",
            f"{speed:.0f} MB/s",
            "",
            _LEAST / speed,
            1,
        ),
        Row(
            "the same, memory in MB",
            f"{max(memory):.0f} MB",
            "",
            max(memory),
            _MOST,
        ),
        Row(
            f"a notebook with a table of {DIGESTS:,} digests; at least {_LEAST} MB/s",
            f"{dense:.0f} MB/s",
            "",
            _LEAST / dense,
            1,
        ),
        Row("a file of 200 MB", f"{200 / seconds:.0f} MB/s, {most:.0f} MB", "", most, _MOST),
    ]


def _measured(folder: str) -> tuple[float, float]:
    """Seconds of the processor, and the most memory in MB."""
    command = [sys.executable, "-c", MEASURE, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, seconds, memory = done.stdout.split()
    assert int(found)  # the key, or that the file is no notebook
    return float(seconds), float(memory)


def _written(file: Path) -> int:
    """A notebook of about 2 MB; the first has a key."""
    chance = random.Random(file.name)
    picture = base64.b64encode(chance.randbytes(900_000)).decode()
    rows = [f"{chance.random()}  {chance.random()}  name {n}\n" for n in range(8_000)]
    cells = [_cell("df", {"text": rows, "output_type": "stream", "name": "stdout"})]
    shown = {"data": {"image/png": picture}, "metadata": {}, "output_type": "display_data"}
    cells.append(_cell("plot(df)", shown))
    cells += [_cell(f"x = {n}\nprint(x + {n})\n" * 20) for n in range(100)]
    if file.stem == "0":
        cells.append(_cell(f"PAT = '{chance.getrandbits(128):032x}'"))
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return file.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _digests(file: Path) -> int:
    """A notebook of about 9 MB, with a key at its end."""
    chance = random.Random(file.name)
    rows = []
    for n in range(DIGESTS):
        numbers = " ".join(f"{chance.random():.6f}" for _ in range(43))
        rows.append(f"{n:6} {chance.getrandbits(128):032x} {numbers}\n")
    cells = [_cell("df", {"text": rows, "output_type": "stream", "name": "stdout"})]
    cells.append(_cell(f"PAT = '{chance.getrandbits(128):032x}'"))
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return file.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _cell(source: str, *outputs: object) -> dict[str, object]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": "code", "metadata": {}, "outputs": list(outputs), "source": lines}
