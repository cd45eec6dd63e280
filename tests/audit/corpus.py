"""Writes down keys as people do, and what looks like one and is none, into files of every kind.

    python tests/audit/corpus.py FOLDER

Keys are random, and the same in each run. A file has one key or none.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
import sys
import textwrap
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "{KEY}"
EVERYWHERE = ("source", "output", "py", "md")
TEXT = ("output", "md", "txt")
PYTHON = {
    # The documentation's own idioms.
    "metadata of gRPC": "metadata = (('authorization', 'Key ' + '{KEY}'),)",
    "metadata, one literal": "metadata = (('authorization', 'Key {KEY}'),)",
    "metadata by f-string": "PAT = '{KEY}'\nmetadata = (('authorization', f'Key {PAT}'),)",
    "metadata by format": "auth = 'Key {}'.format('{KEY}')\nmetadata = (('authorization', auth),)",
    "metadata by percent": "metadata = (('authorization', 'Key %s' % '{KEY}'),)",
    "headers of requests": "import requests\nrequests.post('https://api.clarifai.com/v2/users/me/apps', headers={'Authorization': 'Key {KEY}'})",
    "bearer": "headers = {'Authorization': 'Bearer {KEY}'}",
    "item of headers": "headers = {}\nheaders['Authorization'] = 'Key ' + '{KEY}'",
    # Assigned.
    "PAT": "PAT = '{KEY}'",
    "PAT with double quotes": 'PAT = "{KEY}"',
    "PAT in three quotes": 'PAT = """{KEY}"""',
    "PAT in parentheses": "PAT = ('{KEY}')",
    "PAT on the next line": "PAT = (\n    '{KEY}'\n)",
    "PAT annotated": "PAT: str = '{KEY}'",
    "PAT raw": "PAT = r'{KEY}'",
    "PAT as bytes": "PAT = b'{KEY}'",
    "MY_PAT": "MY_PAT = '{KEY}'",
    "my_pat": "my_pat = '{KEY}'",
    "myPat": "myPat = '{KEY}'",
    "one of several": "pat1 = '{KEY}'",
    "of an ID": "client_id_pat = '{KEY}'",
    "PAT, and then its user": "PAT, USER_ID = '{KEY}', 'alice'",
    "CLARIFAI_KEY": "CLARIFAI_KEY = '{KEY}'",
    "clarifaiKey": "clarifaiKey = '{KEY}'",
    "API_KEY": "API_KEY = '{KEY}'",
    "apikey": "apikey = '{KEY}'",
    "key": "key = '{KEY}'",
    "token": "token = '{KEY}'",
    "access token": "CLARIFAI_PERSONAL_ACCESS_TOKEN = '{KEY}'",
    "secret": "clarifai_secret = '{KEY}'",
    "auth": "auth = '{KEY}'",
    "clarifai": "clarifai = '{KEY}'",
    "of several": "USER_ID, PAT = 'alice', '{KEY}'",
    "chained": "PAT = key = '{KEY}'",
    "walrus": "if (pat := '{KEY}'):\n    pass",
    "attribute": "class C: pass\nconfig = C()\nconfig.clarifai_pat = '{KEY}'",
    "default of a parameter": "def connect(user_id='alice', pat='{KEY}'):\n    pass",
    "class body": "class Settings:\n    PAT = '{KEY}'",
    "returned": "def get_pat():\n    return '{KEY}'",
    "in a dictionary": "config = {'user_id': 'alice', 'pat': '{KEY}'}",
    "in dict()": "config = dict(api_key='{KEY}')",
    "stripped": "PAT = '{KEY}\\n'.strip()",
    "in a list": "PATS = ['{KEY}']",
    "compared": "import os\nassert os.environ['CLARIFAI_PAT'] == '{KEY}'",
    "or": "import os\nPAT = os.environ.get('CLARIFAI_PAT') or '{KEY}'",
    "a comment": "# PAT = '{KEY}'\nx = 1",
    "a comment in words": "x = 1  # my clarifai key: {KEY}",
    "a docstring": '"""Run with CLARIFAI_PAT={KEY}"""',
    "printed": "print('PAT is {KEY}')",
    "upper case": "PAT = '{KEY.upper}'",
    # Put into the environment.
    "os.environ": "import os\nos.environ['CLARIFAI_PAT'] = '{KEY}'",
    "environ.setdefault": "import os\nos.environ.setdefault('CLARIFAI_PAT', '{KEY}')",
    "environ.update": "import os\nos.environ.update(CLARIFAI_API_KEY='{KEY}')",
    "putenv": "import os\nos.putenv('CLARIFAI_PAT', '{KEY}')",
    "default of getenv": "import os\nPAT = os.getenv('CLARIFAI_PAT', '{KEY}')",
    "monkeypatch": "def test(monkeypatch):\n    monkeypatch.setenv('CLARIFAI_PAT', '{KEY}')",
    # Given to a client.
    "User": "from clarifai.client.user import User\nclient = User(user_id='alice', pat='{KEY}')",
    "Model": "from clarifai.client.model import Model\nModel(url='https://clarifai.com/openai/chat-completion/models/GPT-4', pat='{KEY}')",
    "auth helper by position": "from clarifai.client.auth.helper import ClarifaiAuthHelper\nClarifaiAuthHelper('alice', 'main', '{KEY}')",
    "auth helper by way of a name": "from clarifai.client.auth.helper import ClarifaiAuthHelper\nx = '{KEY}'\nClarifaiAuthHelper('alice', 'main', x)",
    "client by way of a function": "from clarifai.client.user import User\ndef make(x):\n    return User(user_id='alice', pat=x)\nmake('{KEY}')",
    "openai's client": "from openai import OpenAI\nOpenAI(base_url='https://api.clarifai.com/v2/ext/openai/v1', api_key='{KEY}')",
    "openai's client, a neutral name": "from openai import OpenAI\nx = '{KEY}'\nOpenAI(base_url='https://api.clarifai.com/v2/ext/openai/v1', api_key=x)",
    "langchain": "from langchain_community.llms import Clarifai\nllm = Clarifai(pat='{KEY}', user_id='openai')",
    "litellm": "import litellm\nlitellm.completion(model='clarifai/openai.chat-completion.GPT-4', api_key='{KEY}')",
    "the old client": "from clarifai.rest import ClarifaiApp\napp = ClarifaiApp(api_key='{KEY}')",
    "the old client by position": "from clarifai.rest import ClarifaiApp\napp = ClarifaiApp('{KEY}')",
    "a setter": "client.set_token('{KEY}')",
    "Credentials": "from clarifai_magic import Credentials\nCredentials('{KEY}')",
    "a login by position": "login('alice', '{KEY}')",
    "a method's login by position": "client.login('alice', '{KEY}', True)",
    "a login by way of a name": "x = '{KEY}'\nlogin('alice', x)",
    "a list of tuples": "accounts = [('alice', '{KEY}'), ('bob', '')]\nfor user, pat in accounts:\n    pass",
    "a list of tuples, called so": "PATS = [\n    ('alice', '{KEY}'),\n    ('bob', ''),\n]",
    "tuples in a comprehension": "d = {user: pat for user, pat in [('alice', '{KEY}')]}",
    "by argv": "import subprocess\nsubprocess.run(['clarifai', 'login', '--pat', '{KEY}'])",
}
"""Python: in a notebook's cell and output, a module, and a page's block."""

MAGICS = {
    "%env with =": "%env CLARIFAI_PAT={KEY}",
    "%env with a space": "%env CLARIFAI_PAT {KEY}",
    "! export": "!export CLARIFAI_PAT={KEY} && python run.py",
    "! clarifai login": "!clarifai login --pat {KEY}",
    "%%bash": "%%bash\ncurl -H 'Authorization: Key {KEY}' https://api.clarifai.com/v2/models",
    "%%writefile": "%%writefile .env\nCLARIFAI_PAT={KEY}",
    "%set_env": "%set_env CLARIFAI_API_KEY={KEY}",
    "the magic itself": "%clarifai_auth {KEY}",
    "beside a magic": "%matplotlib inline\nPAT = '{KEY}'",
    "beside what is no Python": "files = !ls\nPAT = '{KEY}'",
    "in what is no Python": "PAT = '{KEY}'\nfor x in",
}
"""In a notebook's cells alone."""

