"""Terminal IPython on a pseudo-terminal: the hidden prompt, and scripts that are asked nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from reading import MOST, recovered
from support import CANARY, IN_A_TERMINAL, IPYTHON
from terminal import CTRL_C, PROMPT, run, with_the_magics

from clarifai_magic.credentials.secret import MASK

pytestmark = pytest.mark.slow


@pytest.fixture
def terminal(environment):
    environment()
    with with_the_magics(*IPYTHON) as child:
        yield child


def test_the_prompt_hides_what_is_typed(terminal, sandbox):
    terminal.sendline("%clarifai_auth --user-id alice --app-id main")
    terminal.expect(r"Clarifai PAT or API key \(at 127.0.0.1\): ")
    terminal.sendline(sandbox.keys.pat)
    terminal.expect(PROMPT)
    assert sandbox.keys.pat not in terminal.before
    assert "Signed in as alice · PAT from the prompt · app main" in terminal.before
    assert sandbox.keys.pat not in run(terminal, "%history")


def test_ctrl_c_leaves_no_half_signed_in_state(terminal):
    terminal.sendline("%clarifai_auth")
    terminal.expect(r"Clarifai PAT or API key \(at 127.0.0.1\): ")
    terminal.send(CTRL_C)
    terminal.expect(PROMPT)
    assert "Not signed in." in run(terminal, "%clarifai_auth status")
    assert "NameError" in run(terminal, "stub")


SIGN_IN = "get_ipython().run_line_magic('clarifai_auth', '--from var:key --app-id main')"


@pytest.mark.parametrize("around", ["", "with redirect_stdout(StringIO()): "])
def test_prompts_and_pagers_show_no_key(terminal, sandbox, around):
    """They write past Python's streams, which may be others during sign-in."""
    run(
        terminal,
        "import getpass, os; from contextlib import redirect_stdout; from io import StringIO",
    )
    run(terminal, f"os.environ['PAGER'] = 'cat'; key = '{sandbox.keys.pat}'")
    run(terminal, "Told = type('Told', (), {'__doc__': key + chr(10) * 100})")
    run(terminal, around + SIGN_IN)
    for cell in ("input(f'{key} or {1}? ')", "getpass.getpass(prompt=f'{key} or {1}? ')"):
        terminal.sendline(cell)
        terminal.expect(r"(\S.*) or 1\? ")
        assert terminal.match[1].endswith(MASK), cell
        assert "'an answer'" in run(terminal, "an answer")
    for cell in ("help(Told)", "Told?"):
        shown = run(terminal, cell)
        assert MASK in shown
        assert recovered(shown, sandbox.keys.pat) <= MOST, cell
    run(terminal, "%clarifai_auth logout")
    assert "True" in run(terminal, "type(input) is type(print)")


def test_a_script_is_asked_nothing_though_a_terminal_is_there(environment, tmp_path):
    environment()
    script = tmp_path / "unattended.ipy"
    script.write_text("%load_ext clarifai_magic\n%clarifai_auth\n")
    done = subprocess.run(
        [*IN_A_TERMINAL, *IPYTHON, script], capture_output=True, text=True, check=False
    )
    assert "NoCredentialsError: No Clarifai key was found" in done.stdout
    assert "Set CLARIFAI_PAT" in done.stdout
    assert done.returncode


def test_nothing_is_written_unless_save_says_so(environment, sandbox, tmp_path):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    trees = []
    for name, lines in (("signed-in", "%clarifai_auth"), ("not", "pass")):
        home = tmp_path / name
        home.mkdir()
        script = tmp_path / f"{name}.ipy"
        script.write_text(f"%load_ext clarifai_magic\n{lines}\n")
        done = subprocess.run(
            [sys.executable, "-m", "IPython", script],
            env={**os.environ, "HOME": str(home), "IPYTHONDIR": str(home / "ipython")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert CANARY not in done.stdout
        trees.append(sorted(str(file.relative_to(home)) for file in home.rglob("*")))
    assert trees[0] == trees[1]
