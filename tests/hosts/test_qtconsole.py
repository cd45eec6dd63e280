"""The real qtconsole, which cannot hide what is typed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from support import SUMMARY

ASKED = "Clarifai PAT or API key (at 127.0.0.1): "


def test_qtconsole_warns_before_it_asks(sandbox, environment, monkeypatch, record_property):
    record_property(SUMMARY, f"hosts: qtconsole {version('qtconsole')}")
    environment()
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    program = Path(__file__).with_name("qtconsole_session.py")
    done = subprocess.run(
        [sys.executable, program, sandbox.keys.other_pat],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    before, _, after = done.stdout.partition("<answer>")
    assert before.endswith(ASKED), done.stderr
    assert "the text you type will be visible" in before
    assert "Signed in as bob · PAT from the prompt" in after
    assert "[clarifai key] (('authorization', [clarifai key]),) bob" in after
    # What somebody types is seen there, once, and nowhere else.
    assert after.startswith("<typed>")
    assert sandbox.keys.other_pat not in done.stdout + done.stderr
