"""What it costs to load the extension and to sign in, each in a fresh process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import PREAMBLE, Row, in_turn, ratio

ROUNDS = 25

_SHELL = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
def run(cell):
    shell.run_cell(cell).raise_error()
"""
_TIMED = """
started = time.perf_counter()
run({cell!r})
seconds = time.perf_counter() - started
import psutil
print("measured", seconds, psutil.Process().memory_info().rss)
"""
_FORBIDDEN = ["grpc", "google.protobuf", "ipywidgets", "anywidget", "yaml", "keyring"]
_BY_HAND = (
    PREAMBLE
    + """
me = resources_pb2.UserAppIDSet(user_id="me")
response = stub.GetUser(service_pb2.GetUserRequest(user_app_id=me), metadata=metadata)
assert response.status.code == status_code_pb2.SUCCESS
"""
)


def _fresh(cell: str, before: str = "pass", path: str = "") -> tuple[float, float]:
    """Seconds that a cell takes in a new process, and its resident bytes afterwards."""
    program = _SHELL + f"sys.path.insert(0, {path!r})\nrun({before!r})\n" + _TIMED.format(cell=cell)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""},  # as users have it
    )
    seconds, resident = done.stdout.rpartition("measured ")[2].split()
    return float(seconds), float(resident)


def loading() -> list[Row]:
    """`%load_ext clarifai_magic` against an extension that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "empty_extension.py").write_text("def load_ipython_extension(shell): pass\n")
        ours, peer = in_turn(
            ROUNDS,
            lambda: 1000 * _fresh("%load_ext clarifai_magic")[0],
            lambda: 1000 * _fresh("%load_ext empty_extension", path=folder)[0],
        )
    more = statistics.median(a - b for a, b in zip(ours, peer, strict=True))
    imported = (
        "%load_ext clarifai_magic\nimport sys\n"
        f"assert not [name for name in {_FORBIDDEN!r} if name in sys.modules]"
    )
    _fresh(imported)
    return [
        Row(
            "`%load_ext clarifai_magic` against an empty extension; the figure is ms more",
            f"{statistics.median(ours):.1f} ms",
            f"{statistics.median(peer):.1f} ms",
            more,
            6,
        )
    ]


def signing_in() -> list[Row]:
    """`%clarifai_auth` from the environment against the preamble and one GetUser."""
    memory: dict[bool, list[float]] = {True: [], False: []}

    def measured(ours: bool) -> float:
        if ours:
            seconds, resident = _fresh("%clarifai_auth", before="%load_ext clarifai_magic")
        else:
            seconds, resident = _fresh(_BY_HAND)
        memory[ours].append(resident / 2**20)
        return 1000 * seconds

    ours, peer = in_turn(ROUNDS, lambda: measured(True), lambda: measured(False))
    return [
        Row(
            "sign-in from the environment against the hand-written preamble and GetUser",
            f"{statistics.median(ours):.0f} ms",
            f"{statistics.median(peer):.0f} ms",
            ratio(ours, peer),
            1.05,
        ),
        Row(
            "memory of the process after that; the figure is MiB more",
            f"{statistics.median(memory[True]):.1f} MiB",
            f"{statistics.median(memory[False]):.1f} MiB",
            statistics.median(memory[True]) - statistics.median(memory[False]),
            1,
        ),
    ]
