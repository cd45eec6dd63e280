"""The parts that tests share: a sandbox, a clean environment, a shell, and an eye on the keys."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from coverage import Coverage
from hypothesis import settings
from ports import for_kernels, for_kernels_of_programs
from support import SECRETS, SUMMARY, Shell

from clarifai_magic.client.session import logout
from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins: list[str] = []


def bring_nbval() -> None:
    """Without the grammar of IRIs of its JSON schemas: nothing needs it, and it takes two seconds."""
    sys.modules["rfc3987_syntax"] = None
    pytest_plugins.append("nbval.plugin")
    import jsonschema  # noqa: F401

    del sys.modules["rfc3987_syntax"]


if "nbval.plugin" not in sys.modules:  # the Makefile's runs keep it from coming before this
    bring_nbval()

# A developer's own keyring is none of the tests' business, nor of the kernels they start.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

for_kernels()

# How long an example takes is a matter of what else the machine does.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


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
    # The mark `skipif` tells versions apart. What is skipped in a run lacks something.
    return report if item.get_closest_marker("skipif") else nothing_left_out(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return nothing_left_out((yield))


def nothing_left_out(report):
    """Make a failure of what was skipped, where nothing may be."""
    if report.skipped and os.environ.get("CI"):
        _, _, reason = report.longrepr
        report.outcome, report.longrepr = "failed", f"Not in CI: {reason}"
    return report


LONGEST = (
    "browser/test_form_in_browser.py",
    "browser/test_pages.py",
    "hosts/test_dashboards.py",
    "hosts/test_marimo.py",
    "hosts/test_server_side.py",
    "engines/test_spark.py",
    "redaction/test_leaks.py",
    "notebook/test_snippets.py",
    "bulk/test_faults_together.py",
    "bulk/test_failing.py",
    "notebook/test_form.py",
)
"""The files that take longest, which come first: a process that has one last leaves others idle."""


def pytest_collection_modifyitems(items):
    tests = Path(__file__).parent
    ranks = {tests / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish():
    leave_out_of_searches_for_garbage()


IMPORTED: set[str] = set()


def leave_out_of_searches_for_garbage():
    """Leave what was imported out of every search for garbage: IPython makes one with each shell."""
    if sys.modules.keys() - IMPORTED:
        IMPORTED.update(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_sessionfinish(session):
    """Save what was covered: xdist kills a worker of its that is slow to end."""
    measuring = Coverage.current()
    if measuring and hasattr(session.config, "workerinput"):
        measuring.save()


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports(""):
        if report.when == "teardown":
            for name, line in report.user_properties:
                if name == SUMMARY:
                    terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, base or proxy of the developer's own, and a home of the test's."""
    for name in list(os.environ):
        if name.startswith(("CLARIFAI_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    for_kernels_of_programs(home / "jupyter")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(home / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))


@pytest.fixture(autouse=True)
def signed_out() -> Iterator[None]:
    yield
    logout()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler, in whose place a loop of an earlier test may have left one of none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Callable[..., None]:
    """Put a sandbox's base, and the given CLARIFAI_… values, into the environment."""

    def put(**values: str) -> None:
        for name, value in {"API_BASE": sandbox.base, **values}.items():
            monkeypatch.setenv(f"CLARIFAI_{name}", value)

    return put


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    leave_out_of_searches_for_garbage()
    main = sys.modules["__main__"]
    shell = Shell(tmp_path, capsys)
    yield shell
    shell.ip.run_cell("%unload_ext clarifai_magic")
    history = shell.ip.history_manager
    shell.ip.atexit_operations()
    atexit.unregister(shell.ip.atexit_operations)
    history.db.close()  # which IPython 8 leaves open; select() takes no more than 1,024 files
    sys.modules["__main__"] = main  # which IPython replaces, and multiprocessing looks at
