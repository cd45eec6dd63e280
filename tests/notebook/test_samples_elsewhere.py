"""No other host gets a key or token of a sample, whatever way it takes there."""

from __future__ import annotations

import json
import os

import pytest
from peers import answer, server
from test_samples_untouched import found, rewritten

from clarifai_magic.programs.claims import Value


@pytest.fixture
def signed_in(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


@pytest.fixture
def elsewhere():
    """Another vendor's host, and all that it was sent."""
    heard = []

    def serve(connection):
        heard.append(connection.head())
        connection.send(answer(json.dumps({"ok": True}).encode(), "Connection: close"))

    with server(serve) as running:
        running.heard = heard
        yield running


FOREIGN = {
    "a header": "requests.get({url!r}, headers={{'Authorization': 'Bearer ' + PAT}})",
    "the same headers": "h = {{'Authorization': f'Key {{PAT}}'}}\nrequests.get({url!r}, headers=h)",
    "the same headers for two": "h = {{'Authorization': 'Key ' + PAT}}\n"
    "try:\n    requests.get('https://api.clarifai.com/v2/models', headers=h, timeout=0.001)\n"
    "except OSError:\n    pass\nrequests.get({url!r}, headers=h)",
    "one session for two": "s = requests.Session()\ns.headers.update({{'Authorization': 'Key ' + PAT}})\n"
    "try:\n    s.get('https://api.clarifai.com/v2/models', timeout=0.001)\nexcept OSError:\n    pass\n"
    "s.get({url!r})",
    "a URL like ours": "requests.get({url!r} + '/https://api.clarifai.com', headers={{'Authorization': 'Key ' + PAT}})",
    "a prompt": "requests.get({url!r}, headers={{'X-Prompt': PAT}})",
}
GOT = {
    "a placeholder": "PAT = 'YOUR_PAT_HERE'\n",
    "an empty text": "PAT = ''\n",
    "a default": "import os\nPAT = os.environ.get('NOWHERE', 'YOUR_PAT')\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("got", GOT.values(), ids=GOT)
@pytest.mark.parametrize("sent", FOREIGN.values(), ids=FOREIGN)
def test_another_host_gets_neither_key_nor_token(signed_in, elsewhere, sandbox, got, sent):
    ours = (
        "import requests\nfrom clarifai_grpc.grpc.api import service_pb2 as api\n"
        "stub.ListModels(api.ListModelsRequest(), metadata=(('authorization', 'Key ' + PAT),))\n"
    )
    signed_in.run(f"%%clarifai_sample\n{got}{ours}{sent.format(url=elsewhere.base)}")
    (head,) = elsewhere.heard
    tokens = signed_in.run("from clarifai_magic.client.registry import registry as all_of_them")
    assert tokens == ""
    secrets = signed_in.names["all_of_them"].secrets()
    assert not any(secret.encode() in head for secret in secrets)


SEND = "requests.get({url!r}, headers={{'Authorization': 'Key ' + x}})\n"
WAYS = {
    "a pattern": f"match PAT:\n    case x:\n        {SEND}",
    "a pattern of a mapping": f"match {{{{'k': PAT}}}}:\n    case {{{{'k': x}}}}:\n        {SEND}",
    "a pattern of a sequence": f"match [PAT, 1]:\n    case [x, *_]:\n        {SEND}",
    "a pattern of a class": "from types import SimpleNamespace as S\nmatch S(k=PAT):\n"
    f"    case S(k=x):\n        {SEND}",
    "a loop": f"for x in [PAT]:\n    {SEND}",
    "a comprehension": f"for x in (p for p in [PAT]):\n    {SEND}",
    "a comprehension of a mapping": "d = {{'k': PAT}}\n"
    "requests.post({url!r}, params={{k: v for k, v in d.items()}})\n"
    "requests.post({url!r}, params={{k: v[:] for k, v in d.items()}})\n",
    "a comprehension of pairs": f"x = [b for a, b in [(1, PAT)]][0]\n{SEND}",
    "lists together": f"for x in [PAT] * 2 + [PAT]:\n    {SEND}",
    "a pattern's mapping": "d = {{'k': PAT}}\nrequests.post({url!r}, data='{{k}}'.format(**d) + '%(k)s' % d)\n",
    "a template": "from string import Template\nrequests.post({url!r}, data=Template('$k').substitute(k=PAT))\n",
    "a query": "from urllib.parse import urlencode\nrequests.get({url!r} + '?' + urlencode({{'k': PAT}}))\n"
    "u = {url!r}\nrequests.get(f'{{u}}?{{urlencode(dict(k=PAT))}}')\n",
    "a generator": f"def keys():\n    yield PAT\nfor x in keys():\n    {SEND}",
    "a generator's first": f"def keys():\n    yield PAT\nx = next(keys())\n{SEND}",
    "a generator's generator": f"def keys():\n    yield from [PAT]\nfor x in keys():\n    {SEND}",
    "a context manager": "from contextlib import contextmanager\n@contextmanager\ndef key():\n"
    f"    yield PAT\nwith key() as x:\n    {SEND}",
    "a decorator": "def keyed(f):\n    def inner(*a, **k):\n        return f(PAT, *a, **k)\n"
    f"    return inner\n@keyed\ndef send(x):\n    {SEND}send()\n",
    "a parameter for all": f"def send(*each):\n    x = each[0]\n    {SEND}send(PAT)\n",
    "a parameter for all names": f"def send(**each):\n    x = each['k']\n    {SEND}send(k=PAT)\n",
    "unpacking": f"def send(n, x):\n    {SEND}send(*[1, PAT])\nsend(**{{{{'n': 1, 'x': PAT}}}})\n",
    "unpacking into another's": "requests.get(**{{'url': {url!r}, 'headers': {{'Authorization': 'Key ' + PAT}}}})\n",
    "a function that is handed on": f"def send(x):\n    {SEND}list(map(send, [PAT]))\n",
    "a partial": "from functools import partial\nsend = partial(requests.get, {url!r})\n"
    "send(headers={{'Authorization': 'Key ' + PAT}})\n",
    "a star import": f"from os import *\nx = getenv('CLARIFAI_PAT')\n{SEND}",
    "a copy": "h = {{'Authorization': 'Key ' + PAT}}\nrequests.get({url!r}, headers=h.copy())\n"
    "requests.get({url!r}, headers=dict(h.items()))\n",
    "the items of a mapping": f"for k, x in {{{{'a': PAT}}}}.items():\n    {SEND}",
    "an attribute": f"from types import SimpleNamespace\no = SimpleNamespace()\no.k = PAT\nx = o.k\n{SEND}",
    "a command line's default": "import argparse\np = argparse.ArgumentParser()\n"
    "p.add_argument('--pat', default=PAT)\na, _ = p.parse_known_args([])\n"
    f"x = vars(a)['pat']\n{SEND}requests.post({{url!r}}, json=vars(a))\n",
    "an object as a mapping": "from dataclasses import asdict, dataclass\n@dataclass\nclass Login:\n    k: str\n"
    "requests.post({url!r}, json=asdict(Login(PAT)))\nrequests.post({url!r}, json=Login(PAT).__dict__)\n",
    "a client's attribute": "from requests.auth import HTTPBasicAuth as A\n"
    f"x = A('a', password=PAT).password\n{SEND}",
    "bytes": "requests.post({url!r}, data=PAT.encode())\n",
    "JSON": "import json\nbody = json.dumps({{'k': [PAT]}})\nrequests.post({url!r}, data=body)\n",
    "other letters": "import base64\nk = base64.b64encode(bytes(PAT.upper(), 'ascii'))\n"
    "requests.post({url!r}, data=k)\nrequests.post({url!r}, data=PAT[::-1][:] + repr(PAT))\n",
    "a list that grows": "l = [1]\nl.append(PAT)\nrequests.post({url!r}, json=[*l])\n",
    "a header that is added": "from urllib.request import Request, urlopen\nr = Request({url!r})\n"
    "r.add_header('Authorization', 'Key ' + PAT)\nurlopen(r)\n",
    "an attribute by name": f"class A:\n    k = PAT\nx = getattr(A, 'k')\n{SEND}",
    "a connection": "import http.client\nc = http.client.HTTPConnection({url!r}[7:])\n"
    "c.request('GET', '/', headers={{'Authorization': 'Key ' + PAT}})\nc.getresponse()\n",
    "a proxy": "requests.get('http://api.clarifai.com', headers={{'Authorization': 'Key ' + PAT}}, "
    "proxies={{'http': {url!r}}})\n",
    "a URL that is not told": "import sys\nsys.u = {url!r}\n"
    "requests.get(sys.u[:], headers={{'Authorization': 'Key ' + PAT}})\n",
    "a session's headers": "s = requests.Session()\ns.headers = {{'Authorization': 'Key ' + PAT}}\n"
    "get = s.get\nget({url!r})\n",
    "headers that are merged": "d = {{'h': {{}}}}\nd['h'] |= {{'Authorization': 'Key ' + PAT}}\n"
    "requests.get({url!r}, headers=d['h'])\n",
    "a session's settings": "s = requests.Session()\ns.params = {{'k': PAT}}\ns.cookies['k'] = PAT\n"
    "s.params.update(j=PAT)\ns.auth = ('me', PAT)\ns.get({url!r})\n",
    "an authorizing function": "def keyed(r):\n    r.headers['Authorization'] = 'Key ' + PAT\n"
    "    return r\nrequests.get({url!r}, auth=keyed)\n",
    "a session that is passed on": "def fetch(s, u):\n    return s.request(method='GET', url=u)\n"
    "with requests.Session() as s:\n    s.headers['Authorization'] = f'Key {{PAT}}'\n    fetch(s, {url!r})\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_of_the_environment_gets_nowhere_else_on_any_way(signed_in, elsewhere, way):
    sent = way.format(url=elsewhere.base)
    said = signed_in.run(
        f"%%clarifai_sample\nimport os, requests\nPAT = os.environ['CLARIFAI_PAT']\n{sent}"
    )
    assert "; it gets no key" in said
    signed_in.run("from clarifai_magic.client.registry import registry as all_of_them")
    secrets = signed_in.names["all_of_them"].secrets()
    assert elsewhere.heard
    assert not any(secret.encode() in head for head in elsewhere.heard for secret in secrets)


HELPERS = {
    "a function": "def read(name):\n    return os.environ[name]\n",
    "a function with a default": "def read(name, default=''):\n    found = os.environ.get(name, default)\n    return found\n",
    "another's function": "read = os.getenv\n",
    "a mapping": "names = ('CLARIFAI_PAT', 'THEIR_KEY')\nread = {each: os.environ[each] for each in names}.get\n",
}


@pytest.mark.parametrize("read", HELPERS.values(), ids=HELPERS)
def test_another_vendors_key_reaches_it_though_clarifais_is_read_in_the_same_way(
    signed_in, elsewhere, monkeypatch, read
):
    monkeypatch.setenv("THEIR_KEY", "theirs")
    said = signed_in.run(
        f"%%clarifai_sample\nimport os, requests\n{read}"
        f"requests.get({elsewhere.base!r}, headers={{'Authorization': 'Bearer ' + read('THEIR_KEY')}})\n"
        "ours = 'https://api.clarifai.com/v2/users/me'\n"
        "print(requests.get(ours, headers={'Authorization': 'Key ' + read('CLARIFAI_PAT')}).status_code)"
    )
    (head,) = elsewhere.heard
    assert b"Authorization: Bearer theirs\r\n" in head
    assert said.splitlines()[-1] == "200"


OURS = "https://api.clarifai.com/v2/ext/openai/v1"
THEIRS = "https://elsewhere.example/v1"
MADE = f"from openai import OpenAI\nclient = OpenAI(base_url={OURS!r}, api_key='YOUR_PAT')\n"
SESSION = (
    "import requests\ns = requests.Session()\ns.headers['Authorization'] = 'Key YOUR_PAT'\n"
    "s.get('https://api.clarifai.com/v2/models')\n"
)
HTTPX = (
    "import httpx\nc = httpx.Client(base_url='https://api.clarifai.com', "
    "headers={'Authorization': 'Key YOUR_PAT'})\nc.get('/v2/models')\n"
)
CLIENTS_FOR_TWO = {
    "another base, later": f"{MADE}client.base_url = {THEIRS!r}\n",
    "another base, by name": f"{MADE}setattr(client, 'base_url', {THEIRS!r})\n",
    "a base that is not told": f"import sys\n{MADE}client.base_url = sys.argv[1]\n",
    "a copy with another base": f"{MADE}client.with_options(base_url={THEIRS!r}).models.list()\n",
    "the API's base, later": "from openai import OpenAI\n"
    f"client = OpenAI(base_url={THEIRS!r}, api_key='YOUR_PAT')\nclient.base_url = {OURS!r}\n",
    "a module's settings": "import openai\nopenai.api_key = 'YOUR_PAT'\n"
    f"openai.base_url = {THEIRS!r}\nopenai.models.list()\n",
    "a module's settings for two": "import litellm\nlitellm.api_key = 'YOUR_PAT'\n"
    f"litellm.api_base = {OURS!r}\nlitellm.completion(model='m', api_base={THEIRS!r})\n",
    "the SDK's, later": "from clarifai.client.model import Model\n"
    f"m = Model(model_id='m', pat='YOUR_PAT')\nm.base = {THEIRS!r}\nm.predict('')\n",
    "a session": f"{SESSION}s.get({THEIRS!r})\n",
    "a session, by name": f"{SESSION}s.request(method='GET', url={THEIRS!r})\n",
    "a session's method": f"{SESSION}get = s.get\nget({THEIRS!r})\n",
    "a session that is given away": f"from lib import fetch\n{SESSION}fetch(s, {THEIRS!r})\n",
    "a session and any URL": f"{SESSION}s.get(open('url').read())\n",
    "a client of httpx": f"{HTTPX}c.get({THEIRS!r})\n",
    "a client of httpx and any URL": f"{HTTPX}c.request('GET', open('url').read())\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", CLIENTS_FOR_TWO.values(), ids=CLIENTS_FOR_TWO)
def test_a_client_that_also_leads_elsewhere_gets_neither_key_nor_token(text):
    assert rewritten(text) == text


def test_where_a_key_would_have_gone_is_named(signed_in, elsewhere):
    said = signed_in.run(
        "%%clarifai_sample\nimport os, requests\nkey = os.environ['CLARIFAI_PAT']\n"
        f"requests.get({elsewhere.base!r}, headers={{'Authorization': 'Key ' + key}})"
    )
    host = elsewhere.base.removeprefix("http://")
    assert f"line 4: {host} is neither Clarifai's nor the session's; it gets no key" in said
    (head,) = elsewhere.heard
    assert b"Authorization: Key\r\n" in head or b"Authorization: Key \r\n" in head


PROXIED = {
    "urllib": "import urllib.request as u\nprint(u.urlopen(u.Request('https://api.clarifai.com/v2/users/me', "
    "headers={'Authorization': 'Key YOUR_PAT_HERE'})).status)",
    "requests": "import requests\nprint(requests.get('https://api.clarifai.com/v2/users/me', "
    "headers={'Authorization': 'Key YOUR_PAT_HERE'}).status_code)",
    "curl": '!curl -sSo /dev/null -w "%{http_code}" -H "Authorization: Key $CLARIFAI_PAT" '
    "$CLARIFAI_API_BASE/v2/users/me",
    "a proxy that the sample sets": "import os, requests\nos.environ['http_proxy'] = os.environ['http_proxy']\n"
    "print(requests.get('https://api.clarifai.com/v2/users/me', "
    "headers={'Authorization': 'Key YOUR_PAT_HERE'}).status_code)",
}


@pytest.mark.parametrize("text", PROXIED.values(), ids=PROXIED)
@pytest.mark.parametrize("listed", ["", "elsewhere.example"])
def test_behind_a_proxy_a_sample_reaches_the_session_and_the_proxy_hears_nothing(
    signed_in, elsewhere, monkeypatch, text, listed
):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, elsewhere.base)
    if listed:
        monkeypatch.setenv("no_proxy", listed)
    said = signed_in.run(f"%%clarifai_sample\n{text}")
    assert said.rstrip().endswith("200")
    assert elsewhere.heard == []
    assert os.environ.get("no_proxy", "") == listed


def test_headers_for_two_hosts_stay_as_they_are_written():
    text = "import requests\nh = {'Authorization': 'Key YOUR_PAT'}\nrequests.get('https://api.clarifai.com/v2', headers=h)\n"
    text += "requests.get('https://elsewhere.example', headers=h)\n"
    assert "h = {'Authorization': 'Key YOUR_PAT'}\n" in rewritten(text)
    assert f"'Key {'0f' * 16}'" not in rewritten(text.replace("YOUR_PAT", "0f" * 16))
    looked_up = rewritten(
        "import os\n" + text.replace("'Key YOUR_PAT'", "'Key ' + os.environ['CLARIFAI_PAT']")
    )
    assert "h = {'Authorization': 'Key ' + ''}\n" in looked_up


def test_hosts_that_only_begin_or_end_like_clarifais_are_others():
    for host in (
        "api.clarifai.com.evil.example",
        "evil-api.clarifai.com.example",
        "api.clarifai.com:8443",
        "someone@api.clarifai.com",
        "xapi.clarifai.com",
    ):
        text = f"import requests\nrequests.get('https://{host}/v2', headers={{'Authorization': 'Key YOUR_PAT'}})\n"
        assert rewritten(text) == text
    text = "import requests\nrequests.get('http://api.clarifai.com/v2', headers={'Authorization': 'Key YOUR_PAT'})\n"
    assert rewritten(text) == text
    text = "import requests\nhost = '.evil.example'\nrequests.get('https://api.clarifai.com' + host, headers={'Authorization': 'Key YOUR_PAT'})\n"
    assert rewritten(text) == text


GRPC = (
    "import grpc\nfrom clarifai_grpc.channel.clarifai_channel import ClarifaiChannel\n"
    "from clarifai_grpc.grpc.api import service_pb2, service_pb2_grpc\n"
)
CALL = (
    "stub = service_pb2_grpc.V2Stub(channel)\n"
    "stub.ListModels(service_pb2.ListModelsRequest(), metadata=(('authorization', 'Key YOUR_PAT'),))\n"
)
FOREIGN_CLIENTS = {
    "the SDK": "from clarifai.client.user import User\n"
    "User('alice', pat='YOUR_PAT', base_url='https://elsewhere.example')\n",
    "a channel": f"{GRPC}channel = ClarifaiChannel.get_grpc_channel(base='elsewhere.example')\n{CALL}",
    "a channel of gRPC's": f"{GRPC}channel = grpc.insecure_channel('localhost:50051')\n{CALL}",
    "a channel to who knows where": f"{GRPC}channel = grpc.insecure_channel(input())\n{CALL}",
    "LiteLLM": "import litellm\nlitellm.completion(model='clarifai/m', api_key='YOUR_PAT', "
    "api_base='https://elsewhere.example/v1', messages=[])\n",
    "a call that is described to another": "import requests\nrequests.post('https://elsewhere.example', json={"
    "'url': 'https://api.clarifai.com/v2/models', 'headers': {'Authorization': 'Key YOUR_PAT'}})\n",
}


@pytest.mark.parametrize("text", FOREIGN_CLIENTS.values(), ids=FOREIGN_CLIENTS)
def test_a_client_that_leads_elsewhere_gets_neither_key_nor_token(text):
    assert rewritten(text) == text


@pytest.mark.parametrize("name", ["the SDK", "a channel", "LiteLLM"])
def test_where_such_a_client_leads_is_named(name):
    text = "import os\n" + FOREIGN_CLIENTS[name].replace("'YOUR_PAT'", "os.environ['CLARIFAI_PAT']")
    text = text.replace("'Key YOUR_PAT'", "'Key ' + os.environ['CLARIFAI_PAT']")
    _, what = found(text)
    assert what.foreign == {"elsewhere.example": len(text.splitlines())}
    assert not any(Value.KEY in edit.parts for edit in what.edits)


@pytest.mark.dev
def test_a_base_by_position_is_known_by_the_sdks_parameters():
    text = "from clarifai.client.user import User\nUser('alice', 'https://elsewhere.example', pat='YOUR_PAT')\n"
    assert rewritten(text) == text


@pytest.mark.parametrize("into", ["params={'k': PAT}", "json={'a': {'k': PAT}}", "data=PAT"])
def test_a_key_in_anything_that_is_sent_elsewhere_is_taken_out(into):
    text = f"import os, requests\nPAT = os.environ['CLARIFAI_PAT']\nrequests.post('https://elsewhere.example', {into})\n"
    _, what = found(text)
    assert what.foreign == {"elsewhere.example": 3}
    assert [edit.parts for edit in what.edits if edit.line == 3] == [(Value.NO_KEY,)]


@pytest.mark.parametrize("sends", ["putrequest('GET', '/' + PAT)", "endheaders(PAT)", "send(PAT)"])
def test_a_key_that_a_connection_sends_elsewhere_line_by_line_is_taken_out(sends):
    _, what = found(
        "import http.client, os\nPAT = os.environ['CLARIFAI_PAT']\n"
        f"c = http.client.HTTPSConnection('elsewhere.example')\nc.{sends}\n"
    )
    assert what.foreign == {"elsewhere.example": 4}
    assert [edit.parts for edit in what.edits if edit.line == 4] == [(Value.NO_KEY,)]


KEYED = """
from requests.auth import AuthBase
class KeyAuth(AuthBase):
    def __call__(self, request):
        request.headers["Authorization"] = f"Key {PAT}"
        return request
"""


@pytest.mark.parametrize(
    "send",
    [
        "requests.get('https://example.com/v2', headers={'Authorization': f'Key {PAT}'})",
        "HOST = 'example.com'\nrequests.get(f'https://{HOST}/v2', headers={'Authorization': 'Key ' + PAT})",
        "requests.get(urljoin('https://api.clarifai.com', 'https://example.com/v2'), headers={'Authorization': 'Key ' + PAT})",
        "c = HTTPSConnection('example.com')\nc.request('GET', '/', headers={'Authorization': 'Key ' + PAT})",
        KEYED + "requests.get('https://example.com/v2', auth=KeyAuth())",
    ],
)
@pytest.mark.parametrize("got", ["'YOUR_PAT'", "os.environ['CLARIFAI_PAT']"])
def test_a_host_that_would_have_got_a_key_is_named_whatever_stood_for_it(got, send):
    imports = "import os, requests\nfrom urllib.parse import urljoin\nfrom http.client import HTTPSConnection\n"
    _, what = found(f"{imports}PAT = {got}\n{send}\n")
    assert [*what.foreign] == ["example.com"]
    keyed = [edit.what for edit in what.edits if Value.KEY in edit.parts]
    assert keyed == (["CLARIFAI_PAT"] if "environ" in got else [])  # where it is looked up alone


@pytest.mark.parametrize("port", ["port=444", "port=int('444')"])
def test_a_connection_to_another_port_is_not_the_apis(port):
    _, what = found(
        f"import http.client\nc = http.client.HTTPSConnection('api.clarifai.com', {port})\n"
        "c.request('GET', '/', headers={'Authorization': 'Key YOUR_PAT'})"
    )
    assert what.edits == []
    assert len(what.foreign) == 1
