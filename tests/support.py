"""What tests import from each other: the canary key, and a shell that watches for it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from clarifai_magic import Credentials
from clarifai_magic.sandbox.seed import ABOUT, Keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "ca9a47" + "0123456789abcdef" + "ca9a47ca9a"
"""A key of the real shape that no server knows."""

SECRETS = {CANARY}
"""Every key that must never be seen; the sandbox fixture adds its own."""

MEASURED = {name: os.environ[name] for name in ("COVERAGE_PROCESS_CONFIG",) if name in os.environ}
"""What an environment made for a test's program keeps, so that its lines count as covered."""

SUMMARY = "summary"
"""The property of a test whose value is a line at the tests' end."""

# The terminal is made in a process of its own, for this one holds gRPC, which a fork disturbs.
IN_A_TERMINAL = [sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]
IPYTHON = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor"]


class Hasty(sqlite3.Connection):
    """A history's database that does not wait for the disk, for which a shell waits longest."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = OFF")


class Shell:
    """An IPython shell with the extension loaded, and what it printed."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.history_file = home / "history.sqlite"
        history = {"hist_file": str(self.history_file), "connection_options": {"factory": Hasty}}
        config = Config({"HistoryManager": history})
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


class Variables(dict[str, str]):
    """Some of the environment, among it a key; pytest shows what the arguments of a test are."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"

    def credentials(self) -> Credentials:
        """Those of alice's app main."""
        base = self["CLARIFAI_API_BASE"]
        return Credentials(self["CLARIFAI_PAT"], user_id="alice", app_id="main", base=base)


@contextmanager
def sandbox_process(*options: str) -> Iterator[Variables]:
    """A sandbox in another process, for what forks or has to be fast; the variables it prints."""
    with _announced_sandbox(*options) as text:
        variables = Variables(re.findall(r"export (\w+)=(.*)", text))
        SECRETS.add(variables["CLARIFAI_PAT"])
        yield variables


@contextmanager
def sandbox_with_keys() -> Iterator[tuple[str, Keys]]:
    """A sandbox in another process: its base URL, and all its keys."""
    with _announced_sandbox() as text:
        told = {words: key for key, words in re.findall(r"# ([0-9a-f]{32})  (.*)", text)}
        keys = {name: told[words] for name, words in ABOUT.items()}
        SECRETS.update(keys.values())
        yield re.search(r"export CLARIFAI_API_BASE=(.*)", text)[1], Keys(**keys)


@contextmanager
def _announced_sandbox(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "clarifai_magic.sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if line.rstrip().endswith(list(ABOUT.values())[-1]):
                break
        try:
            yield "".join(lines)
        finally:
            server.terminate()


def installed_by_npm(manifest: Path, folder: Path) -> Path:
    """What a package.json names, in a folder such as pytest's cache, for which several may ask.

    Its ``dependencies`` are installed with theirs; its ``bundles``, which need none, without.
    """
    wanted, done, modules = manifest.read_text(), folder / "done", folder / "node_modules"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            shutil.copy(manifest, folder)
            if "dependencies" in json.loads(wanted):
                _npm(folder, "install", "--no-package-lock", "--ignore-scripts")
            _unpack(json.loads(wanted).get("bundles", {}), folder, modules)
            done.write_text(wanted)
    return modules


def _npm(folder: Path, *command: str) -> str:
    done = subprocess.run(
        ["npm", *command, "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"npm could not get what {folder / 'package.json'} names: {done.stderr}")
    return done.stdout


def _unpack(bundles: dict[str, str], folder: Path, modules: Path) -> None:
    if not bundles:
        return
    names = [f"{name}@{version}" for name, version in bundles.items()]
    archives = _npm(folder, "pack", "--silent", *names).split()
    for name, archive in zip(bundles, archives, strict=True):
        shutil.rmtree(modules / name, ignore_errors=True)
        (modules / name).mkdir(parents=True)
        into = ["--strip-components=1", f"--directory={modules / name}"]
        subprocess.run(["tar", "--extract", f"--file={folder / archive}", *into], check=True)
        (folder / archive).unlink()


def text_input(number: int) -> resources_pb2.Input:
    return resources_pb2.Input(id=f"item-{number}", data={"text": {"raw": f"a cat and {number}"}})


def prediction(number: int = 0) -> service_pb2.PostModelOutputsRequest:
    """A request that any key may make, whose answer tells which it was."""
    return service_pb2.PostModelOutputsRequest(
        user_app_id=resources_pb2.UserAppIDSet(user_id="clarifai", app_id="main"),
        model_id="general-image-recognition",
        inputs=[text_input(number)],
    )