SHELL = {
    "an assignment": "CLARIFAI_PAT={KEY}",
    "an export": "export CLARIFAI_PAT={KEY}",
    "quoted": 'CLARIFAI_API_KEY="{KEY}"',
    "spaced": "CLARIFAI_PAT = '{KEY}'",
    "another name": "CLARIFAI_ACCESS_TOKEN={KEY}",
    "short": "PAT={KEY}",
    "a remark": "# old one: CLARIFAI_PAT={KEY}",
    "lower case": "clarifai_pat={KEY}",
}
"""Variables: in .env, a shell's script and history, a page, an output."""

WRITTEN = {
    "curl": "curl -X POST https://api.clarifai.com/v2/models -H 'Authorization: Key {KEY}'",
    "an encoded header": "authorization=Key%20{KEY}&q=1",
    "a sentence": "My Clarifai PAT is {KEY}, do not share it.",
    "a sentence that ends with what it is": "{KEY} is my PAT",
    "on the next line": "Your personal access token:\n\n    {KEY}",
    "a table": "| name | PAT |\n|---|---|\n| alice | {KEY} |",
    "JSON": '{"user_id": "alice", "pat": "{KEY}"}',
    "JSON in JSON": r'"{\"pat\": \"{KEY}\"}"',
    "name and value": '[{"name": "CLARIFAI_PAT",\n  "value": "{KEY}"}]',
    "YAML": "clarifai:\n  pat: {KEY}",
    "YAML with a neutral name": "- name: CLARIFAI_PAT\n  value: {KEY}",
    "TOML": "[clarifai]\npat = '{KEY}'",
    "JavaScript": "const pat = '{KEY}';",
    "JavaScript's headers": "headers: { 'Authorization': 'Key ' + '{KEY}' }",
    "Java": 'private static final String PAT = "{KEY}";',
    "HTML": "<table><tr><td>PAT</td><td>{KEY}</td></tr></table>",
    "entities": "{&quot;pat&quot;: &quot;{KEY}&quot;}",
    "repr of metadata": "(('authorization', 'Key {KEY}'),)",
    "colours": "\x1b[32mCLARIFAI_PAT\x1b[39m\x1b[38;5;241m=\x1b[39m\x1b[33m{KEY}\x1b[0m",
    "base64 of a header": "authorization: {KEY.base64}",
    "an error": "clarifai.errors.UserError: invalid PAT '{KEY}'",
    "whos": "Variable   Type    Data/Info\n----------------------------\nPAT        str     {KEY}",
    "printenv": "HOME=/root\nCLARIFAI_PAT={KEY}\nLANG=C",
    "the user of a URL": "https://alice:{KEY}@api.clarifai.com/v2/models",
    "a shell's default": "pat=${CLARIFAI_PAT:-{KEY}}",
    "an input's HTML": '<input name="pat" value="{KEY}">',
    "Markdown": "**PAT**: `{KEY}`",
    "a URL": "https://api.clarifai.com/v2/models?key={KEY}",
    "CLI": "clarifai config create-context work --pat {KEY}",
    "Docker": "ENV CLARIFAI_PAT {KEY}",
}
"""What programs show and people write: in outputs, pages and texts."""

