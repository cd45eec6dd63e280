"""What the package promises from outside: its names, and that loading it is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import clarifai_magic
from clarifai_magic import errors

HEAVY = ("grpc", "google.protobuf", "clarifai_grpc", "ipywidgets", "anywidget", "yaml", "keyring")


def test_public_names():
    assert clarifai_magic.__all__ == [
        *errors.__all__,
        "Credentials",
        "Sandbox",
        "Session",
        "__version__",
        "connect",
        "explain",
        "find_credentials",
        "login_form",
        "logout",
    ]
    assert all(getattr(clarifai_magic, name) for name in clarifai_magic.__all__)


def test_every_error_is_public():
    raised = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(errors.__all__) == raised


def test_a_session_has_no_public_names_but_those_that_are_documented():
    assert {name for name in dir(clarifai_magic.Session) if not name.startswith("_")} == {
        "aio_stub",
        "amap",
        "async_openai",
        "auth",
        "base",
        "broker",
        "channel",
        "close",
        "for_workers",
        "headers",
        "map",
        "namespace",
        "openai",
        "resume",
        "source",
        "stub",
        "with_ids",
    }


def test_importing_and_loading_imports_nothing_heavy():
    program = f"""
import sys
from IPython.core.interactiveshell import InteractiveShell
before = set(sys.modules)
InteractiveShell.instance().run_cell("%load_ext clarifai_magic")
assert "clarifai_magic.notebook.magics" in sys.modules
print([name for name in {HEAVY!r} if name in set(sys.modules) - before])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("magic", "argument"),
    [
        ("%clarifai_auth", "--no-input"),
        ("%clarifai_scopes", "such as PostInputs"),
        ("%clarifai_snippet", "--method"),
        ("%%clarifai_sample", "--show"),
    ],
)
def test_a_question_mark_shows_the_arguments(shell, magic, argument):
    assert argument in shell.run(f"{magic}?")


def test_signing_in_without_a_terminal_prepares_no_pager_and_no_search_of_long_texts(
    environment, sandbox
):
    environment(PAT=sandbox.keys.pat)
    program = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_cell("%load_ext clarifai_magic")
shell.run_cell("%clarifai_auth").raise_error()
print([name for name in ("pydoc", "hyperscan") if name in set(sys.modules) - before])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_loading_and_unloading_any_number_of_times_prints_and_leaves_nothing(shell):
    shell.run("%unload_ext clarifai_magic")
    names, hooks = set(shell.names), dict(shell.ip.strdispatchers["complete_command"].strs)
    magics = {kind: set(table) for kind, table in shell.ip.magics_manager.magics.items()}
    registry = set(shell.ip.magics_manager.registry)
    configurables = list(shell.ip.configurables)
    for _ in range(3):
        assert shell.run("%load_ext clarifai_magic") == ""
        assert shell.run("%reload_ext clarifai_magic") == ""
        assert shell.run("%unload_ext clarifai_magic") == ""
    assert {n for n in set(shell.names) - names if not n.startswith("_i")} == set()
    assert dict(shell.ip.strdispatchers["complete_command"].strs) == hooks
    assert {kind: set(t) for kind, t in shell.ip.magics_manager.magics.items()} == magics
    assert set(shell.ip.magics_manager.registry) == registry
    assert shell.ip.configurables == configurables
    assert "not found" in shell.fail("%clarifai_auth")
