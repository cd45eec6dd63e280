"""MCP over streamable HTTP, as its clients speak it: each model is a server with one tool."""

from __future__ import annotations

import pytest
import requests

PATH = "/v2/ext/mcp/v1/users/{}/apps/{}/models/{}"
CHAT = ("openai", "chat-completion", "gpt-oss-120b")
CALL = {"name": "predict", "arguments": {"text": "A red dog"}}


@pytest.fixture
def post(sandbox):
    """HTTP status and JSON of a message to a model's server."""

    def answered(message, model=CHAT, authorization=f"Bearer {sandbox.keys.pat}"):
        content = {"data": message} if isinstance(message, bytes) else {"json": message}
        found = requests.post(
            sandbox.base + PATH.format(*model),
            headers={
                "Authorization": authorization,
                "Accept": "application/json, text/event-stream",
            },
            timeout=20,
            **content,
        )
        return found.status_code, found.json() if found.content else None

    return answered


@pytest.fixture
def ask(post):
    """What a request gives that must succeed."""

    def result(method, params=None, model=CHAT, number=1):
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        status, answered = post(message, model)
        assert (status, answered["jsonrpc"], answered["id"]) == (200, "2.0", number)
        return answered["result"]

    return result


def test_a_client_and_its_server_get_to_know_each_other(ask, post):
    met = ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}})
    assert met["protocolVersion"] == "2025-06-18"
    assert met["capabilities"] == {"tools": {}}
    assert "gpt-oss-120b" in met["serverInfo"]["name"]
    assert ask("initialize", {"protocolVersion": "1999-01-01"})["protocolVersion"] > "2025"
    assert post({"jsonrpc": "2.0", "method": "notifications/initialized"}) == (202, None)
    assert ask("ping", number="text") == {}
    assert ask("ping", number=0) == {}


def test_the_one_tool_is_listed_and_called(ask):
    [tool] = ask("tools/list")["tools"]
    assert (tool["name"], tool["inputSchema"]["required"]) == ("predict", ["text"])
    [content] = ask("tools/call", CALL)["content"]
    assert content["text"].startswith("This is the sandbox")
    assert content["text"].endswith("red, dog.")


def test_what_is_no_text_comes_as_what_it_is(ask):
    image = ("stability-ai", "stable-diffusion-2", "stable-diffusion-xl")
    [content] = ask("tools/call", CALL, image)["content"]
    assert (content["type"], content["mimeType"]) == ("image", "image/png")
    [content] = ask("tools/call", CALL, ("clarifai", "main", "general-image-recognition"))[
        "content"
    ]
    assert '"name": "dog"' in content["text"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}, -32602),
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {**CALL, "arguments": 5},
            },
            -32602,
        ),
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {**CALL, "arguments": {"text": 5}},
            },
            -32602,
        ),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
        ([], -32600),
    ],
)
def test_what_makes_no_sense_is_an_error_of_json_rpc(post, message, code):
    status, answered = post(message)
    assert (status, answered["error"]["code"]) == (200, code)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_a_number_that_json_does_not_have_is_not_sent_back(post, number):
    status, answered = post(b'{"jsonrpc": "2.0", "method": "ping", "id": %s}' % number)
    assert (status, answered["error"]["code"]) == (400, 11100)


@pytest.mark.parametrize(
    ("model", "key", "status", "code"),
    [
        (CHAT, "revoked_key", 401, 11009),
        (CHAT, "api_key", 404, 11101),  # it is its app's alone
        (("me", "main", "gpt-oss-120b"), "pat", 404, 11101),
        (("bob", "attic", "pets"), "pat", 404, 11101),
    ],
)
def test_keys_and_models_are_refused_as_everywhere(post, sandbox, model, key, status, code):
    for word in ("Bearer", "Key"):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL}
        answered = post(message, model, f"{word} {getattr(sandbox.keys, key)}")
        assert (answered[0], answered[1]["error"]["code"]) == (status, code)


def test_other_addresses_and_verbs_are_refused(sandbox, post):
    key = {"Authorization": f"Bearer {sandbox.keys.pat}"}
    stream = requests.get(sandbox.base + PATH.format(*CHAT), headers=key, timeout=20)
    assert (stream.status_code, stream.json()["error"]["code"]) == (405, 11103)
    nothing = requests.post(f"{sandbox.base}/v2/ext/mcp/v1/users", headers=key, timeout=20)
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, 11101)
    assert post(b"{")[0] == 400
    for version in ("1", ""):
        model = (*CHAT[:2], f"{CHAT[2]}/versions/{version}")
        assert post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, model)[0] == 404