COLUMNS = {
    "a column in the middle": "user,pat,created\nalice,{KEY},2024-01-01",
    "a column, far below its name": "user,clarifai_pat,created\n"
    + "bob,,2024-01-01 12:00:00\n" * 60
    + "alice,{KEY},2024-01-01",
    "columns in quotes": '"name","api_key","notes"\n"alice","{KEY}","one, two"',
    "columns between tabs": "name\tPAT\tscopes\nalice\t{KEY}\tall",
    "columns between semicolons": "name;access_token;app\nalice;{KEY};main",
    "a table of Markdown": "| user | PAT | app |\n|---|---|---|\n| alice | {KEY} | main |",
}
"""Tables, of which the first line names the columns."""

ELEMENTS = {
    "a class": '<span class="pat">{KEY}</span>',
    "one of several classes": '<td class="col clarifai-pat">{KEY}</td>',
    "an ID": '<code id="clarifai-api-key">{KEY}</code>',
}
"""In HTML, where the text itself does not say what it is."""

BELOW = {
    "a block, and what it is used as": "```\n{KEY}\n```\n\nUse it as your PAT.",
    "a block, and what it is set as": "```\n{KEY}\n```\nSet this as CLARIFAI_PAT and go on.",
}
"""In a page, where the words stand below."""

