"""marimo's own programs, on notebooks that are written for a test, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jupyter import PATIENCE, end
from marimo._ast.cell import CellConfig
from marimo._ast.codegen import generate_filecontents
from ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARIMO = [sys.executable, "-m", "marimo"]


class Home:
    """A folder with notebooks, and what marimo keeps and logs.

    Parameters
    ----------
    root : Path
        An empty folder.
    variables : str
        More of the environment of what runs there.
    """

    def __init__(self, root: Path, **variables: str) -> None:
        self.root = root
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(root),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **variables,
        }

    def notebook(self, *cells: str, name: str = "notebook") -> Path:
        """Write a notebook of these cells."""
        file = self.root / f"{name}.py"
        names, settings = ["_"] * len(cells), [CellConfig() for _ in cells]
        file.write_text(generate_filecontents([*cells], names, settings))
        return file

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    @contextmanager
    def served(self, mode: str, file: Path, *options: str) -> Iterator[str]:
        """Have marimo serve a notebook, to be edited or as an app, from a terminal; its address."""
        [port] = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        command = [*MARIMO, mode, str(file), "--headless", "--no-token", f"--port={port}", *options]
        ends = os.openpty()
        with (
            (self.root / "log").open("wb") as log,
            subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environment,
                stdin=ends[1],
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                _await(url, process)
                yield url
            finally:
                end(process)
                for each in ends:
                    os.close(each)

    def files(self) -> dict[str, str]:
        """All that was written, but the notebooks themselves: caches, logs, settings."""
        return {
            str(file.relative_to(self.root)): file.read_text(errors="replace")
            for file in self.root.rglob("*")
            if (file.is_file() and file.parent != self.root) or file.name == "log"
        }


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health").close()
        except urllib.error.URLError:
            time.sleep(0.1)  # between two questions, not instead of one
        else:
            return
    raise RuntimeError("marimo did not start.")
