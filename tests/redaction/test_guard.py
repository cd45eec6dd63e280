"""The guard: on while a session lives, gone without a trace, and never in a message's way."""

from __future__ import annotations

import json
import random
import sys
from types import SimpleNamespace

import IPython
import pytest
from jupyter_client.session import Session
from leaks import kernel
from reading import MOST, recovered
from support import CANARY
from threads import in_threads, often_switching

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect
from clarifai_magic.credentials.secret import MASK
from clarifai_magic.notebook.hosts.jupyter import Kernel
from clarifai_magic.redaction.guard import Guard
from clarifai_magic.redaction.layers import NOTICE, Written
from clarifai_magic.redaction.masking import Masker


@pytest.fixture
def kernel_shell():
    """As much of a kernel's shell as the guard touches, with a real session."""
    return SimpleNamespace(kernel=SimpleNamespace(session=Session(key=b"signs")))


def sent(kernel_shell, text):
    """What a stream's message says when it is read as a front end reads it."""
    session = kernel_shell.kernel.session
    content = {"name": "stdout", "text": text}
    _, frames = session.feed_identities(session.serialize(session.msg("stream", content)))
    return session.deserialize(frames)["content"]["text"]


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
    guard = Guard(lambda: Kernel(kernel_shell), wanted=lambda: True)
    guard.start()
    yield guard
    guard.stop()


@pytest.mark.usefixtures("guard")
def test_messages_are_masked_only_while_a_session_lives(kernel_shell, signed_in):
    layers = {"serialize", "send"}
    assert not layers & vars(kernel_shell.kernel.session).keys()
    first, second = signed_in(), signed_in()
    assert sent(kernel_shell, f"{CANARY}\n") == f"{MASK}\n"
    first.close()
    assert sent(kernel_shell, f"{CANARY}\n") == f"{MASK}\n"
    second.close()
    assert sent(kernel_shell, CANARY) == CANARY
    assert not layers & vars(kernel_shell.kernel.session).keys()


def test_stopping_leaves_the_session_as_it_was(kernel_shell, signed_in, guard):
    signed_in()
    guard.stop()
    assert sent(kernel_shell, CANARY) == CANARY
    guard.start()
    assert sent(kernel_shell, CANARY) == MASK


@pytest.mark.usefixtures("guard")
def test_somebody_elses_wrapper_is_left_in_place_and_served(kernel_shell, signed_in):
    session = kernel_shell.kernel.session
    first = signed_in()
    inner, seen = session.serialize, []
    session.serialize = theirs = lambda *message: seen.append(1) or inner(*message)
    first.close()
    assert session.serialize is theirs
    assert sent(kernel_shell, CANARY) == CANARY
    signed_in()
    assert sent(kernel_shell, CANARY) == MASK
    assert sent(kernel_shell, "anything else") == "anything else"
    assert len(seen) == 3


@pytest.mark.usefixtures("guard")
def test_a_fault_in_masking_shows_no_key_and_is_told_once(kernel_shell, signed_in, monkeypatch):
    signed_in()
    monkeypatch.setattr(Masker, "_runs", lambda _self, _data: 1 / 0)
    with pytest.warns(ClarifaiAuthWarning, match="ZeroDivisionError") as caught:
        shown = [sent(kernel_shell, f"{'x' * 3000} {text}") for text in (CANARY, "else")]
    assert CANARY not in "".join(shown)
    assert len(caught) == 1


@pytest.mark.usefixtures("guard")
def test_a_message_that_cannot_be_looked_at_at_all_is_withheld(
    kernel_shell, signed_in, monkeypatch
):
    signed_in()
    for name in ("_runs", "_suspected", "whole"):
        monkeypatch.setattr(Masker, name, lambda _self, _data: 1 / 0)
    with pytest.warns(ClarifaiAuthWarning):
        shown = sent(kernel_shell, f"the key {CANARY}")
    assert shown == NOTICE