HASH, HASH2 = "{HASH}", "{HASH2}"
DECOYS = {
    "commit": "commit = '{HASH}'",
    "commit line": "commit {HASH}\nAuthor: alice",
    "md5": "md5 = '{HASH}'",
    "md5 colon": "md5: {HASH}",
    "checksum": "checksum = '{HASH}'",
    "digest": "assert digest == '{HASH}'",
    "md5sum": "{HASH}  file.tar.gz",
    "hexdigest": "hashlib.md5(key).hexdigest() == '{HASH}'",
    "sha256": "sha256 = '{HASH}{HASH2}'",
    "key of 64": "PAT = '{HASH}{HASH2}'",
    "key of 31": "PAT = '{HASH31}'",
    "key of 33": "PAT = '{HASH}0'",
    "a placeholder": "PAT = 'YOUR_PAT_HERE'",
    "zeros": "PAT = '00000000000000000000000000000000'",
    "the same digit": "PAT = 'ffffffffffffffffffffffffffffffff'",
    "counting": "PAT = '0123456789abcdef0123456789abcdef'",
    "repeated": "PAT = 'deadbeefdeadbeefdeadbeefdeadbeef'",
    "digits": "key = '31415926535897932384626433832795'",
    "uuid": "id = uuid.UUID('{HASH}')",
    "uuid dashed": "token = '{UUID}'",
    "guid": "guid = '{HASH}'",
    "app_id": "APP_ID = '{HASH}'",
    "app_id of User": "from clarifai.client.user import User\nUser(user_id='alice').app('{HASH}')",
    "app_id of a request": "resources_pb2.UserAppIDSet(user_id='alice', app_id='{HASH}')",
    "user_id": "USER_ID = '{HASH}'",
    "model version": "MODEL_VERSION_ID = '{HASH}'",
    "model version argument": "from clarifai.client.model import Model\nModel(url='https://clarifai.com/clarifai/main/models/x', model_version={'id': '{HASH}'})",
    "model version in a request": "service_pb2.PostModelOutputsRequest(model_id='general', version_id='{HASH}')",
    "model version URL": "url = 'https://clarifai.com/clarifai/main/models/general-image-recognition/versions/{HASH}'",
    "model version path": "https://api.clarifai.com/v2/users/clarifai/apps/main/models/x/versions/{HASH}/outputs",
    "model version of the docs": "MODEL_ID = 'general'\nMODEL_VERSION_ID = '{HASH}'\nPAT = 'YOUR_PAT_HERE'",
    "input id": "input_id = '{HASH}'",
    "input of clarifai": "clarifai_input_id = '{HASH}'",
    "concept": "concept_id: {HASH}",
    "workflow": "workflow_id = '{HASH}'",
    "dataset version": "dataset_version_id = '{HASH}'",
    "request id": "req_id: '{HASH}'",
    "request id of clarifai": 'status { code: 10000 req_id: "{HASH}" }',
    "cache key": "cache_key = '{HASH}'",
    "cacheKey": "cacheKey: '{HASH}'",
    "primary key": "primary_key = '{HASH}'",
    "foreign key": "foreign_key = '{HASH}'",
    "partition key": "partition_key: '{HASH}'",
    "key id": "key_id = '{HASH}'",
    "public key": "public_key = '{HASH}'",
    "key fingerprint": "key_fingerprint = '{HASH}'",
    "hash key": "hash_key = '{HASH}'",
    "idempotency key": "idempotency_key = '{HASH}'",
    "token id": "token_id = '{HASH}'",
    "page token": "next_page_token = '{HASH}'",
    "csrf token": "csrf_token = '{HASH}'",
    "monkey": "monkey = '{HASH}'",
    "keyboard": "keyboard = '{HASH}'",
    "patch": "patch = '{HASH}'",
    "path": "path = '{HASH}'",
    "pattern": "pattern = '{HASH}'",
    "tokenizer": "tokenizer = '{HASH}'",
    "author": "author = '{HASH}'",
    "secretary": "secretary = '{HASH}'",
    "etag": 'ETag: "{HASH}"',
    "trace": "trace_id={HASH} span_id=1",
    "session": "session_id = '{HASH}'",
    "build": "build = '{HASH}'",
    "revision": "rev = '{HASH}'",
    "docker layer": "sha256:{HASH}{HASH2}",
    "pip hash": "foo==1.0 --hash=md5:{HASH}",
    "pip hash long": "foo==1.0 --hash=sha256:{HASH}{HASH2}",
    "URL with fragment": "https://pypi.org/foo.tar.gz#md5={HASH}",
    "a file's name": "open('{HASH}.png')",
    "a file's path": "/var/cache/{HASH}/data.bin",
    "a gravatar": "https://gravatar.com/avatar/{HASH}?s=80",
    "a gist": "https://gist.github.com/alice/{HASH}",
    "alone": "{HASH}",
    "alone in quotes": "'{HASH}'",
    "a list of hashes": "['{HASH}', '{HASH2}']",
    "a dict of hashes": "d = {'md5': '{HASH}', 'name': 'key'}",
    "a dict of ids": "d = {'{HASH}': 1, '{HASH2}': 2}",
    "layout": "IPY_MODEL_{HASH}",
    "cell id": '"id": "{HASH}"',
    "model id": '"model_id": "{HASH}"',
    "vscode": '"vscode": {"interpreter": {"hash": "{HASH}"}}',
    "object at": "<Thing object {HASH}>",
    "version": "version: {HASH}",
    "serial": "serial = '{HASH}'",
    "nonce": "nonce = '{HASH}'",
    "salt": "salt = '{HASH}'",
    "iv": "iv = bytes.fromhex('{HASH}')",
    "color list": "colors = '{HASH}'",
    "mac": "mac = '{HASH}'",
    "signature": "signature = '{HASH}'",
    "blob": "blob {HASH}",
    "a sentence about a hash": "The file's MD5 is {HASH}, as the page says.",
    "a sentence with key and hash": "The key of this object is the hash {HASH}.",
    "a table of files": "| file | md5 |\n|---|---|\n| a.txt | {HASH} |",
    "base64 of no key": "image: {BASE64}",
    "a lock": '{"name": "x", "integrity": "sha512-{BASE64}", "hash": "{HASH}"}',
    "conda": "https://conda.anaconda.org/main/linux-64/x-1.0.tar.bz2#{HASH}",
    "node": "node_id: {HASH}",
    "sentence of an app": "The app {HASH} belongs to alice.",
    "clarifai model": "clarifai model {HASH}",
    "hex dump": "0000: {HASH}",
    "embedding": "embedding_id={HASH}",
    "job": "job {HASH} finished",
    # What looks like a key by its place, and is none by its name.
    "a column of digests": "file,md5,created\na.txt,{HASH},2024-01-01",
    "a column beside a key's": "key,md5,created\na/b.txt,{HASH},2024-01-01",
    "a column beside a PAT's": "md5,size,pat\n{HASH},12,none\n{HASH2},13,none",
    "columns between tabs": "token\tcommit\twho\nnone\t{HASH}\talice",
    "a table of commits and keys": "| PAT | commit |\n|---|---|\n| none | {HASH} |",
    "a class": '<span class="hash">{HASH}</span>',
    "a class of a highlighter": '<span class="token">{HASH}</span>',
    "a class that begins so": '<span class="patch path">{HASH}</span>',
    "a class with both": '<td class="clarifai-input-id">{HASH}</td>',
    "a digest by position": "verify_digest('alice', '{HASH}')",
    "a cache by position": "cache('alice', '{HASH}')",
    "a login's session": "login_session_id('alice', '{HASH}')",
    "a list of files and digests": "files = [('a.txt', '{HASH}'), ('b.txt', '{HASH2}')]\nfor name, md5 in files:\n    pass",
    "a list of keys and digests": "for key, digest in [('a', '{HASH}')]:\n    pass",
    "a block used as a checksum": "```\n{HASH}\n```\n\nUse it as the checksum.",
    "a block before another's PAT": "```\n{HASH}  a.tar.gz\n```\n\nThen export your PAT.",
    "a block with an app": "```\n{HASH}\n```\n\nis the app; as an owner you need a PAT.",
}
"""In a notebook's cell and output, a module, a page and a text, where it fits."""


