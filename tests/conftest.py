"""The parts that tests share: a sandbox, a clean environment, a shell, and an eye on the keys."""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
from typing import TYPE_CHECKING

import pytest
from support import COUNTS, SECRETS, Shell

from clarifai_magic.sandbox import Sandbox
from clarifai_magic.session import logout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A developer's own keyring is none of the tests' business, nor of the kernels they start.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        SECRETS.update(dataclasses.asdict(running.keys).values())
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Fail a test that lets a key out: whatever it was about, that is worse."""
    report = yield
    shown = "".join(text for _, text in report.sections) + str(report.longrepr or "")
    if any(secret in shown for secret in SECRETS):
        report.outcome = "failed"
        report.longrepr = "A key reached the test's output."
        report.sections = []
    return report


def pytest_terminal_summary(terminalreporter):
    for place, sinks, leaks in COUNTS:
        terminalreporter.write_line(f"{place}: {sinks} sinks, {leaks} leaks")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, base or proxy of the developer's own, and a home of the test's."""
    for name in list(os.environ):
        if name.startswith("CLARIFAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(home / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))


@pytest.fixture(autouse=True)
def signed_out() -> Iterator[None]:
    yield
    logout()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Callable[..., None]:
    """Put a sandbox's base, and the given CLARIFAI_… values, into the environment."""

    def put(**values: str) -> None:
        for name, value in {"API_BASE": sandbox.base, **values}.items():
            monkeypatch.setenv(f"CLARIFAI_{name}", value)

    return put


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    main = sys.modules["__main__"]
    shell = Shell(tmp_path, capsys)
    yield shell
    shell.ip.run_cell("%unload_ext clarifai_magic")
    shell.ip.atexit_operations()
    atexit.unregister(shell.ip.atexit_operations)
    sys.modules["__main__"] = main  # which IPython replaces, and multiprocessing looks at
