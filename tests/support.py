"""What tests import from each other: the canary key, and a shell that watches for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

if TYPE_CHECKING:
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