class Planted(NamedTuple):
    """A file of the corpus.

    Parameters
    ----------
    shape, place : str
        What is written down, and in which kind of file.
    file : str
        Its name, with the ending that the kind has.
    content : bytes
    key : str
        Empty for a decoy.
    """

    shape: str
    place: str
    file: str
    content: bytes
    key: str = ""


def leaks() -> Iterator[Planted]:
    """A file for each shape in each kind of file where it fits."""
    chance = random.Random(18)
    number = 0
    for shapes, places in (
        (PYTHON, EVERYWHERE),
        (MAGICS, ("source",)),
        (SHELL, ("env", "sh", "history", "output", "md")),
        (WRITTEN, (*TEXT, "html", "json output", "metadata", "attachment")),
        (COLUMNS, ("csv", *TEXT, "attachment")),
        (ELEMENTS, ("html", "txt", "xml")),
        (BELOW, ("plain md", "txt")),
    ):
        for shape, text in shapes.items():
            for place in places:
                key = new_key(chance)
                coded = base64.b64encode(f"Key {key}".encode()).decode()
                written = text.replace("{KEY.upper}", key.upper())
                written = written.replace("{KEY.base64}", coded).replace(KEY, key)
                number += 1
                yield _planted(f"{number:04}", shape, place, written, key)
    yield from _whole_notebooks(chance)


