"""Errors as they are shown: what is wrong and what to do, each on its line, in every %xmode."""

from __future__ import annotations

import subprocess

import kernel
import pytest
from support import CANARY, IN_A_TERMINAL, IPYTHON

MODES = ["Plain", "Context", "Verbose", "Minimal"]
FAILING = "%clarifai_auth --base ftp://x"
WRONG = "BaseURLError: The base URL's scheme is ftp://."
REMEDY = "→ Give it as https://HOST or https://HOST:PORT."


def error_lines(text):
    lines = text.splitlines()
    start = lines.index(WRONG)
    return lines[start : start + 2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("again", ["", "%tb"])
def test_an_error_takes_two_lines_in_a_shell(shell, environment, mode, again):
    environment(PAT=CANARY)
    shell.run(f"%xmode {mode}")
    shown = shell.fail(FAILING)
    if again:
        shown = shell.run(again)
    assert error_lines(shown) == [WRONG, REMEDY]


def test_an_error_takes_two_lines_in_a_kernel(environment):
    environment(PAT=CANARY)
    cells = [cell for mode in MODES for cell in (f"%xmode {mode}", FAILING)]
    _, *shown = kernel.run(kernel.LOAD, *cells, allow_errors=True)
    for text in shown[1::2]:
        assert text.splitlines() == [WRONG, REMEDY]


@pytest.mark.parametrize("mode", MODES)
def test_an_error_takes_two_lines_in_a_terminal(environment, tmp_path, mode):
    environment(PAT=CANARY)
    script = tmp_path / "failing.ipy"
    script.write_text(f"%load_ext clarifai_magic\n%xmode {mode}\n{FAILING}\n")
    done = subprocess.run(
        [*IN_A_TERMINAL, *IPYTHON, script], capture_output=True, text=True, check=False
    )
    assert error_lines(done.stdout) == [WRONG, REMEDY]
