"""openai's clients, signed in: they work, and the key is nowhere in them."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback

import openai
import pytest
from peers import COMPLETION, PATIENCE, Keeper, answer, found, held, server

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge import openai_clients
from clarifai_magic.bridge.auth import Auth
from clarifai_magic.errors import CallError

KEY = "the-real-key-of-tests"
TOKEN = "0" * 32
MESSAGES = [{"role": "user", "content": "Hi"}]


def chunk(text):
    piece = {
        **COMPLETION,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text}}],
    }
    return f"data: {json.dumps(piece)}\n\n".encode()


@pytest.fixture
def upstream():
    heads = []

    def closing(body, *lines, **status):  # as this server does after each answer
        return answer(body, "Connection: close", *lines, **status)

    def serve(heard):
        heads.append(heard.head())
        size = int(heads[-1].lower().partition(b"content-length: ")[2].split()[0])
        while len(heard.data) < size:
            heard.data += heard.socket.recv(65536)
        wanted = json.loads(heard.data)
        if wanted["model"] == "missing":
            heard.send(closing(b'{"error": {"message": "no"}}', status="404 Not Found"))
        elif wanted["model"] == "away":
            elsewhere = "Location: http://localhost:1/v2"
            heard.send(closing(b"", elsewhere, status="307 Temporary Redirect"))
        elif wanted["model"] == "half":
            heard.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
            )
            heard.send(chunk("half"))
        elif wanted["model"] == "dead":
            return
        elif wanted.get("stream"):
            body = chunk("Hel") + chunk("lo") + b"data: [DONE]\n\n"
            heard.send(closing(body, "Content-Type: text/event-stream"))
        else:
            heard.send(closing(json.dumps(COMPLETION).encode(), "Content-Type: application/json"))

    with server(serve) as running:
        running.heads = heads
        yield running


def waiting(base, **options):
    deployment = find_deployment(base)
    return openai_clients.client(
        deployment, Auth(deployment, lambda: KEY), TOKEN, timeout=PATIENCE, max_retries=0, **options
    )


class Awaited:
    """An awaited client, called as the other is."""

    def __init__(self, base):
        deployment = find_deployment(base)
        self.inner = openai_clients.async_client(
            deployment, Auth(deployment, lambda: KEY), TOKEN, timeout=PATIENCE, max_retries=0
        )
        self.chat = self.completions = self
        self.loop = asyncio.new_event_loop()

    def close(self):
        self.loop.run_until_complete(self.inner.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def create(self, **wanted):
        return self.loop.run_until_complete(self._create(wanted))

    async def _create(self, wanted):
        made = await self.inner.chat.completions.create(**wanted)
        return [each async for each in made] if wanted.get("stream") else made


CLIENTS = [waiting, Awaited]


@pytest.mark.parametrize("make", CLIENTS)
def test_completions_whole_and_streamed(make, upstream):
    client = make(upstream.base)
    assert not held(KEY, client)
    whole = client.chat.completions.create(model="m", messages=MESSAGES)
    assert whole.choices[0].message.content == "Hello"
    parts = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert "".join(part.choices[0].delta.content for part in parts) == "Hello"
    assert not held(KEY, client)
    client.close()
    for head in upstream.heads:
        assert head.startswith(b"POST /v2/ext/openai/v1/chat/completions ")
        assert head.count(b"the-real-key") == 1
        assert f"Authorization: Bearer {KEY}\r\n".encode() in head


def test_the_response_and_its_request_are_without_the_key(upstream):
    client = waiting(upstream.base)
    raw = client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert TOKEN in raw.http_request.headers["authorization"]
    assert not held(KEY, raw)
    with client.chat.completions.with_streaming_response.create(
        model="m", messages=MESSAGES, stream=True
    ) as streaming:
        assert not held(KEY, streaming)


@pytest.mark.parametrize("make", CLIENTS)
@pytest.mark.parametrize("model", ["missing", "half", "dead", "away"])
def test_an_error_and_its_frames_are_without_the_key(make, model, upstream):
    client = make(upstream.base)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - openai's, or its HTTP client's
        list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    error, seen = caught.value, []
    while error is not None:
        seen.append(error)
        assert not held(KEY, error)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals["__name__"] != __name__:
                assert not held(KEY, dict(frame.f_locals)), frame.f_code
        error = error.__cause__ or error.__context__
        assert len(seen) < 10
    assert len(upstream.heads) == 1
    client.close()


@pytest.mark.parametrize("make", CLIENTS)
def test_nothing_that_is_left_of_a_call_leads_to_the_key(make, upstream):
    client = make(upstream.base)
    chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert list(chunks)
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="missing", messages=MESSAGES)
    with pytest.raises(Exception) as half:  # noqa: PT011 - of openai's HTTP client
        list(client.chat.completions.create(model="half", messages=MESSAGES, stream=True))
    for each in (client, chunks, error.value, half.value):
        assert found(KEY, each, Keeper(KEY)) == []
    client.close()


def test_options_are_the_constructors(upstream):
    client = waiting(upstream.base, default_headers={"X-Mine": "1"})
    client.chat.completions.create(model="m", messages=MESSAGES)
    assert b"x-mine: 1\r\n" in upstream.heads[0].lower()
    with pytest.raises(TypeError, match="base_url"):
        waiting(upstream.base, base_url="http://evil.example")


@pytest.mark.parametrize("make", CLIENTS)
def test_a_proxy_that_grpc_would_take_is_asked_by_its_login(make, upstream, monkeypatch):
    place = upstream.base.removeprefix("http://")
    monkeypatch.setenv("https_proxy", f"http://me:p%40ss@{place}")
    client = make("http://api.example.test")
    assert client.chat.completions.create(model="m", messages=MESSAGES)
    monkeypatch.setenv("grpc_proxy", "")
    direct = make("http://api.example.test")
    with pytest.raises(openai.APIConnectionError):
        direct.chat.completions.create(model="m", messages=MESSAGES)
    for each in (client, direct):
        each.close()
    (head,) = upstream.heads
    assert head.startswith(b"POST http://api.example.test/")
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in head


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(CallError) as error:
        waiting("https://api.clarifai.com")
    assert error.value.hint == "Run %pip install openai."


def test_it_is_openais_own_client(upstream):
    assert isinstance(waiting(upstream.base), openai.OpenAI)
    assert isinstance(Awaited(upstream.base).inner, openai.AsyncOpenAI)