def decoys() -> Iterator[Planted]:
    """A file for each decoy in each kind of file."""
    chance = random.Random(81)
    number = 0
    for shape, text in DECOYS.items():
        for place in (*EVERYWHERE, "txt", "metadata"):
            first, second = new_key(chance), new_key(chance)
            coded = base64.b64encode(hashlib.sha512(first.encode()).digest()).decode()
            written = text.replace("{HASH31}", first[:31]).replace(HASH, first)
            written = written.replace(HASH2, second).replace("{BASE64}", coded)
            written = written.replace("{UUID}", str(uuid.UUID(second)))
            number += 1
            yield _planted(f"d{number:04}", shape, place, written)
    picture = base64.b64encode(chance.randbytes(100_000)).decode()
    yield Planted(
        "a picture", "output", "picture.ipynb", notebook(outputs=[shown({"image/png": picture})])
    )


def new_key(chance: random.Random) -> str:
    """A key that nobody has."""
    return f"{chance.getrandbits(128):032x}"


def _planted(number: str, shape: str, place: str, text: str, key: str = "") -> Planted:
    lines = f"x = 1\n{text}\n"
    match place:
        case "source":
            content, file = notebook(text if text.startswith("%%") else lines), f"{number}.ipynb"
        case "output":
            content, file = notebook("x", [stream(f"some text\n{text}\n")]), f"{number}.ipynb"
        case "html":
            body = text if text.startswith(("<", "{&")) else f"<pre>{html.escape(text)}</pre>"
            content, file = notebook("x", [shown({"text/html": body})]), f"{number}.ipynb"
        case "json output":
            content, file = (
                notebook("x", [shown({"application/json": {"a": [text]}})]),
                f"{number}.ipynb",
            )
        case "metadata":
            content, file = notebook(metadata={"a": {"notes": text}}), f"{number}.ipynb"
        case "attachment":
            coded = base64.b64encode(text.encode()).decode()
            content, file = attached({"notes.txt": {"text/plain": coded}}), f"{number}.ipynb"
        case "md" | "plain md":
            fence = "```python" if shape in PYTHON else "```"
            block = text if place == "plain md" else f"{fence}\n{text}\n```"
            content, file = f"# A page\n\n{block}\n".encode(), f"{number}.md"
        case "history":
            content, file = f"ls\n{text}\ncd\n".encode(), f".{number}_history"
        case "env":
            content, file = f"A=1\n{text}\n".encode(), f"{number}.env"
        case _:
            content, file = lines.encode(), f"{number}.{place}"
    return Planted(shape, place, file, content, key)


