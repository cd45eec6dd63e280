"""What leads nowhere to Clarifai is the program's own business: it runs as it was written."""

from __future__ import annotations

import ast
import builtins
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarifai_magic.programs.calls import imported_parameters
from clarifai_magic.programs.claims import Value
from clarifai_magic.programs.show import shown
from clarifai_magic.programs.sinks import find

PUBLIC = "https://api.clarifai.com"
IDS = {Value.USER_ID: True, Value.APP_ID: True}
LARGE = 30_000  # bytes of a module, which take a second or more


def found(text: str):
    tree = ast.parse(text)
    return tree, find(
        tree,
        deployment=PUBLIC,
        ids=IDS,
        known=lambda name: getattr(builtins, name, None),
        parameters=imported_parameters,
    )


def rewritten(text: str) -> str:
    tree, what = found(text)
    return shown(text, tree, what.edits, {}, "CLARIFAI_PAT")


HONEST = {
    "a prompt about keys": "prompt = 'Summarize the key points of your article'\nprint(prompt)",
    "a text for a file": "n = 3\nwith open('legend.txt', 'w') as f:\n    f.write(f'Key {n} of the legend')\n"
    "print(open('legend.txt').read())",
    "empty texts": "token = page_token = user_message = pat = api_key = ''\nprint([token, page_token])",
    "a mapping": "print(dict(key='x', token='', api_key='YOUR_KEY', user_id='YOUR_USER_ID'))",
    "another vendor's token": "def download(token, repo='your/model'):\n    return token\n"
    "print(download(token='YOUR_HF_TOKEN'))",
    "headers for nobody's host": "def post(url, headers):\n    return headers\n"
    "print(post('https://example.com/v1', headers={'Authorization': 'Bearer YOUR_KEY'}))",
    "a class": "class Door:\n    def __init__(self, key='', user_id='YOUR_USER_ID'):\n"
    "        self.key = key\n        self.user_id = user_id\nprint(vars(Door()))",
    "a channel's name": "def get_grpc_channel(base='YOUR_HOST'):\n    return base\nprint(get_grpc_channel())",
    "a URL in prose": "print('Read https://api.clarifai.com/v2/users/YOUR_USER_ID/apps/YOUR_APP_ID')",
    "a joined URL": "from urllib.parse import urljoin\nprint(urljoin('https://api.clarifai.com', '/v2/users/YOUR_USER_ID'))",
    "a command line": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--pat', default='YOUR_PAT')\n"
    "print(p.parse_args([]).pat)",
    "a host by itself": "HOST = 'api.clarifai.com'\nprint(f'https://{HOST}/v2/users/YOUR_USER_ID')",
    "a connection without a key": "import http.client\nprint(http.client.HTTPSConnection('api.clarifai.com').host)",
    "a URL by itself": "print('https://api.clarifai.com/v2/users/YOUR_USER_ID')",
    "a method called metadata": "def call(metadata=()):\n    return metadata\n"
    "print(call(metadata=(('authorization', 'Key of the door'),)))",
    "a package of that name": "import types\nclarifai = types.SimpleNamespace(say=lambda token: token)\n"
    "print(clarifai.say(token=''))",
    "IDs of an object of its own": "class Person:\n    pass\np = Person()\np.user_id = p.app_id = 'YOUR_USER_ID'\n"
    "print(p.user_id)",
    "the same text as a key's": "text = ''\nprint('Key ' + text)\nprint(f'Bearer {text}')",
    "keys in capitals": "KEY, PAT, TOKEN = 'KEY', 'PAT', 'TOKEN'\nprint({'pat': PAT}, KEY, TOKEN)",
    "a file with a URL": "import json\nwith open('config.json', 'w') as f:\n    json.dump({'api_key': '', "
    "'base_url': 'https://api.clarifai.com', 'headers': {'Authorization': 'Key YOUR_PAT'}}, f)\n"
    "print(open('config.json').read())",
    "a mapping with a URL": "print(dict(pat='', url='https://api.clarifai.com/v2/users/YOUR_USER_ID'))",
    "a function of its own with a URL": "def Model(url, token=None, headers=None):\n    return token, headers\n"
    "print(Model('https://api.clarifai.com', token='', headers={'Authorization': 'Key YOUR_PAT'}))",
    "a class of its own with a URL": "from dataclasses import dataclass\n@dataclass\nclass C:\n    url: str\n"
    "    token: str\nprint(C(url='https://api.clarifai.com', token=''))",
    "a function of its own": "def Model(pat=None, user_id=None):\n    return pat, user_id\n"
    "print(Model(pat='YOUR_PAT', user_id='YOUR_USER_ID'))",
    "comments": "# Key YOUR_PAT\nx = 1  # metadata=(('authorization', 'Key ' + PAT),)\nprint(x)",
    "an own environment": "import os\nos.environ['MY_TOKEN'] = 'YOUR_TOKEN'\nprint(os.environ.pop('MY_TOKEN'))",
    "an own loop": "import asyncio\nasync def main():\n    return 'Key ' + ''\nprint(asyncio.run(main()))",
}


