"""%%clarifai_sample: programs in the documentation's style, pasted whole, run with the session."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType

import pytest
from peers import answer, server
from support import CANARY

IMPORTS = """
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
"""
PREDICT = """
response = stub.PostModelOutputs(
    service_pb2.PostModelOutputsRequest(
        user_app_id=userDataObject,
        model_id=MODEL_ID,
        inputs=[resources_pb2.Input(data=resources_pb2.Data(DATA))],
    ),
    metadata=metadata,
)
if response.status.code != status_code_pb2.SUCCESS:
    raise Exception("Post model outputs failed, status: " + response.status.description)
print(response.outputs[0].data.concepts[0].name)
"""
TEXT = 'text=resources_pb2.Text(raw="cat cat dog")'
STUB = "stub = service_pb2_grpc.V2Stub(ClarifaiChannel.get_grpc_channel())\n"
PUBLIC = "userDataObject = resources_pb2.UserAppIDSet(user_id='clarifai', app_id='main')\n"
PUBLIC_MODEL = "MODEL_ID = 'general-image-recognition'\n"
OWN = "userDataObject = resources_pb2.UserAppIDSet(user_id=USER_ID, app_id=APP_ID)\n"
OWN_MODEL = "USER_ID = 'YOUR_USER_ID_HERE'\nAPP_ID = 'YOUR_APP_ID_HERE'\nMODEL_ID = 'pets'\n"


def program(key: str, *, data: str = TEXT, ids: str = OWN_MODEL + OWN) -> str:
    return IMPORTS + key + STUB + ids + PREDICT.replace("DATA", data)


HEADER = "metadata = (('authorization', 'Key ' + PAT),)\n"
KEYS = {
    "concatenated": "PAT = 'YOUR_PAT_HERE'\n" + HEADER,
    "another name": "secret_thing = '???'\nmetadata = (('authorization', 'Key ' + secret_thing),)\n",
    "f-string": "PAT = '{YOUR_PAT}'\nmetadata = (('authorization', f'Key {PAT}'),)\n",
    "percent": "KEY = '<your key>'\nmetadata = [('authorization', 'Key %s' % KEY)]\n",
    "format": "KEY = ''\nmetadata = (('authorization', 'Key {}'.format(KEY)),)\n",
    "format by name": "metadata = (('authorization', 'Key {pat}'.format(pat='YOUR_PAT')),)\n",
    "join": "PAT = 'CLARIFAI_PAT'\nmetadata = (('authorization', ' '.join(['Key', PAT])),)\n",
    "in the header": "metadata = (('authorization', 'Key YOUR_CLARIFAI_API_KEY'),)\n",
    "header of its own": "auth = 'Key ' + 'YOUR_PAT'\nmetadata = (('authorization', auth),)\n",
    "environment": "import os\nPAT = os.environ['CLARIFAI_PAT']\n" + HEADER,
    "guarded": "import os\nPAT = os.getenv('CLARIFAI_PAT')\nif not PAT:\n    raise SystemExit('no')\n"
    + HEADER,
    "guarded placeholder": "PAT = 'YOUR_PAT'\nassert PAT != 'YOUR_PAT', 'fill it in'\n" + HEADER,
    "fallback": "from os import environ as e\nPAT = e.get('MY_PAT') or e['CLARIFAI_PAT']\n"
    + HEADER,
    "asked": "import getpass\nPAT = getpass.getpass('PAT: ')\n" + HEADER,
    "colab": "from google.colab import userdata\nPAT = userdata.get('CLARIFAI_PAT')\n" + HEADER,
    "kaggle": "from kaggle_secrets import UserSecretsClient\n"
    "PAT = UserSecretsClient().get_secret('CLARIFAI_PAT')\n" + HEADER,
    "copied": "YOUR = 'YOUR_PAT'\nPAT = YOUR\n" + HEADER,
    "unpacked": "PAT, LANGUAGE = 'YOUR_PAT', 'en'\n" + HEADER,
    "api key": "api_key_metadata = (('authorization', 'Key YOUR_API_KEY_HERE'),)\n"
    "metadata = api_key_metadata\n",
    "function": "def login(pat='YOUR_PAT'):\n    return (('authorization', 'Key ' + pat),)\n"
    "metadata = login()\n",
    "argument": "def login(pat):\n    return (('authorization', 'Key ' + pat),)\n"
    "metadata = login(pat='YOUR_PAT')\n",
    "class": "class Settings:\n    def __init__(self, pat):\n        self.pat = pat\n\n"
    "    @property\n    def metadata(self):\n        return (('authorization', 'Key ' + self.pat),)\n\n"
    "metadata = Settings('YOUR_PAT').metadata\n",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass Config:\n    pat: str = 'YOUR_PAT'\n\n"
    "metadata = (('authorization', f'Key {Config().pat}'),)\n",
    "mapping": "config = {'pat': 'YOUR_PAT', 'size': 3}\n"
    "metadata = (('authorization', 'Key ' + config['pat']),)\n",
    "namespace": "from argparse import Namespace\nargs = Namespace(api_key='YOUR_KEY', size=3)\n"
    "metadata = (('authorization', 'Key ' + args.api_key),)\n",
    "assigned twice": "PAT = ''\nprint('PAT:', repr(PAT))\nPAT = 'YOUR_PAT'\n" + HEADER,
}


@pytest.fixture(params=["pat", "api_key"])
def signed_in(request, shell, environment, sandbox):
    kind = "PAT" if request.param == "pat" else "API_KEY"
    environment(**{kind: getattr(sandbox.keys, request.param)})
    shell.run("%clarifai_auth" + (" --app-id main" if kind == "PAT" else ""))
    return shell


@pytest.fixture
def with_pat(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


@pytest.fixture
def hosted(monkeypatch):
    """The modules of hosted notebooks, whose secrets nobody is to ask for."""
    colab, kaggle = ModuleType("google.colab"), ModuleType("kaggle_secrets")
    colab.userdata = kaggle.UserSecretsClient = None
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setitem(sys.modules, "kaggle_secrets", kaggle)


def sample(shell, text: str, line: str = "") -> list[str]:
    return shell.run(f"%%clarifai_sample {line}\n{text}").splitlines()


@pytest.mark.slow
@pytest.mark.usefixtures("hosted")
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_whole_program_runs_whatever_its_preamble(signed_in, key):
    *told, shown = sample(signed_in, program(key))
    assert any(line.endswith(" → this session") for line in told)
    assert shown == "cat"


DATA = {
    "text": (TEXT, "cat"),
    "URL": ("image=resources_pb2.Image(url='https://samples.clarifai.com/puppy.jpeg')", "puppy"),
    "bytes": ("image=resources_pb2.Image(base64=b'\\x89PNG\\r\\n\\x1a\\n' + b'x' * 90)", "png"),
}


@pytest.mark.parametrize(("data", "concept"), DATA.values(), ids=DATA)
def test_real_ids_of_public_models_are_honoured(with_pat, data, concept):
    text = program(KEYS["concatenated"], data=data, ids=PUBLIC_MODEL + PUBLIC)
    assert concept in sample(with_pat, text)[-1]


def test_placeholders_are_told_by_where_they_go_and_not_by_their_names(with_pat):
    ids = (
        "YOUR_APPLICATION_ID = '???'\nwhoever = '<user>'\nMODEL_ID = 'pets'\n"
        "userDataObject = resources_pb2.UserAppIDSet(\n"
        "    user_id=whoever, app_id=YOUR_APPLICATION_ID\n)\nuser_message = ''\n"
    )
    assert sample(with_pat, program(KEYS["concatenated"], ids=ids))[-1] == "cat"
    shown = with_pat.run("print(whoever, YOUR_APPLICATION_ID, repr(user_message))")
    assert shown.split() == ["alice", "main", "''"]


SET_LATER = {
    "of a message": "who = resources_pb2.UserAppIDSet()\nwho.user_id = 'YOUR_USER_ID'\n"
    "setattr(who, 'app_id', 'YOUR_APP_ID')\nrequest = service_pb2.ListModelsRequest(user_app_id=who)\n",
    "of a message within": "request = service_pb2.ListModelsRequest()\nwho = request.user_app_id\n"
    "request.user_app_id.user_id, who.app_id = '<user>', 'YOUR_APP_ID'\n",
}


@pytest.mark.parametrize("ids", SET_LATER.values(), ids=SET_LATER)
def test_ids_that_a_message_gets_later_are_filled_in(with_pat, ids):
    text = f"{IMPORTS}{KEYS['concatenated']}{STUB}{ids}"
    told = sample(
        with_pat, f"{text}print(stub.ListModels(request, metadata=metadata).models[0].id)"
    )
    assert told[-1] == "pets"


def test_what_was_replaced_is_told_line_by_line(with_pat):
    text = program(KEYS["concatenated"])
    lines = ["", *f"%%clarifai_sample\n{text}".splitlines()]
    told = [line for line in sample(with_pat, text) if line.startswith("line ")]
    places = {line.split()[2]: lines[int(line.split()[1].rstrip(":"))] for line in told}
    assert places == {
        "authorization": "PAT = 'YOUR_PAT_HERE'",
        "channel": STUB.strip(),
        "user_id": "USER_ID = 'YOUR_USER_ID_HERE'",
        "app_id": "APP_ID = 'YOUR_APP_ID_HERE'",
    }


def test_streams_and_fragments_run(signed_in):
    fragment = """
