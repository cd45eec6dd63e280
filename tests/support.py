"""What tests import from each other: the canary key, and a shell that watches for it."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

CANARY = "ca9a47" + "0123456789abcdef" + "ca9a47ca9a"
"""A key of the real shape that no server knows."""

SECRETS = {CANARY}
"""Every key that must never be seen; the sandbox fixture adds its own."""

COUNTS: list[tuple[str, int, int]] = []
"""Where sinks were tried, how many, and how many of them leaked; shown at the tests' end."""


class Shell:
    """An IPython shell with the extension loaded, and what it printed."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.history_file = home / "history.sqlite"
        config = Config({"HistoryManager": {"hist_file": str(self.history_file)}})
        self.ip = InteractiveShell(config=config, ipython_dir=str(home / "ipython"))
        self.names = self.ip.user_ns
        self.run("%load_ext clarifai_magic")

    def run(self, cell: str) -> str:
        """Run a cell that must succeed; what it printed, in which no key may be."""
        text, error = self._executed(cell)
        assert error is None, text
        return text

    def fail(self, cell: str) -> str:
        """Run a cell that must fail; the error as it is shown."""
        text, error = self._executed(cell)
        assert error is not None, f"{cell} succeeded: {text}"
        return text

    def _executed(self, cell: str) -> tuple[str, BaseException | None]:
        result = self.ip.run_cell(cell, store_history=True)
        captured = self._capsys.readouterr()
        text = captured.out + captured.err
        assert not any(secret in text for secret in SECRETS), f"{cell} let a key out"
        return text, result.error_before_exec or result.error_in_exec


@contextmanager
def sandbox_process(*options: str) -> Iterator[dict[str, str]]:
    """A sandbox in another process, for what forks or has to be fast; the variables it prints."""
    command = [sys.executable, "-m", "clarifai_magic.sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        head = [next(server.stdout) for _ in range(4)]
        variables = dict(re.findall(r"export (\w+)=(.*)", "".join(head)))
        SECRETS.add(variables["CLARIFAI_PAT"])
        try:
            yield variables
        finally:
            server.terminate()


def text_input(number: int) -> resources_pb2.Input:
    return resources_pb2.Input(id=f"item-{number}", data={"text": {"raw": f"a cat and {number}"}})


def prediction(number: int = 0) -> service_pb2.PostModelOutputsRequest:
    """A request that any key may make, whose answer tells which it was."""
    return service_pb2.PostModelOutputsRequest(
        user_app_id=resources_pb2.UserAppIDSet(user_id="clarifai", app_id="main"),
        model_id="general-image-recognition",
        inputs=[text_input(number)],
    )