@pytest.fixture
def signed_in(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_an_honest_program_does_the_same_as_in_a_cell(signed_in, tmp_path, monkeypatch, text):
    def ran(cell):
        (folder := tmp_path / str(len(cell))).mkdir()
        monkeypatch.chdir(folder)
        before = set(signed_in.names)
        said = signed_in.run(cell)
        new = {name for name in set(signed_in.names) - before if not name.startswith("_")}
        plain = {name: signed_in.names.pop(name) for name in new}
        values = {
            name: value for name, value in plain.items() if isinstance(value, (str, int, tuple))
        }
        return said, new, values, {each.name: each.read_text() for each in folder.iterdir()}

    assert ran(f"%%clarifai_sample\n{text}") == ran(text)


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_nothing_of_an_honest_program_is_changed(text):
    assert rewritten(text) == text


NOT_CLARIFAIS = {
    "a company's package": "from mycompany.clarifai.report import make\nmake(token='', pat='YOUR_PAT')\n",
    "what a message says": "from clarifai_grpc.grpc.api import resources_pb2\n"
    "resources_pb2.Data(metadata={'authorization': 'Key CARD'})\n",
    "IDs of one's own": "from clarifai.client.app import App\nApp(user_id='my-company', app_id='my-first-app', "
    "pat=secret, base_url=here)\n",
}


@pytest.mark.parametrize("text", NOT_CLARIFAIS.values(), ids=NOT_CLARIFAIS)
def test_what_only_reads_as_if_it_was_clarifais_stays(text):
    assert rewritten(text) == text


def test_a_text_that_is_a_key_and_a_prompt_stays_a_prompt():
    text = (
        "from clarifai.client.model import Model\nEMPTY = ''\nprompt = EMPTY\n"
        "model = Model(url='https://clarifai.com/a/b/models/c', pat=EMPTY)\nmodel.predict(prompt)\n"
    )
    changed = rewritten(text)
    assert "pat=os.environ['CLARIFAI_PAT']" in changed
    assert "EMPTY = ''\nprompt = EMPTY\n" in changed


def test_of_two_objects_with_the_same_attribute_only_clarifais_is_changed():
    text = (
        "from clarifai.client.user import User\n"
        "class Theirs:\n    token = ''\nclass Ours:\n    token = ''\n"
        "print(Theirs().token)\nUser('alice', pat=Ours().token)\n"
    )
    changed = rewritten(text)
    assert "class Theirs:\n    token = ''\n" in changed
    assert "class Ours:\n    token = os.environ['CLARIFAI_PAT']\n" in changed


SHAPES = {
    "a client and its key": (
        (
            "from openai import OpenAI\n"
            "theirs = OpenAI(base_url='https://api.openai.com/v1', api_key='YOUR_KEY')\n"
            "ours = OpenAI(base_url='https://api.clarifai.com/v2/ext/openai/v1', api_key='YOUR_KEY')\n"
        ),
        [3],
    ),
    "a model's page is no host": (
        (
            "from langchain_openai import ChatOpenAI\n"
            "llm = ChatOpenAI(\n"
            "    openai_api_base='https://api.clarifai.com/v2/ext/openai/v1',\n"
            "    openai_api_key='YOUR_PAT',\n"
            "    model='https://clarifai.com/openai/chat-completion/models/gpt-4o',\n)\n"
        ),
        [3, 4],
    ),
    "a transport": (
        (
            "from fastmcp.client.transports import StreamableHttpTransport\n"
            "url = 'https://api.clarifai.com/v2/ext/mcp/v1/users/clarifai/apps/mcp/models/m'\n"
            "t = StreamableHttpTransport(url=url, headers={'Authorization': 'Bearer ' + 'YOUR_PAT'})\n"
        ),
        [2, 3],
    ),
    "a description": (
        (
            "from crewai_tools import MCPServerAdapter\n"
            "parameters = {\n"
            "    'url': 'https://api.clarifai.com/v2/ext/mcp/v1',\n"
            "    'headers': {'Authorization': 'Bearer YOUR_PAT'},\n}\n"
            "adapter = MCPServerAdapter(parameters)\n"
        ),
        [3, 4],
    ),
    "what a method sends": (
        (
            "from openai import OpenAI\n"
            "client = OpenAI(base_url='https://api.clarifai.com/v2/ext/openai/v1', api_key='')\n"
            "tool = {\n"
            "    'url': 'https://api.clarifai.com/v2/ext/mcp/v1',\n"
            "    'headers': {'Authorization': 'Bearer YOUR_PAT'},\n}\n"
            "client.responses.create(model='m', tools=[tool], input='https://example.com/cat.png')\n"
        ),
        [2],
    ),
    "paths behind a client's base": (
        (
            "import aiohttp, httpx\nPATH = '/users/YOUR_USER_ID/apps'\n"
            "with httpx.Client(base_url='https://api.clarifai.com/v2', headers={'Authorization': 'Key YOUR_PAT'}) as c:\n"
            "    c.get(PATH)\n    c.request('GET', url='/users/<user>/apps')\n"
            "s = aiohttp.ClientSession('https://api.clarifai.com', headers={'Authorization': 'Key YOUR_PAT'})\n"
            "s.get(f'/v2/users/{\"YOUR_USER_ID\"}/apps')\n"
            "httpx.Client(base_url='https://elsewhere.example').get('/users/YOUR_USER_ID')\n"
        ),
        [2, 3, 5, 6, 7],
    ),
    "the SDK of another": (
        (
            "from langchain_community.llms import Clarifai\n"
            "llm = Clarifai(pat='YOUR_PAT', user_id='openai', app_id='YOUR_APP_ID')\n"
        ),
        [2],
    ),
    "a module's settings": (
        (
            "import litellm, other\n"
            "litellm.api_key = 'YOUR_PAT'\n"
            "other.api_key = 'YOUR_KEY'\n"
            "litellm.api_base = 'https://api.clarifai.com/v2/ext/openai/v1'\n"
            "litellm.completion(model='openai/m', messages=[])\n"
        ),
        [2, 4],
    ),
    "descriptions within others": (
        (
            "from litellm import Router\n"
            "Router(model_list=[\n"
            "    {'model_name': 'a', 'litellm_params': {\n"
            "        'api_base': 'https://api.clarifai.com/v2/ext/openai/v1', 'api_key': 'YOUR_PAT'}},\n"
            "    {'model_name': 'b', 'litellm_params': {\n"
            "        'api_base': 'https://elsewhere.example/v1', 'api_key': 'YOUR_KEY'}},\n"
            "])\n"
        ),
        [4],
    ),
    "IDs that are called so": (
        (
            "from clarifai.client.app import App\n"
            "App(user_id='user-id', app_id='app-id-here', pat=secret, base_url=here)\n"
            "App(user_id='user-idea', app_id='my-app-id', pat=secret, base_url=here)\n"
        ),
        [2],
    ),
    "LiteLLM": (
        (
            "from litellm import completion\n"
            "completion(model='openai/gpt-4o', api_key='YOUR_KEY', messages=[])\n"
            "completion(model='clarifai/openai.chat.gpt-4o', api_key='YOUR_KEY', messages=[])\n"
        ),
        [3],
    ),
    "a loop over keys": (
        (
            "from clarifai.client.user import User\n"
            "for each in ('YOUR_PAT', '<another pat>'):\n"
            "    User('alice', pat=each)\n"
        ),
        [2],
    ),
    "IDs of what is made": (
        (
            "from clarifai.client.user import User\n"
            "client = User(user_id='YOUR_USER_ID')\n"
            "client.create_app(app_id='YOUR_APP_ID')\n"
            "client.delete_app(app_id='YOUR_APP_ID')\n"
            "client.app(app_id='YOUR_APP_ID')\n"
        ),
        [2, 5],
    ),
    "a picture that the program's own function is given": (
        (
            "import os\nfrom clarifai.client.user import User\n"
            "def predict(pat, url):\n    return User('alice', pat=pat), url\n"
            "predict('YOUR_PAT', 'https://example.com/cat.png')\n"
        ),
        [5],
    ),
    "a client that is derived": (
        (
            "from openai import OpenAI\nclass Mine(OpenAI):\n    pass\n"
            "Mine(base_url='https://api.clarifai.com/v2/ext/openai/v1', api_key='YOUR_PAT')\n"
            "class Ours(OpenAI):\n    def __init__(self, key):\n"
            "        super().__init__(base_url='https://api.clarifai.com/v2/ext/openai/v1', api_key=key)\n"
            "Ours('YOUR_PAT')\n"
        ),
        [4, 7, 8],
    ),
    "metadata of an input": (
        (
            "from clarifai.client.input import Inputs\n"
            "inputs = Inputs(user_id='alice', pat='YOUR_PAT')\n"
            "inputs.upload_from_text('1', raw_text='', metadata={'user_id': 'YOUR_NAME', 'pat': ''})\n"
        ),
        [2],
    ),
    "two branches": (
        (
            "import os\nfrom clarifai.client.user import User\n"
            "if os.path.exists('x'):\n    pat = 'YOUR_PAT'\nelse:\n    pat = ''\n"
            "User('alice', pat=pat)\npat = ''\nprint(pat)\n"
        ),
        [4, 6],
    ),
    "a header that is added": (
        (
            "from urllib.request import Request, urlopen\n"
            "r = Request('https://api.clarifai.com/v2/models')\n"
            "r.add_header('Authorization', 'Key YOUR_PAT')\nurlopen(r)\n"
        ),
        [2, 3],
    ),
    "metadata that grows": (
        (
            "from clarifai_grpc.grpc.api import service_pb2, service_pb2_grpc\n"
            "stub = service_pb2_grpc.V2Stub(channel)\nmetadata = []\n"
            "metadata.append(('authorization', 'Key YOUR_PAT'))\n"
            "stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata)\n"
        ),
        [4],
    ),
    "a field's default": (
        (
            "from dataclasses import dataclass, field\nfrom clarifai.client.user import User\n"
            "@dataclass\nclass Config:\n    pat: str = field(default='YOUR_PAT')\n"
            "User('alice', pat=Config().pat)\n"
        ),
        [5],
    ),
    "a field's factory": (
        (
            "from dataclasses import dataclass, field\nfrom clarifai.client.user import User\n"
            "@dataclass\nclass Config:\n    login: dict = field(default_factory=lambda: {'pat': 'YOUR_PAT'})\n"
            "User('alice', **Config().login)\n"
        ),
        [5],
    ),
    "a file of variables": (
        (
            "from dotenv import dotenv_values\nfrom clarifai.client.user import User\n"
            "config = dotenv_values('.env')\nprint(config.get('OTHER'), config['OTHER'])\n"
            "User(config['CLARIFAI_USER_ID'], pat=config.get('CLARIFAI_PAT'))\n"
        ),
        [5],
    ),
    "an app's page": (
        (
            "from clarifai.client.app import App\n"
            "App(url='https://clarifai.com/YOUR_USER_ID/YOUR_APP_ID', pat=secret, base_url=here)\n"
            "App(url='https://clarifai.com/alice/main', pat=secret, base_url=here)\n"
        ),
        [2],
    ),
    "a default that nobody else takes": (
        (
            "from clarifai.client.user import User\n"
            "def theirs(pat=''):\n    return pat\n"
            "def ours(pat=''):\n    return User('alice', pat=pat)\n"
            "theirs('YOUR_PAT')\nours()\n"
        ),
        [4],
    ),
    "a local of a global's name": (
        (
            "from clarifai.client.user import User\n"
            "name = 'YOUR_NAME'\n"
            "def forget():\n    global name\n    name = ''\n"
            "def login():\n    name = 'YOUR_PAT'\n    User('alice', pat=name)\n"
            "class Door:\n    def __init__(self, name=''):\n        User('alice', pat=name)\n"
            "print(name)\n"
        ),
        [7, 10],
    ),
    "an enclosing function's": (
        (
            "from clarifai.client.user import User\n"
            "pat = ''\n"
            "def login():\n    pat = None\n"
            "    def ask():\n        nonlocal pat\n        pat = 'YOUR_PAT'\n"
            "    ask()\n    User('alice', pat=pat)\n"
            "print(pat)\n"
        ),
        [7],
    ),
    "a global": (
        (
            "from clarifai.client.user import User\nPAT = None\n"
            "def login():\n    global PAT\n    PAT = 'YOUR_PAT'\n"
            "login()\nUser('alice', pat=PAT)\n"
        ),
        [5],
    ),
}


@pytest.mark.parametrize(("text", "lines"), SHAPES.values(), ids=SHAPES)
def test_exactly_what_ends_at_clarifai_is_changed(text, lines):
    changed = rewritten(text).removeprefix("import os\n").splitlines()
    assert len(changed) == len(text.splitlines())
    pairs = enumerate(zip(text.splitlines(), changed, strict=True), start=1)
    assert [number for number, (before, after) in pairs if before != after] == lines


@pytest.mark.dev
def test_a_key_by_position_is_known_by_the_sdks_parameters():
    text = (
        "from clarifai.client.user import User\n"
        "User('alice', 'https://api.clarifai.com', 'YOUR_PAT')\n"
        "User('alice', None, '')\n"
    )
    assert rewritten(text).count("os.environ['CLARIFAI_PAT']") == 2


def modules():
    """Modules of the standard library and of what is installed, none of them Clarifai's."""
    names = ["argparse", "ast", "base64", "calendar", "cmd", "configparser", "copy", "csv"]
    names += [
        "dataclasses",
        "email.message",
        "fractions",
        "getpass",
        "gettext",
        "hmac",
        "html.parser",
    ]
    names += ["imaplib", "json.encoder", "logging.config", "netrc", "optparse", "poplib", "secrets"]
    names += ["smtplib", "tokenize", "urllib.request", "xmlrpc.client", "requests.auth"]
    names += ["requests.sessions", "grpc._auth", "grpc._channel", "IPython.core.history"]
    for name in names:
        if spec := importlib.util.find_spec(name):
            path = Path(spec.origin)
            large = path.stat().st_size > LARGE
            marks = [pytest.mark.slow] if large else []
            yield pytest.param(path, marks=marks, id=name)


@pytest.mark.parametrize("path", list(modules()))
def test_a_module_without_clarifai_stays_byte_for_byte(path):
    text = path.read_text(encoding="utf-8")
    tree, what = found(text)
    assert [edit for edit in what.edits if edit.parts != (Value.RUN,)] == []
    assert shown(text, tree, what.edits, {}, "CLARIFAI_PAT") == text


names = st.sampled_from(["pat", "token", "api_key", "user_id", "metadata", "prompt", "key", "x"])
words = st.sampled_from(
    [
        *(
            "",
            "Key ",
            "Key YOUR_PAT",
            "YOUR_PAT_HERE",
            "???",
            "<your key>",
            "Key points",
            "Bearer x",
        ),
        *("Authorization", "user_id", "https://api.clarifai.com/v2/users/YOUR_USER_ID"),
    ]
)
literals = words.map(repr)
expressions = st.one_of(
    literals,
    names,
    st.tuples(literals, names).map(" + ".join),
    st.tuples(words, names).map(lambda two: f"f{two[0] + '{' + two[1] + '}'!r}"),
    st.tuples(names, literals).map(lambda two: f"dict({two[0]}={two[1]})"),
    st.tuples(names, names, literals).map(lambda three: f"{three[0]}({three[1]}={three[2]})"),
    st.tuples(literals, names).map(lambda two: f"(({two[0]}, {two[1]}),)"),
    st.tuples(literals, literals).map(lambda two: f"{{{two[0]}: {two[1]}}}"),
)
statements = st.one_of(
    st.tuples(names, expressions).map(" = ".join),
    expressions,
    st.tuples(names, names, expressions).map(
        lambda three: f"def {three[0]}({three[1]}=''):\n    return {three[2]}"
    ),
    st.tuples(names, expressions).map(
        lambda two: f"if {two[0]}:\n    print({two[1]})  # Key {two[0]}"
    ),
    st.tuples(names, literals).map(lambda two: f"{two[0]}[{two[1]}] = {two[1]}"),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(statements, max_size=12).map("\n".join))
def test_programs_full_of_such_words_stay_byte_for_byte(text):
    assert rewritten(text) == text


SINKS = {
    "User('alice', pat=MINE)": "from clarifai.client.user import User",
    "get('https://api.clarifai.com/v2', headers={'Authorization': 'Key ' + MINE})": "from requests import get",
    "stub.GetUser(1, metadata=(('authorization', f'Key {MINE}'),))": "from clarifai_grpc.grpc.api import "
    "service_pb2_grpc\nstub = service_pb2_grpc.V2Stub(channel)",
}


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
@settings(max_examples=60, deadline=None)
@given(st.lists(statements, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_in_programs_full_of_such_words_only_what_ends_at_a_sink_is_changed(sink, honest, one, two):
    begin, end = sorted((min(one, len(honest)), min(two, len(honest))))
    assigned = ["MINE = '???'", *honest[begin:end], sink]
    text = "\n".join([SINKS[sink], *honest[:begin], *assigned, *honest[end:]])
    changed = rewritten(text).removeprefix("import os\n")
    reading = changed.replace("os.environ.get('CLARIFAI_API_BASE', 'https://api.clarifai.com')", "")
    assert reading.count("os.environ") == 1
    assert "MINE = os.environ['CLARIFAI_PAT']\n" in changed
    kept = [line for line in text.splitlines() if line not in {"MINE = '???'", sink}]
    assert [line for line in changed.splitlines() if line in kept] == kept