request = service_pb2.PostModelOutputsRequest(
    model_id="pets", inputs=[resources_pb2.Input(data={"text": {"raw": "a cat"}})]
)
for response in stub.GenerateModelOutputs(request, metadata=metadata):
    print(response.outputs[0].data.concepts[0].name)
"""
    assert sample(signed_in, fragment) == ["cat"]


def test_a_sample_in_several_cells_is_one_program(with_pat):
    sample(with_pat, "PAT = 'YOUR_PAT_HERE'\nUSER_ID = 'YOUR_USER_ID'")
    sample(with_pat, IMPORTS + HEADER + STUB)
    sample(with_pat, "who = resources_pb2.UserAppIDSet(user_id=USER_ID)")
    request = "service_pb2.ListAppsRequest(user_app_id=who)"
    assert sample(with_pat, f"len(stub.ListApps({request}, metadata=metadata).apps)") == [
        "Out[6]: 2"
    ]


def test_headers_of_an_earlier_cell_are_filled_in_where_they_are_sent(with_pat):
    sample(with_pat, "import requests\nheaders = {'Authorization': 'Key YOUR_PAT', 'X-N': '1'}")
    assert with_pat.names["headers"] == {"Authorization": "Key YOUR_PAT", "X-N": "1"}
    url = "https://api.clarifai.com/v2/users/alice/apps/main/models"
    found = "requests.get(URL, headers=headers).json()['models'][0]['id']"
    told, shown = sample(with_pat, f"URL = {url!r}\nprint({found})")[1:]
    assert told == "line 3: Authorization → this session"
    assert shown == "pets"
    assert with_pat.names["headers"]["Authorization"] == "Key YOUR_PAT"


REST = {
    "requests": """
