"""What the benchmarks share: a server in another process, measuring in turn, and a table."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

PREAMBLE = """
import os
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
HOST, PORT = os.environ["CLARIFAI_API_BASE"].removeprefix("http://").split(":")
channel = ClarifaiChannel.get_insecure_grpc_channel(HOST, int(PORT))
stub = service_pb2_grpc.V2Stub(channel)
metadata = (("authorization", "Key " + os.environ["CLARIFAI_PAT"]),)
userDataObject = resources_pb2.UserAppIDSet(
    user_id=os.environ["CLARIFAI_USER_ID"], app_id=os.environ["CLARIFAI_APP_ID"]
)
"""
"""What the documentation has people write by hand, with the key from the environment."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    what : str
        What was measured, and against what.
    ours, peer : str
        Both figures with their unit.
    ratio : float or None
        Ours over the peer's, or the figure that has a budget.
    budget : float or None
        What it may be at most; None for a figure that is only told.
    """

    what: str
    ours: str
    peer: str
    ratio: float | None = None
    budget: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the budget was missed."""
        return self.budget is not None and self.ratio is not None and self.ratio > self.budget


@contextmanager
def sandbox() -> Iterator[None]:
    """A sandbox in another process, and the environment that it prints."""
    command = [sys.executable, "-m", "clarifai_magic.sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if line.startswith("export "):
                name, value = line.removeprefix("export ").strip().split("=", 1)
                os.environ[name] = value.strip("'\"")
                if name == "CLARIFAI_PAT":
                    break
        try:
            yield
        finally:
            server.terminate()


def in_turn(rounds: int, *contestants: Callable[[], T]) -> list[list[T]]:
    """Each contestant's figures; every round has an order of its own."""
    figures: list[list[T]] = [[] for _ in contestants]
    order = list(range(len(contestants)))
    for _ in range(rounds):
        random.shuffle(order)
        for number in order:
            figures[number].append(contestants[number]())
    return figures


def ratio(ours: list[float], peer: list[float]) -> float:
    """The median of the ratios of figures that were taken side by side."""
    return statistics.median(a / b for a, b in zip(ours, peer, strict=True))


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| what | ours | peer | ratio | budget |", "|---|---|---|---|---|"]
    for row in rows:
        figure = "" if row.ratio is None else f"{row.ratio:.3f}"
        budget = "" if row.budget is None else f"≤ {row.budget:g}{' MISSED' if row.missed else ''}"
        lines.append(f"| {row.what} | {row.ours} | {row.peer} | {figure} | {budget} |")
    return "\n".join(lines)
