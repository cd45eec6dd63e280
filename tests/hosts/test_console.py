"""jupyter console on a pseudo-terminal: its kernel asks there by a hidden prompt."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest
from support import SUMMARY
from terminal import CTRL_C, PROMPT, run, with_the_magics

ASKED = r"Clarifai PAT or API key \(at 127.0.0.1\): "


@pytest.fixture
def console(environment, record_property):
    record_property(SUMMARY, f"hosts: jupyter-console {version('jupyter-console')}")
    environment()
    with with_the_magics(sys.executable, "-m", "jupyter_console") as child:
        yield child


def test_a_plain_sign_in_asks_by_a_hidden_prompt(console, sandbox):
    console.sendline("%clarifai_auth")
    console.expect(ASKED)
    console.sendline("")
    console.expect(PROMPT)
    assert "nobody answered the prompt" in console.before
    console.sendline("%clarifai_auth --app-id main")
    console.expect(ASKED)
    console.sendline(sandbox.keys.pat)
    console.expect(PROMPT)
    assert sandbox.keys.pat not in console.before
    assert "Signed in as alice · PAT from the prompt · app main" in console.before
    assert "alice main" in run(console, "print(USER_ID, APP_ID)")
    assert sandbox.keys.pat not in run(console, "%history")
    assert "Signed out." in run(console, "%clarifai_auth logout")


def test_ctrl_c_at_the_prompt_signs_nothing_in(console):
    console.sendline("%clarifai_auth")
    console.expect(ASKED)
    console.send(CTRL_C)
    console.expect(PROMPT)
    assert "Not signed in." in run(console, "%clarifai_auth status")
    assert "NameError" in run(console, "stub")