import requests
headers = {"Authorization": "Key " + PAT}
url = f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models"
found = requests.get(url, headers=headers).json()
""",
    "placeholders in the URL": """
import requests
found = requests.get(
    "https://api.clarifai.com/v2/users/YOUR_USER_ID_HERE/apps/{YOUR_APP_ID}/models",
    headers={"Authorization": "Key YOUR_PAT_HERE"},
).json()
""",
    "base in a variable": """
import requests
BASE = "https://api.clarifai.com"
found = requests.request(
    "GET", BASE + "/v2/users/%s/apps/%s/models" % (USER_ID, APP_ID),
    headers={"authorization": "Key {}".format(PAT)},
).json()
""",
    "session": """
import requests
session = requests.Session()
session.headers.update({"Authorization": f"Key {PAT}"})
found = session.get(f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models").json()
""",
    "base from the environment": """
import os, requests
BASE = os.environ.get("CLARIFAI_API_BASE", "https://api.clarifai.com")
headers = {"Authorization": "Key " + os.environ["CLARIFAI_PAT"]}
found = requests.get(f"{BASE}/v2/users/YOUR_USER_ID/apps/{APP_ID}/models", headers=headers).json()
""",
    "base and placeholder": """
import os, requests
session = requests.Session()
session.headers["Authorization"] = f"Key {PAT}"
found = session.get(os.getenv("CLARIFAI_API_BASE") + f"/v2/users/{USER_ID}/apps/{APP_ID}/models").json()
""",
    "headers filled in": """
import requests
headers = {}
headers["Authorization"] = f"Key {PAT}"
found = requests.get(f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models", headers=headers).json()
""",
    "pattern in a variable": """
import requests
URL = "https://api.clarifai.com/v2/users/{user}/apps/{app}/models"
print("asking", URL)
ids = {"user": USER_ID, "app": APP_ID}
headers = {"Authorization": "Key %(pat)s" % dict(pat=PAT)}
found = requests.get(URL.format(**ids), headers=headers).json()
""",
    "list that is joined": """
import requests
parts = ["https://api.clarifai.com/v2", "users", USER_ID, "apps", APP_ID]
parts.append("models")
header = ("Key", PAT)
found = requests.get("/".join(parts), headers={"Authorization": "%s %s" % header}).json()
""",
    "headers chosen": """
import requests
given = {"Authorization": f"Key {PAT}", "X-Nothing": None}
headers = {name: value for name, value in given.items() if value is not None}
url = f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models"
found = requests.get(url, headers=headers).json()
""",
    "arguments chosen": """
import requests
url = "https://api.clarifai.com/v2/users/%s/apps/%s/models" % (USER_ID, APP_ID)
given = {"method": "GET", "url": url, "headers": {"Authorization": "Key " + PAT}, "data": None}
found = requests.request(**{name: value for name, value in given.items() if value}).json()
""",
    "threads": """
import requests
from concurrent.futures import ThreadPoolExecutor
def ask(url):
    return requests.get(url, headers={"Authorization": f"Key {PAT}"}).json()
url = f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models"
with ThreadPoolExecutor() as pool:
    found = [*pool.map(ask, [url] * 2)][1]
""",
    "urllib": """
import json
from urllib.request import Request, urlopen
url = "https://api.clarifai.com/v2/users/" + USER_ID + "/apps/" + APP_ID + "/models"
found = json.load(urlopen(Request(url, headers={"Authorization": f"Key {PAT}"})))
""",
    "host in a variable": """
import requests
HOST = "api.clarifai.com"
print("asking", HOST)
url = f"https://{HOST}/v2/users/{USER_ID}/apps/{APP_ID}/models"
found = requests.get(url, headers={"Authorization": f"Key {PAT}"}).json()
""",
    "host in pieces": """
import requests
found = requests.get(
    "https://api.clarifai" + ".com/v2/users/" + USER_ID + "/apps/" + APP_ID + "/models",
    headers={"Authorization": "Key " + PAT},
).json()
""",
    "joined URL": """
import requests
from urllib.parse import urljoin
BASE = "https://api.clarifai.com/v2/"
url = urljoin(BASE, f"users/YOUR_USER_ID/apps/{APP_ID}/models")
found = requests.get(url, headers={"Authorization": "Key " + PAT}).json()
""",
    "command line's default": """
import argparse, requests
parser = argparse.ArgumentParser()
parser.add_argument("-k", "--my-pat", default="YOUR_PAT")
parser.add_argument("--user", default="YOUR_USER_ID")
options = parser.parse_args([])
url = f"https://api.clarifai.com/v2/users/{options.user}/apps/{APP_ID}/models"
found = requests.get(url, headers={"Authorization": f"Key {options.my_pat}"}).json()
""",
    "command line's known part": """
import argparse, requests
def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pat", default="YOUR_PAT")
    parser.add_argument("--user-id", default="YOUR_USER_ID")
    return parser.parse_known_args([])
args, rest = parse()
url = f"https://api.clarifai.com/v2/users/{args.user_id}/apps/{APP_ID}/models"
found = requests.get(url, headers={"Authorization": f"Key {args.pat}"}).json()
""",
    "command line as a mapping": """
import argparse, requests
def ask(pat, user_id):
    url = f"https://api.clarifai.com/v2/users/{user_id}/apps/{APP_ID}/models"
    return requests.get(url, headers={"Authorization": f"Key {pat}"}).json()
parser = argparse.ArgumentParser()
parser.add_argument("--pat", default="YOUR_PAT")
parser.add_argument("--user-id", default="YOUR_USER_ID")
found = ask(**vars(parser.parse_args([])))
""",
    "object as a mapping": """
import requests
from dataclasses import asdict, dataclass
@dataclass
class Login:
    pat: str
    user: str = "YOUR_USER_ID"
login = Login("YOUR_PAT")
url = f"https://api.clarifai.com/v2/users/{login.__dict__['user']}/apps/{APP_ID}/models"
found = requests.get(url, headers={"Authorization": "Key " + asdict(login)["pat"]}).json()
""",
    "connection": """
import http.client, json
connection = http.client.HTTPSConnection("api.clarifai.com", timeout=20)
headers = {"Authorization": "Key " + PAT}
connection.request("GET", f"/v2/users/{USER_ID}/apps/{APP_ID}/models", headers=headers)
found = json.load(connection.getresponse())
""",
    "connection, line by line": """
import http.client, json
connection = http.client.HTTPSConnection("api.clarifai.com")
connection.putrequest("GET", f"/v2/users/YOUR_USER_ID/apps/{APP_ID}/models")
connection.putheader("Authorization", "Key " + PAT)
connection.endheaders()
found = json.load(connection.getresponse())
""",
    "authorizing function": """
import requests

def authorize(request):
    request.headers["Authorization"] = "Key " + PAT
    return request

session = requests.Session()
session.auth = authorize
found = session.get(f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models").json()
""",
    "authorizing object": """
import requests
from requests.auth import AuthBase

class KeyAuth(AuthBase):
    def __init__(self, pat):
        self.pat = pat

    def __call__(self, request):
        request.headers["Authorization"] = "Key " + self.pat
        return request

url = f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models"
found = requests.get(url, auth=KeyAuth("YOUR_PAT_HERE")).json()
""",
    "class": """
import requests

class Client:
    base = "https://api.clarifai.com/v2"

    def __init__(self, key):
        self.headers = {"Authorization": "Key " + key}

    def get(self, path):
        return requests.get(self.base + path, headers=self.headers).json()

found = Client(PAT).get(f"/users/{USER_ID}/apps/{APP_ID}/models")
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("call", REST.values(), ids=REST)
def test_rest_samples_reach_the_sessions_deployment(signed_in, call):
    ids = "PAT = 'YOUR_PAT_HERE'\nUSER_ID = 'YOUR_USER_ID_HERE'\nAPP_ID = 'YOUR_APP_ID_HERE'\n"
    shown = sample(signed_in, ids + call + "print(found['models'][0]['id'])")
    assert shown[-1] == "pets"
    ways = ("URL", "CLARIFAI_API_BASE", "connection")
    assert any(way in line for line in shown for way in ways)


READING = {
    "one after another": "PAT, USER_ID, APP_ID = (os.environ[name] for name in NAMES)\n",
    "in a loop": "found = {}\nfor name in NAMES:\n    found[name] = os.getenv(name)\n"
    "PAT, USER_ID, APP_ID = found.values()\n",
    "by a function": "def read(name, default=None):\n    value = os.environ.get(name, default)\n"
    "    if not value:\n        raise SystemExit(name)\n    return value\n"
    "PAT, USER_ID, APP_ID = read(NAMES[0]), read(name=NAMES[1]), read('CLARIFAI_APP_ID')\n",
    "by a method": "class Settings:\n    def __init__(self, of):\n        self.of = of\n"
    "    def read(self, name):\n        return self.of + os.environ[name]\n"
    "settings = Settings('')\nPAT, USER_ID, APP_ID = map(settings.read, NAMES)\n",
}


@pytest.mark.parametrize("read", READING.values(), ids=READING)
def test_what_is_read_by_the_same_expression_stays_several_values(with_pat, read):
    names = "import os\nNAMES = ('CLARIFAI_PAT', 'CLARIFAI_USER_ID', 'CLARIFAI_APP_ID')\n"
    told = sample(with_pat, names + read + REST["requests"])
    assert with_pat.names["found"]["models"][0]["id"] == "pets", told


SDK = {
    "keyword": "print([app.id for app in User(user_id='YOUR_USER_ID', pat='YOUR_PAT').list_apps()])",
    "variable": "PAT = 'YOUR_PAT'\nprint([a.id for a in User(user_id='alice', pat=PAT).list_apps()])",
    "positional": "user = User('YOUR_USER_ID', pat='CLARIFAI_PAT')\n"
    "print([app.id for app in user.list_apps()])",
    "environment": "import os\nos.environ['CLARIFAI_PAT'] = 'YOUR_PAT_HERE'\n"
    "print([app.id for app in User(user_id='alice').list_apps()])",
    "environment, updated": "import os\nos.environ.update({'CLARIFAI_PAT': 'YOUR_PAT_HERE'}, CLARIFAI_USER_ID='YOUR_USER_ID')\n"
    "print([app.id for app in User().list_apps()])",
    "environment, merged": "import os\nos.environ |= {'CLARIFAI_PAT': 'YOUR_PAT_HERE'}\n"
    "print([app.id for app in User(user_id='alice').list_apps()])",
    "nothing": "print([app.id for app in User().list_apps()])",
    "base": "print([app.id for app in User(base_url='https://api.clarifai.com').list_apps()])",
}


@pytest.mark.dev
@pytest.mark.parametrize("call", SDK.values(), ids=SDK)
def test_samples_of_the_sdk_run(with_pat, call):
    before = dict(os.environ)
    shown = sample(with_pat, f"from clarifai.client.user import User\n{call}")
    assert shown[-1] == "['main', 'recipes']"
    assert {k: v for k, v in os.environ.items() if k.startswith("CLARIFAI_")} == {
        k: v for k, v in before.items() if k.startswith("CLARIFAI_")
    }


@pytest.mark.dev
def test_the_sdk_follows_from_one_sign_in_to_the_next(with_pat):
    text = f"from clarifai.client.user import User\n{SDK['keyword']}"
    assert sample(with_pat, text)[-1] == "['main', 'recipes']"
    with_pat.run("%clarifai_auth logout")
    with_pat.run("%clarifai_auth")
    assert sample(with_pat, text)[-1] == "['main', 'recipes']"


OPENAI = {
    "literal": "key, where = 'CLARIFAI_PAT', 'https://api.clarifai.com/v2/ext/openai/v1'\n",
    "environment": "import os\nkey = os.getenv('CLARIFAI_PAT')\n"
    "where = 'https://api.clarifai.com' + '/v2/ext/openai/v1'\n",
}


@pytest.fixture
def upstream():
    """A deployment that answers whatever it is asked, and what it was asked."""
    heads = []
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [message],
    }

    def serve(heard):
        heads.append(heard.head().decode())
        heard.send(answer(json.dumps(body).encode(), "Connection: close"))

    with server(serve) as running:
        running.heads = heads
        yield running


@pytest.mark.dev
@pytest.mark.parametrize("preamble", OPENAI.values(), ids=OPENAI)
def test_samples_of_the_openai_endpoint_run(shell, monkeypatch, upstream, preamble):
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    shell.run(f"%clarifai_auth --no-verify --base {upstream.base}")
    text = f"""{preamble}
from openai import OpenAI
with OpenAI(api_key=key, base_url=where) as client:
    answer = client.chat.completions.create(
        model="https://clarifai.com/openai/chat-completion/models/gpt-4o",
        messages=[dict(role="user", content="Summarize the key points")],
    )
print(answer.choices[0].message.role)
"""
    assert sample(shell, text)[-1] == "assistant"
    (head,) = upstream.heads
    assert head.startswith("POST /v2/ext/openai/v1/chat/completions")
    assert f"Bearer {CANARY}" in head
    assert CANARY not in shell.names["client"].api_key


def test_names_and_results_stay_and_work_in_later_cells(with_pat):
    sample(with_pat, program(KEYS["concatenated"], ids=PUBLIC_MODEL + PUBLIC) + "result = 7\n")
    shown = with_pat.run("print(result, MODEL_ID, userDataObject.user_id, len(response.outputs))")
    assert shown.split() == ["7", "general-image-recognition", "clarifai", "1"]
    later = "stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata).models"
    assert with_pat.run(f"print(len({later}))").strip() == "1"


def test_a_function_of_a_sample_works_later_and_is_dead_after_logout(with_pat, sandbox):
    text = (
        IMPORTS.replace("service_pb2,", "service_pb2 as api,") + "import os\ndef header():\n"
        "    return (('authorization', 'Key ' + os.environ['CLARIFAI_PAT']),)\n"
        f"{STUB}def count():\n"
        "    return len(stub.ListModels(api.ListModelsRequest(), metadata=header()).models)\n"
    )
    sample(with_pat, text)
    assert with_pat.run("print(count())").strip() == "1"
    assert with_pat.run("print(os.environ['CLARIFAI_PAT'] in header()[0][1])").strip() == "False"
    assert "hold the key" not in with_pat.run("%clarifai_auth logout")
    assert "The session of this sample is closed." in with_pat.fail("count()")
    assert not any(name.startswith("_clarifai") for name in with_pat.names)


def test_a_sample_stays_with_the_session_it_ran_with(with_pat):
    text = """
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import service_pb2 as messages, service_pb2_grpc as grpcs
mine = grpcs.V2Stub(ClarifaiChannel.get_grpc_channel())
login = (("authorization", "Key YOUR_PAT"),)
def count():
    return len(mine.ListModels(messages.ListModelsRequest(), metadata=login).models)
"""
    sample(with_pat, text)
    with_pat.run("%clarifai_auth --as other")
    with_pat.run("%clarifai_auth use other")
    sample(with_pat, "h = {'Authorization': 'Key YOUR_PAT'}")
    assert with_pat.run("print(count())").strip() == "1"
    with_pat.run("%clarifai_auth logout clarifai_session")
    assert "The session of this sample is closed." in with_pat.fail("count()")


def test_a_sample_that_closes_its_channel_leaves_the_notebooks_open(with_pat):
    text = program(KEYS["concatenated"]).replace(STUB, f"channel = {STUB.split('(', 1)[1][:-2]}\n")
    text = text.replace("USER_ID =", "stub = service_pb2_grpc.V2Stub(channel)\nUSER_ID =", 1)
    assert sample(with_pat, text + "channel.close()\n")[-1] == "cat"
    shown = with_pat.run(
        "print(len(clarifai_session.stub.ListModels(service_pb2.ListModelsRequest()).models))"
    )
    assert shown.strip() == "1"
    assert sample(with_pat, program(KEYS["concatenated"]))[-1] == "cat"


def test_awaited_channels_are_the_sessions_too(with_pat):
    text = (
        f"{IMPORTS}metadata = (('authorization', 'Key YOUR_PAT'),)\n"
        "async with ClarifaiChannel.get_aio_grpc_channel() as channel:\n"
        "    stub = service_pb2_grpc.V2Stub(channel)\n"
        "    found = await stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata)\n"
        "print(len(found.models))"
    )
    assert sample(with_pat, text)[-1] == "1"


def test_nothing_of_a_sample_holds_the_key(with_pat, sandbox):
    text = program(KEYS["environment"]) + "held = dict(os.environ)\n"
    sample(with_pat, text)
    values = [with_pat.names[name] for name in ("PAT", "metadata", "held")]
    assert sandbox.keys.pat not in repr(values)
    assert len(with_pat.names["PAT"]) == 32


def test_without_a_session_it_says_what_to_do(shell):
    assert "Run %clarifai_auth first." in shell.fail("%%clarifai_sample\n1")
