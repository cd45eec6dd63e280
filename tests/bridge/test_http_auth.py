"""The key for HTTP clients: on the session's own deployment's requests, and on no other."""

from __future__ import annotations

import asyncio
import pickle
from urllib.parse import urlsplit

import httpx
import pytest
import requests
from peers import PATIENCE, answer, server, server_of_localhost

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.auth import Auth
from clarifai_magic.errors import CallError, SecretError

KEY = "the-real-key"


def auth_for(base):
    return Auth(find_deployment(base), lambda: KEY)


def with_requests(url, auth):
    return requests.get(url, auth=auth, timeout=PATIENCE)


def with_httpx(url, auth):
    return httpx.get(url, auth=auth, timeout=PATIENCE, follow_redirects=True)


def with_httpx_awaited(url, auth):
    async def get():
        async with httpx.AsyncClient(auth=auth, timeout=PATIENCE, follow_redirects=True) as client:
            return await client.get(url)

    return asyncio.run(get())


WAYS = [with_requests, with_httpx, with_httpx_awaited]


@pytest.fixture
def upstream():
    heads = []

    def serve(heard):
        heads.append(heard.head())
        if b"GET /away" in heads[-1]:
            place = heads[-1].partition(b"?")[2].split()[0].decode()
            heard.send(answer(b"", f"Location: {place}", status="302 Found"))
        else:
            heard.send(answer())

    with server(serve) as running:
        running.heads = heads
        yield running


@pytest.mark.parametrize("get", WAYS)
def test_the_key_is_sent_to_the_sessions_own_deployment(get, upstream):
    auth = auth_for(upstream.base)
    assert get(f"{upstream.base}/v2/models", auth).status_code == 200
    assert get(f"{upstream.base}/v2/ext/openai/v1/models", auth).status_code == 200
    assert b"Authorization: Key the-real-key\r\n" in upstream.heads[0]
    assert b"Authorization: Bearer the-real-key\r\n" in upstream.heads[1]


@pytest.mark.parametrize("get", WAYS)
@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:1", "https://api.clarifai.com", "http://127.0.0.1", "https://{host}",
     "http://localhost:{port}", "http://{host}@evil.example", "http://evil.example/{host}"],
)  # fmt: skip
def test_for_any_other_there_is_an_error_before_anything_is_sent(get, base, upstream):
    host = upstream.base.removeprefix("http://")
    url = base.format(host=host, port=host.partition(":")[2])
    with pytest.raises(CallError) as error:
        get(f"{url}/v2", auth_for(upstream.base))
    assert upstream.base in str(error.value)
    assert f"://{urlsplit(url).netloc.rpartition('@')[2]}, " in str(error.value)
    assert KEY not in str(error.value)
    assert upstream.connections == 0


@pytest.mark.parametrize("get", WAYS)
def test_a_redirect_elsewhere_is_without_the_key(get, upstream):
    elsewhere = []

    def serve(heard):
        elsewhere.append(heard.head())
        heard.send(answer())

    # By another name too, for a port is no other host to requests.
    with server_of_localhost(serve) as other:
        get(f"{upstream.base}/away?{other.base}/v2", auth_for(upstream.base))
    assert KEY.encode() in upstream.heads[0]
    assert len(elsewhere) == 1
    assert KEY.encode() not in elsewhere[0]


def test_default_ports_need_not_be_written():
    auth = auth_for("https://api.clarifai.com")
    request = requests.Request("GET", "https://api.clarifai.com:443/v2", auth=auth).prepare()
    assert request.headers["Authorization"].encode() == b"Key the-real-key"


def test_a_client_that_says_bearer_goes_on_to():
    request = requests.Request(
        "GET", "https://api.clarifai.com/v2", headers={"Authorization": "Bearer x"}
    )
    auth_for("https://api.clarifai.com")(request)
    assert request.headers["Authorization"].encode() == b"Bearer the-real-key"


def test_it_shows_and_gives_away_nothing():
    auth = auth_for("https://api.clarifai.com")
    assert KEY not in repr(auth)
    assert not hasattr(auth, "__dict__")
    with pytest.raises(SecretError):
        pickle.dumps(auth)
    request = requests.Request("GET", "https://api.clarifai.com/v2", auth=auth).prepare()
    assert KEY not in repr(request.headers)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_no_proxy_hears_the_key_of_a_deployment_on_this_machine(
    upstream, monkeypatch, way, variable
):
    with server(lambda heard: heard.send(answer())) as proxy:
        monkeypatch.setenv(variable, proxy.base)
        with pytest.raises(CallError, match="no_proxy"):
            way(upstream.base, auth_for(upstream.base))
        assert proxy.connections == 0
        monkeypatch.setenv("no_proxy", "elsewhere.example,127.0.0.1")
        assert way(upstream.base, auth_for(upstream.base)).status_code == 200
        assert f"Authorization: Key {KEY}".lower().encode() in upstream.heads[-1].lower()
        assert proxy.connections == 0