@pytest.mark.usefixtures("guard")
def test_binary_data_is_masked_and_as_long_as_before(kernel_shell, signed_in):
    signed_in()
    session, frames = kernel_shell.kernel.session, []
    socket = SimpleNamespace(send_multipart=lambda parts, **_: frames.extend(parts))
    honest, telling = bytes(range(48)), b"\x00" + CANARY.encode() + b"\x00"
    session.send(socket, "comm_msg", {"data": {}}, buffers=[memoryview(honest), telling])
    assert bytes(frames[-2]) == honest
    assert frames[-1] == b"\x00" + b"*" * 32 + b"\x00"


def test_in_a_terminal_the_streams_are_put_back(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    buffers = [stream.buffer for stream in (sys.stdout, sys.stderr)]
    before = [vars(each).copy() for each in buffers]
    shell.run("%clarifai_auth")
    assert all("write" in vars(each) for each in buffers)
    assert MASK in shell.run(
        "import os, sys; sys.stdout.buffer.write(os.environ['CLARIFAI_PAT'].encode())"
    )
    shell.run("%clarifai_auth logout")
    assert [vars(each) for each in buffers] == before


def test_what_was_said_before_logout_stays_masked(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth\nimport os")
    shell.run("print(os.environ['CLARIFAI_PAT'])")
    shell.run("'Key ' + os.environ['CLARIFAI_PAT']")
    shell.run("print(os.environ['CLARIFAI_PAT'], end='')\n%clarifai_auth logout")
    manager = shell.ip.history_manager
    kept = [manager.output_hist_reprs, getattr(manager, "outputs", {}), dict(shell.names["Out"])]
    assert sandbox.keys.pat not in repr(kept)
    assert MASK in repr(kept)


@pytest.mark.parametrize("form", ["key", "key[:30]", "list(key)", "key.encode().hex()", "Row()"])
@pytest.mark.parametrize("end", ["%clarifai_auth logout", "session.close()"])
def test_a_result_that_showed_a_key_is_dropped_when_its_session_ends(
    shell, environment, sandbox, form, end
):
    """However it was written, and whatever object holds it, however deep."""
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    start = "import clarifai_magic as m; session = m.connect()" if "session" in end else ""
    shell.run(start or "%clarifai_auth")
    shell.run("import os; key = os.environ['CLARIFAI_PAT']")
    shell.run("class Row:\n    def __repr__(self): return ' '.join(os.environ['CLARIFAI_PAT'])")
    shell.run(form)
    shell.run("41 + 1")
    shell.run(f"%history -o\n{form}")  # masks what is stored
    shell.run(end)
    assert [*shell.names["Out"].values()] == [42]
    assert recovered(shell.run("_, __, ___, list(Out)"), sandbox.keys.pat) <= MOST


def test_results_stay_while_a_session_with_their_key_is_open(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth\nimport os")
    shell.run("os.environ['CLARIFAI_PAT'][:30]")
    shell.run("%clarifai_auth")
    shell.run("%config ClarifaiMagics.guard = False")
    assert [*shell.names["Out"].values()] == [sandbox.keys.pat[:30]]


@pytest.mark.parametrize("text", ["key", "key[:30]", "list(key)"])
def test_an_error_that_showed_a_key_is_not_told_again_after_logout(
    shell, environment, sandbox, text
):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth\nimport os; key = os.environ['CLARIFAI_PAT']")
    shell.ip.run_cell(f"raise ValueError({text})")
    shell.run("%clarifai_auth logout")
    assert recovered(shell.run("%tb"), sandbox.keys.pat) <= MOST


@pytest.mark.skipif(IPython.version_info < (9,), reason="exports no displays")
@pytest.mark.parametrize("end", ["", "%clarifai_auth logout"])
def test_documents_are_masked_in_an_exported_notebook(shell, environment, sandbox, tmp_path, end):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth\nimport os; key = os.environ['CLARIFAI_PAT']")
    for data in ("{'rows': [{'key': key}], key: 1}", "[[*key.encode()], [1, key]]"):
        cell = f"from IPython.display import JSON; JSON({data})"
        shell.ip.run_cell(cell, store_history=True)
    shell.run(end)
    shell.run(f"%notebook {tmp_path / 'told.ipynb'}")
    told = (tmp_path / "told.ipynb").read_text()
    assert "application/json" in told
    assert recovered(told, sandbox.keys.pat) <= MOST


@pytest.mark.parametrize(
    "instead", ["contextlib.redirect_stdout(io.StringIO())", "capture_output()"]
)
def test_what_a_kernel_has_not_sent_yet_at_logout_is_masked(environment, sandbox, instead):
    """Also where something else is in its stream's place by then."""
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    with kernel() as running:
        running.seen("import clarifai_magic, contextlib, io, os")
        running.seen("from IPython.utils.capture import capture_output")
        running.seen("%load_ext clarifai_magic\n%clarifai_auth")
        cell = f"print(os.environ['CLARIFAI_PAT'])\nwith {instead}: clarifai_magic.logout()"
        assert running.recovered(cell, sandbox.keys.pat) <= MOST


SLOW = """
import os, sys, threading, time
def write(text, original=sys.stdout.write):
    if threading.current_thread() is not threading.main_thread():
        time.sleep(0.3)
    return original(text)
"""


def test_logout_leaves_the_streams_of_a_kernel_as_they_were(environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    with kernel() as running:
        running.seen("%load_ext clarifai_magic\n%clarifai_auth\nimport sys")
        told = running.seen(
            "streams = sys.stdout, sys.stderr\n"
            "before = [vars(each).get('write') for each in streams]\n%clarifai_auth logout\n"
            "print([vars(each).get('write') for each in streams] == before)"
        )
        assert "True" in told


def test_what_programs_wrote_before_logout_is_masked_and_all_there(environment, sandbox):
    """A thread of the kernel's reads it, and may be late."""
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    with kernel() as running:
        running.seen(f"{SLOW}\n%load_ext clarifai_magic\n%clarifai_auth")
        running.client.execute(
            "sys.stdout.write = write\nos.write(1, os.environ['CLARIFAI_PAT'].encode())\n"
            "%clarifai_auth logout\nos.write(1, b'the last')"
        )
        told = ""
        while "the last" not in told:
            told += running.client.get_iopub_msg(timeout=60)["content"].get("text", "")
        assert told.startswith(MASK)
        assert "\x7f" not in told
        assert recovered(told, sandbox.keys.pat) <= MOST


def test_config_turns_it_off_and_on(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    shell.run("%config ClarifaiMagics.guard = False")
    assert "write" not in vars(sys.stdout.buffer)
    shell.run("%config ClarifaiMagics.guard = True")
    assert MASK in shell.run("import os; print(os.environ['CLARIFAI_PAT'])")


def test_a_key_in_a_cell_is_found_at_sign_in_and_named(shell, environment, sandbox, tmp_path):
    environment()
    notebook = tmp_path / "mine.ipynb"
    notebook.write_text(f'{{"cells": [{{"source": "{sandbox.keys.pat}"}}]}}')
    shell.ip.user_ns["__vsc_ipynb_file__"] = str(notebook)
    shell.ip.run_cell(f"typed = '{sandbox.keys.pat}'", store_history=True)
    said = shell.run("%clarifai_auth --from var:typed --app-id main")
    assert "Note: the key is in cell In[2], the file mine.ipynb." in said
    assert "revoke it at" in said


def test_logout_drops_results_from_which_the_key_can_be_had(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    for cell in ("clarifai_session", "stub", "channel", "metadata", "41 + 1"):
        shell.run(cell)
    shell.run("%clarifai_auth logout")
    assert list(shell.names["Out"].values()) == [42]
    assert shell.run("_3, _4, _5, _6, _7").strip().endswith("('', '', '', '', 42)")


@pytest.mark.slow
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


def test_pieces_of_a_key_stay_masked_when_threads_write_to_one_terminal():
    for _ in range(50):
        seen, texts = [], [CANARY, "not it, " * 6]
        write = Written(None, seen.append, Masker([CANARY]))

        def in_pieces(texts=texts, write=write):
            for sign in texts.pop():
                write(sign.encode())

        with often_switching():
            in_threads(2, in_pieces)
        assert recovered(b"".join(seen), CANARY) <= MOST
