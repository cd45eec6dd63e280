"""The audit: keys are found in every corner of a notebook, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import nbformat
import pytest
from support import CANARY

from clarifai_magic.audit import audit
from clarifai_magic.errors import SourceError
from clarifai_magic.secret import MASK

HASH = "d41d8cd98f00b204e9800998ecf8427e"


def notebook(source="", outputs=(), metadata=None, cell_metadata=None):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata=cell_metadata or {})
    return nbformat.v4.new_notebook(cells=[cell], metadata=metadata or {})


def stream(text):
    return nbformat.v4.new_output("stream", text=text)


def widget_state(**state):
    return {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {HASH: state}}}}


@pytest.fixture
def write(tmp_path):
    def write(content):
        file = tmp_path / "a.ipynb"
        nbformat.write(content, file)
        return file

    return write


LEAKS = {
    "assignment": (notebook(f"x = 1\nPAT = '{CANARY}'"), "cell 1, source, line 2: assigned to PAT"),
    "KEY": (notebook(f'KEY="{CANARY}"'), "assigned to KEY"),
    "keyword": (notebook(f"User(pat='{CANARY}')"), "assigned to pat"),
    "environment": (
        notebook(f'os.environ["CLARIFAI_PAT"] = "{CANARY}"'),
        "assigned to CLARIFAI_PAT",
    ),
    "%env": (notebook(f"%env CLARIFAI_API_KEY={CANARY}"), "assigned to CLARIFAI_API_KEY"),
    "shell": (notebook(f"!export CLARIFAI_PAT={CANARY}"), "assigned to CLARIFAI_PAT"),
    "header": (notebook(f"h = {{'Authorization': 'Key {CANARY}'}}"), "an authorisation header"),
    "dict": (notebook(f"d = {{'api_key': '{CANARY}'}}"), "assigned to api_key"),
    "output": (
        notebook(outputs=[stream(f"a\nCLARIFAI_PAT={CANARY}\n")]),
        "cell 1, outputs, line 2",
    ),
    "json output": (notebook(outputs=[stream(json.dumps({"pat": CANARY}))]), "assigned to pat"),
    "cell metadata": (notebook(cell_metadata={"pat": CANARY}), "cell 1, metadata, line 1"),
    "metadata": (notebook(metadata={"a": {"api_key": CANARY}}), "metadata, line 1: the value of"),
    "widget": (
        notebook(metadata=widget_state(state={"_model_name": "PasswordModel", "value": CANARY})),
        "metadata, line 1: the value of pat",
    ),
}


@pytest.mark.parametrize(("content", "words"), LEAKS.values(), ids=LEAKS)
def test_a_key_is_found_and_its_place_named_without_it(write, content, words):
    (finding,) = audit([write(content)])
    assert words in str(finding)
    assert CANARY not in str(finding)


@pytest.mark.parametrize(
    "content",
    [
        notebook(f"commit = '{HASH}'"),
        notebook(f"cache_key = '{HASH}'\nmy_pat = '{HASH}'\nmonkey = '{HASH}'"),
        notebook(f"md5: {HASH}"),
        notebook(f"d = {{'key': '{HASH}', 'id': '{HASH}'}}"),
        notebook(f"PAT = '{HASH}{HASH}'\nKEY = '{HASH[:31]}'"),
        notebook("PAT = 'YOUR_PAT_HERE'"),
        notebook(outputs=[stream(f"{HASH}  file.txt")]),
        notebook(
            metadata=widget_state(model_name="TextModel", state={"layout": f"IPY_MODEL_{HASH}"})
        ),
        notebook(metadata={"vscode": {"hash": HASH}}),
    ],
)
def test_hashes_and_widget_ids_are_no_keys(write, content):
    assert list(audit([write(content)])) == []


def test_a_live_key_is_found_wherever_it_stands(shell, environment, sandbox, write):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    file = write(notebook("x", [stream(f"nothing tells {sandbox.keys.pat} apart")]))
    shell.run("%clarifai_auth")
    said = shell.run(f"%clarifai_auth audit {file}")
    assert "cell 1, outputs, line 1: a key that is signed in with now" in said
    assert "revoke it at" in said


def test_fix_masks_outputs_and_metadata_and_leaves_sources_to_the_user(shell, write):
    file = write(
        notebook(
            f"PAT = '{CANARY}'\n",
            [stream(f"PAT={CANARY}\n")],
            LEAKS["widget"][0].metadata,
        )
    )
    before = file.read_bytes()
    file.chmod(0o640)
    said = shell.run(f"%clarifai_auth audit --fix {file}")
    assert "Sources are left to you" in said
    fixed = nbformat.read(file, as_version=4)
    assert fixed.cells[0].source == f"PAT = '{CANARY}'\n"
    assert fixed.cells[0].outputs[0].text == f"PAT={MASK}\n"
    assert CANARY not in json.dumps(fixed.metadata)
    assert file.read_text().replace(MASK, CANARY) == before.decode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    backup = file.with_name("a.ipynb.bak")
    assert backup.read_bytes() == before
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    (left,) = audit([file])
    assert left.in_source


def test_a_clean_notebook_is_not_touched(shell, write):
    file = write(notebook("print(1)", [stream("1\n")]))
    before = file.stat().st_mtime_ns
    assert "No key was found." in shell.run(f"%clarifai_auth audit --fix {file}")
    assert file.stat().st_mtime_ns == before
    assert list(file.parent.glob("*.bak")) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON (line 1)"),
        (b"", "is not JSON"),
        (b"[]", "has no cells"),
        (b'{"cells": 1}', "has no cells"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_notebook_is_one_clear_error(tmp_path, content, words):
    file = tmp_path / "a.ipynb"
    file.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        list(audit([file]))
    assert words in caught.value.message
    assert file.read_bytes() == content


def test_folders_are_searched_and_a_missing_file_is_told(write, tmp_path):
    write(LEAKS["assignment"][0])
    assert len(list(audit([tmp_path]))) == 1
    with pytest.raises(SourceError, match="No such file"):
        list(audit([tmp_path / "none.ipynb"]))


@pytest.mark.parametrize(
    ("content", "code"), [(LEAKS["assignment"][0], 1), (notebook("print(1)"), 0), (None, 2)]
)
def test_the_command_line_exits_as_pre_commit_needs_it(write, tmp_path, content, code):
    file = write(content) if content else tmp_path / "none.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "clarifai_magic.audit", file],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert CANARY not in done.stdout + done.stderr