def _whole_notebooks(chance: random.Random) -> Iterator[Planted]:
    """Leaks that take more of a notebook than one place."""
    key = new_key(chance)
    yield Planted(
        "a bare result",
        "output",
        "bare.ipynb",
        notebook("PAT", [shown({"text/plain": f"'{key}'"})]),
        key,
    )
    key = new_key(chance)
    yield Planted(
        "a bare print",
        "output",
        "print.ipynb",
        notebook("print(my_key)", [stream(f"{key}\n")]),
        key,
    )
    key = new_key(chance)
    cells = [
        code("x = '" + key + "'"),
        code("from clarifai.client.user import User\nUser('alice', pat=x)"),
    ]
    yield Planted("from cell to cell", "source", "cells.ipynb", of_cells(cells), key)
    key = new_key(chance)
    yield Planted(
        "a traceback", "output", "traceback.ipynb", notebook("x", [raised(_traceback(key))]), key
    )
    key = new_key(chance)
    state = {"state": {"_model_name": "PasswordModel", "description": "", "value": key}}
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": {"a" * 32: state}}}
    yield Planted(
        "a widget", "metadata", "widget.ipynb", notebook(metadata={"widgets": widgets}), key
    )
    key = new_key(chance)
    yield Planted(
        "papermill",
        "metadata",
        "papermill.ipynb",
        notebook(metadata={"papermill": {"parameters": {"pat": key}}}),
        key,
    )
    key = new_key(chance)
    data = {"application/vnd.plotly.v1+json": {"config": {"clarifaiToken": key}}}
    yield Planted("a plot's settings", "output", "plot.ipynb", notebook("x", [shown(data)]), key)
    key = new_key(chance)
    yield Planted(
        "a file of a Clarifai context",
        "yaml",
        "config.yaml",
        f"contexts:\n  default:\n    CLARIFAI_PAT: {key}\n".encode(),
        key,
    )
    for name in ("source", "cells"):
        key = new_key(chance)
        cell = f'{{"cell_type": "code", "source": ["PAT = \'{key}\'"], "source": ["x"]}}'
        cells = f'[{cell}], "cells": []' if name == "cells" else f"[{cell}]"
        content = f'{{"cells": {cells}, "metadata": {{}}, "nbformat": 4}}'
        yield Planted(
            f"hidden by another {name}", "hidden", f"hidden-{name}.ipynb", content.encode(), key
        )
    key = new_key(chance)
    yield Planted("UTF-16", "txt", "utf16.txt", f"CLARIFAI_PAT={key}\r\n".encode("utf-16"), key)
    key = new_key(chance)
    wrapped = base64.encodebytes(
        f"a long text before it, CLARIFAI_PAT={key}, and after it".encode()
    ).decode()
    yield Planted("base64 in lines", "txt", "wrapped.txt", wrapped.encode(), key)


def _traceback(key: str) -> list[str]:
    """As IPython colours one."""
    return [
        "\x1b[31m---------------------------------------------------------------------------\x1b[39m",
        "\x1b[31mZeroDivisionError\x1b[39m                         Traceback (most recent call last)",
        (
            "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[1]\x1b[39m\x1b[32m, line 1\x1b[39m\n"
            f'\x1b[32m----> \x1b[39m\x1b[32m1\x1b[39m PAT = \x1b[33m"\x1b[39m\x1b[33m{key}\x1b[39m\x1b[33m"\x1b[39m; '
            "\x1b[32;43m1\x1b[39;49m\x1b[43m/\x1b[49m\x1b[32;43m0\x1b[39;49m"
        ),
        "\x1b[31mZeroDivisionError\x1b[39m: division by zero",
    ]


def notebook(source="", outputs=(), metadata=None) -> bytes:
    """A notebook of one cell, as nbformat writes it."""
    return of_cells([code(source, outputs)], metadata)


def of_cells(cells, metadata=None) -> bytes:
    content = {"cells": cells, "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogatepass"
    )


def code(source, outputs=()):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "a1b2",
        "metadata": {},
        "outputs": list(outputs),
        "source": source.splitlines(keepends=True),
    }


def attached(attachments) -> bytes:
    cell = {"cell_type": "markdown", "id": "a1b2", "metadata": {}, "source": ["![a](attachment:a)"]}
    return of_cells([{**cell, "attachments": attachments}])


def stream(text):
    return {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}


def shown(data):
    data = {
        kind: value.splitlines(keepends=True)
        if isinstance(value, str) and kind != "image/png"
        else value
        for kind, value in data.items()
    }
    return {"data": data, "execution_count": None, "metadata": {}, "output_type": "execute_result"}


def raised(traceback):
    return {"ename": "E", "evalue": "e", "output_type": "error", "traceback": traceback}


def write(folder: Path) -> None:
    """Put all of it into two folders, ``leaks`` and ``decoys``."""
    for name, files in (("leaks", leaks()), ("decoys", decoys())):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for each in files:
            (folder / name / each.file).write_bytes(each.content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(textwrap.dedent(__doc__))
    write(Path(sys.argv[1]))
