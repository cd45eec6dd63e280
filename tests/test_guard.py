"""The guard: on while a session lives, gone without a trace, and never in a message's way."""

from __future__ import annotations

import json
import random
import sys
from types import SimpleNamespace

import pytest
from leaks import kernel
from support import CANARY

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect
from clarifai_magic.guard import Guard
from clarifai_magic.masking import Masker
from clarifai_magic.secret import MASK


def pack(content):
    return json.dumps(content).encode()


@pytest.fixture
def kernel_shell():
    """As much of a kernel's shell as the guard touches."""
    return SimpleNamespace(kernel=SimpleNamespace(session=SimpleNamespace(pack=pack)))


@pytest.fixture
def signed_in():
    sessions = []

    def sign_in():
        session = connect(Credentials(CANARY, base="http://127.0.0.1:1"), verified=False)
        sessions.append(session)
        return session

    yield sign_in
    for session in sessions:
        session.close()


@pytest.fixture
def guard(kernel_shell):
    guard = Guard(kernel_shell, wanted=lambda: True)
    guard.start()
    yield guard
    guard.stop()


@pytest.mark.usefixtures("guard")
def test_the_packer_is_wrapped_only_while_a_session_lives(kernel_shell, signed_in):
    session = kernel_shell.kernel.session
    assert session.pack is pack
    first, second = signed_in(), signed_in()
    assert CANARY.encode() not in session.pack({"text": CANARY})
    first.close()
    assert CANARY.encode() not in session.pack({"text": CANARY})
    second.close()
    assert session.pack is pack


def test_stopping_leaves_the_packer_as_it_was(kernel_shell, signed_in, guard):
    signed_in()
    guard.stop()
    assert kernel_shell.kernel.session.pack is pack
    guard.start()
    assert kernel_shell.kernel.session.pack is not pack


@pytest.mark.usefixtures("guard")
def test_somebody_elses_wrapper_is_left_in_place_and_served(kernel_shell, signed_in):
    session = kernel_shell.kernel.session
    first = signed_in()
    inner = session.pack
    session.pack = theirs = lambda content: inner(content) + b"\n"
    first.close()
    assert session.pack is theirs
    assert theirs({"text": CANARY}) == pack({"text": CANARY}) + b"\n"
    signed_in()
    assert CANARY.encode() not in session.pack({"text": CANARY})
    assert json.loads(session.pack({"a": [1]})) == {"a": [1]}


@pytest.mark.usefixtures("guard")
def test_a_fault_in_masking_loses_no_message_and_is_told_once(kernel_shell, signed_in, monkeypatch):
    signed_in()
    monkeypatch.setattr(Masker, "json", lambda _self, _data: 1 / 0)
    send = kernel_shell.kernel.session.pack
    with pytest.warns(ClarifaiAuthWarning, match="ZeroDivisionError") as caught:
        sent = [send({"a": 1}), send({"a": 2})]
    assert sent == [pack({"a": 1}), pack({"a": 2})]
    assert len(caught) == 1


def test_in_a_terminal_the_streams_are_put_back(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    before = sys.stdout, sys.stderr
    shell.run("%clarifai_auth")
    assert sys.stdout is not before[0]
    shell.run("import os; print(os.environ['CLARIFAI_PAT'])")
    shell.run("%clarifai_auth logout")
    assert (sys.stdout, sys.stderr) == before


def test_config_turns_it_off_and_on(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    before = sys.stdout
    shell.run("%clarifai_auth")
    shell.run("%config ClarifaiMagics.guard = False")
    assert sys.stdout is before
    shell.run("%config ClarifaiMagics.guard = True")
    assert MASK in shell.run("import os; print(os.environ['CLARIFAI_PAT'])")


def test_a_key_in_a_cell_is_found_at_sign_in_and_named(shell, environment, sandbox, tmp_path):
    environment()
    notebook = tmp_path / "mine.ipynb"
    notebook.write_text(f'{{"cells": [{{"source": "{sandbox.keys.pat}"}}]}}')
    shell.ip.user_ns["__vsc_ipynb_file__"] = str(notebook)
    shell.ip.run_cell(f"typed = '{sandbox.keys.pat}'", store_history=True)
    said = shell.run("%clarifai_auth --from var:typed --app-id main")
    assert "Note: the key stands in cell In[2], the file mine.ipynb." in said
    assert "revoke it at" in said


def test_logout_drops_results_from_which_the_key_can_be_had(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    for cell in ("clarifai_session", "stub", "channel", "metadata", "41 + 1"):
        shell.run(cell)
    shell.run("%clarifai_auth logout")
    assert list(shell.names["Out"].values()) == [42]
    assert shell.run("_3, _4, _5, _6, _7").strip().endswith("('', '', '', '', 42)")


def test_ten_thousand_messages_of_a_kernel_arrive_unchanged_and_in_order(environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    seed = random.randrange(10**6)
    cell = f"""
import random, sys
chosen = random.Random({seed})
for number in range(10_000):
    text = f"{{number}} " + "".join(map(chr, chosen.choices(range(32, 1200), k=20))) + chr(10)
    (sys.stdout if number % 2 else sys.stderr).write(text)
    if number % 10 == 0:
        sys.stdout.flush(); sys.stderr.flush()
"""
    chosen = random.Random(seed)
    wanted = [
        f"{number} " + "".join(map(chr, chosen.choices(range(32, 1200), k=20)))
        for number in range(10_000)
    ]
    with kernel() as running:
        running.seen("%load_ext clarifai_magic\n%clarifai_auth")
        parts = json.loads(running.seen(cell))
    for name, first in (("stderr", 0), ("stdout", 1)):
        text = "".join(part["text"] for part in parts if part.get("name") == name)
        assert text.split("\n")[:-1] == wanted[first::2]
