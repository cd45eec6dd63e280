"""A kernel that has exported its sessions is searched: the key is in its keeper, and nowhere else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import psutil
import pytest
from leaks import kernel
from peers import COMPLETION, answer, server

# The search compares the key's digest, so that it does not find itself.
SEARCH = """
import collections, gc, hashlib, re

def is_it(value):
    text = str.__str__(value) if isinstance(value, str) else bytes(value).decode("latin-1")
    parts = re.findall("(?=([0-9a-f]{32}))", text)
    return any(hashlib.sha256(part.encode()).hexdigest() == DIGEST for part in parts)

def holders():
    gc.collect()
    found = collections.defaultdict(set)
    for each in gc.get_objects():
        for value in gc.get_referents(each):
            if isinstance(value, (str, bytes, bytearray)) and is_it(value):
                found[type(value).__name__].add(id(value))
    return found

keeper = clarifai_session._internals.found.credentials
own = {id(session.metadata[0][1]) for session in (clarifai_session, other)}
own |= {id(session._internals.found.credentials.key) for session in (clarifai_session, other)}
found = holders()
print(sorted(found), found["Secret"] == own)
"""
SIGN_IN = """
%load_ext clarifai_magic
import os, pathlib
os.environ["MINE"] = pathlib.Path("key").read_text()
os.remove("key")
%clarifai_auth --from env:MINE --app-id main --export-env
%clarifai_auth --from env:MINE --base UPSTREAM --no-verify --as other --export-openai
del os.environ["MINE"]
"""
CLIENTS = """
client, awaited = other.openai(), other.async_openai()
answered = client.chat.completions.with_raw_response.create(model="m", messages=[])
print(answered.parse().choices[0].message.content)
try:
    clarifai_session.openai(max_retries=0).models.list()
except Exception as error:
    failed = error
"""
CURL = """%%bash
curl -sS -H "Authorization: Key $CLARIFAI_PAT" "$CLARIFAI_API_BASE/v2/users/$CLARIFAI_USER_ID"
"""
NODE = """%%script node
const {CLARIFAI_API_BASE: base, CLARIFAI_PAT: token} = process.env;
fetch(`${base}/v2/users/me`, {headers: {Authorization: `Key ${token}`}})
  .then(answer => answer.json()).then(found => console.log(found.user.id));
"""
OPENAI = f"""%%script {sys.executable}
import openai
print(openai.OpenAI().chat.completions.create(model="m", messages=[]).choices[0].message.content)
"""
SDK = """
from clarifai.client.user import User
user = User()
print(sorted(app.id for app in user.list_apps()))
"""
CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(f"pid {os.getpid()}")
"""


@pytest.fixture
def upstream():
    """Speaks OpenAI's protocol, and keeps the authorisations that it is given."""
    given = []

    def serve(heard):
        given.extend(re.findall(rb"(?i)authorization: (.*)\r", heard.head()))
        body = json.dumps(COMPLETION).encode()
        heard.send(answer(body, "Content-Type: application/json", "Connection: close"))

    with server(serve) as running:
        running.given = given
        yield running


@pytest.fixture
def exporting(environment, sandbox, upstream, tmp_path, monkeypatch):
    """A kernel that found its key in a variable which is deleted, and exports two sessions."""
    environment()
    monkeypatch.chdir(tmp_path)
    Path("key").write_text(sandbox.keys.pat)
    with kernel() as running:

        def shown(cell):
            messages = json.loads(running.seen(cell))
            assert messages[-1]["status"] == "ok", messages
            assert sandbox.keys.pat not in str(messages)
            return "".join(each.get("text", "") for each in messages)

        assert "Signed in as alice" in shown(SIGN_IN.replace("UPSTREAM", upstream.base))
        yield shown


def written(folder):
    """The files of a folder, as far as they stay."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            yield path, path.read_bytes()


def search(shown, sandbox, home):
    """Look through the kernel, its children and its files."""
    pid = int(re.search("pid ([0-9]+)", shown(CHILD))[1])
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    assert len(family) > 1
    for process in family:
        assert sandbox.keys.pat not in str((process.environ(), process.cmdline()))
    files = dict(written(home))
    assert any(path.name == "history.sqlite" for path in files)
    assert not [path for path, data in files.items() if sandbox.keys.pat.encode() in data]
    # Which knows the key as well, to mask it.
    shown("%config ClarifaiMagics.guard = False")
    digest = hashlib.sha256(sandbox.keys.pat.encode()).hexdigest()
    assert shown(SEARCH.replace("DIGEST", repr(digest))) == "['Secret'] True\n"


@pytest.mark.slow
def test_the_key_is_in_its_keeper_alone(exporting, sandbox, tmp_path):
    assert '"id": "alice"' in exporting(CURL)
    exporting("made = [clarifai_session.broker, clarifai_session.auth, clarifai_session.headers]")
    assert "requests forwarded: 1" in exporting("%clarifai_auth status")
    search(exporting, sandbox, tmp_path)


@pytest.mark.slow
@pytest.mark.dev
def test_so_it_is_while_other_clients_work(exporting, sandbox, upstream, tmp_path):
    assert exporting(OPENAI) == "Hello\n"
    assert exporting(CLIENTS) == "Hello\n"
    # The API itself had the key of both.
    assert [*upstream.given] == [f"Bearer {sandbox.keys.pat}".encode()] * 2
    assert exporting(SDK) == "['main', 'recipes']\n"
    assert exporting(f"%%script {sys.executable}{SDK}") == "['main', 'recipes']\n"
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    assert exporting(NODE) == "alice\n"
    search(exporting, sandbox, tmp_path)


def test_after_logout_the_token_is_worth_nothing(exporting):
    exporting("token, base = clarifai_session.broker.token, clarifai_session.broker.base")
    exporting("%clarifai_auth logout")
    told = exporting('!curl -sS -H "Authorization: Key {token}" {base}/v2/users/me 2>&1')
    assert "alice" not in told
    assert "curl: (7)" in told
    assert exporting("print(sorted(n for n in os.environ if 'OPENAI' in n))") == "[]\n"
