"""REST on the same port: the same calls as JSON, and clients that misbehave."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

from clarifai_magic.loopback import exchanges
from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD = "Host: sandbox\r\n"


@pytest.fixture
def http_to(sandbox) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(sandbox.base.removeprefix("http://"), timeout=20)
    yield connection
    connection.close()


@pytest.fixture
def ask(http_to, sandbox) -> Callable[..., tuple[int, Any]]:
    """HTTP status and JSON of a request, all over one connection kept alive."""

    def answer(verb: str, path: str, body: Any = None, key: str = sandbox.keys.pat, **headers):
        if not isinstance(body, (bytes, type(None))):
            body = json.dumps(body).encode()
        http_to.request(verb, path, body, {"Authorization": f"Key {key}", **headers})
        response = http_to.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None

    return answer


@pytest.fixture
def raw(sandbox) -> Callable[[str], bytes]:
    """All that the sandbox sends until it closes, having been sent these bytes."""
    host, port = sandbox.base.removeprefix("http://").split(":")

    def sent(request: str) -> bytes:
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(request.encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    return sent


def test_a_path_names_user_and_app(ask):
    status, found = ask("GET", "/v2/users/me/apps/main/inputs?per_page=1&page=2")
    assert (status, found["status"]["code"]) == (200, 10000)
    assert [item["id"] for item in found["inputs"]] == ["family"]
    assert found["inputs"][0]["created_at"].endswith("Z")
    assert found["inputs"][0]["status"]["code"] == 30000


def test_an_api_key_uses_the_short_addresses(ask, sandbox):
    status, found = ask("GET", "/v2/inputs/note", key=sandbox.keys.api_key)
    assert (status, found["input"]["data"]["text"]["raw"][:5]) == (200, "A dog")


def test_a_query_holds_flags_lists_and_dotted_names(ask, sandbox):
    query = "sort_by_id=true&sort_ascending=true&user_app_id.user_id=acme"
    assert [app["id"] for app in ask("GET", f"/v2/apps?{query}")[1]["apps"]] == ["catalog", "press"]
    path = "/v2/users/me/apps/main/annotations?input_ids=note&input_ids=dog"
    assert len(ask("GET", path)[1]["annotations"]) == 2
    assert ask("GET", "/v2/apps?nonsense=1")[0] == 400
    assert ask("GET", "/v2/apps?page=x")[0] == 400


def test_the_more_literal_address_wins(ask):
    assert "model_types" in ask("GET", "/v2/users/me/apps/main/models/types")[1]
    assert ask("GET", "/v2/users/me/apps/main/models/pets")[1]["model"]["id"] == "pets"
    assert ask("GET", "/v2/users/me/apps/main/concepts/no%2Fslash")[0] == 404


def test_a_body_is_predicted_on(ask):
    path = "/v2/users/clarifai/apps/main/models/general-image-recognition/outputs"
    image = {"base64": base64.b64encode(b"\x89PNG....").decode()}
    status, found = ask("POST", path, {"inputs": [{"data": {"image": image}}]})
    assert (status, found["outputs"][0]["data"]["concepts"][0]["name"]) == (200, "image/png")


def test_empty_lists_are_there(ask):
    assert ask("GET", "/v2/users/bob/apps")[1]["apps"] == []


def test_a_stream_is_a_line_of_json_each(http_to, sandbox):
    path = "/v2/users/openai/apps/chat-completion/models/GPT-4/outputs/generate"
    body = json.dumps({"inputs": [{"data": {"text": {"raw": "hello"}}}]})
    http_to.request("POST", path, body, {"Authorization": f"Key {sandbox.keys.pat}"})
    lines = [json.loads(line) for line in http_to.getresponse().read().splitlines()]
    assert lines[0]["outputs"][0]["data"]["text"]["raw"] == "This "
    assert len(lines) > 5


@pytest.mark.parametrize(
    ("line", "body", "status", "code"),
    [
        ("GET /v2/users/bob/apps/attic", None, 404, 11101),
        ("GET /v2/nothing", None, 404, 11101),
        ("PUT /v2/users/me/apps", None, 405, 11103),
        ("POST /v2/users/me/apps", b"{", 400, 11100),
        ("POST /v2/users/me/apps", b"[1]", 400, 11100),
        ("POST /v2/users/me/apps", b'{"appz": []}', 400, 11100),
        ("POST /v2/users/me/apps", b"\xff", 400, 11100),
        ("POST /v2/users/me/apps", b"[" * 100_000, 400, 11100),
        ("POST /v2/users/me/apps/main/evaluations", b"", 501, 10040),
        ("GET /v2/users/me/scopes", None, 401, 11200),
    ],
)
def test_the_http_status_follows_the_code(ask, line: str, body, status: int, code: int):
    answered, found = ask(*line.split(), body)
    assert (answered, found["status"]["code"]) == (status, code)
    assert ask("GET", "/v2/users/me")[0] == 200  # the connection is still good


def test_keys_are_refused_as_over_grpc(ask, sandbox):
    assert ask("GET", "/v2/users/me", key=sandbox.keys.revoked_key)[0] == 401
    assert ask("GET", "/v2/users/me", key="short")[1]["status"]["code"] == 11008
    assert ask("GET", "/v2/users/me", Authorization="key x")[1]["status"]["code"] == 11102


def test_organisations_are_told_to_their_members(ask, sandbox):
    for user in ("me", "alice"):
        status, found = ask("GET", f"/v2/users/{user}/organizations")
        wanted = [{"organization": {"id": "acme", "name": "Acme Corporation"}}]
        assert (status, found["organizations"]) == (200, wanted)
    other = ask("GET", "/v2/users/me/organizations", key=sandbox.keys.other_pat)
    assert other[1]["organizations"] == []
    assert ask("GET", "/v2/users/alice/organizations", key=sandbox.keys.other_pat)[0] == 404
    assert ask("GET", "/v2/users/me/organizations", key=sandbox.keys.api_key)[0] == 401
    assert ask("GET", "/v2/auth/methods", key="")[0] == 200


def test_head_is_get_without_a_body(ask):
    assert ask("HEAD", "/v2/users/me") == (200, None)
    assert ask("HEAD", "/v2/nothing") == (404, None)
    assert ask("GET", "/v2/users/me")[0] == 200


@pytest.mark.parametrize("path", ["/v2/users/me", "/v2/nothing", "/v2/ext/openai/v1/models"])
def test_head_tells_how_long_the_body_would_be(sandbox, path):
    address, key = sandbox.base + path, {"Authorization": f"Key {sandbox.keys.pat}"}
    heads = [requests.request(verb, address, headers=key, timeout=20) for verb in ("HEAD", "GET")]
    assert len({each.headers["Content-Length"] for each in heads}) == 1
    assert int(heads[0].headers["Content-Length"]) == len(heads[1].content) > 0


def test_a_body_may_come_in_chunks(http_to, sandbox):
    chunks = iter([b'{"concepts":', b'[{"id":"in-', b'chunks"}]}'])
    path = "/v2/users/me/apps/main/concepts"
    headers = {"Authorization": f"Key {sandbox.keys.pat}", "Transfer-Encoding": "chunked"}
    http_to.request("POST", path, chunks, headers, encode_chunked=True)
    assert json.load(http_to.getresponse())["concepts"][0]["id"] == "in-chunks"


def test_a_client_that_waits_to_be_told_to_go_on_is_told(sandbox):
    host, port = sandbox.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        lines = f"POST /v2/users/me/apps HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\n"
        connection.sendall(f"{lines}Content-Length: 2\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")  # no key was sent


def test_a_connection_is_closed_when_the_client_says_so(raw):
    answer = raw(f"GET /v2/auth/methods HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    two = raw(
        f"GET /v2/auth/methods HTTP/1.1\r\n{HEAD}\r\n"
        f"GET /v2/auth/methods HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
    )
    assert two.count(b"HTTP/1.1 200 OK") == 2


def test_what_is_no_http_is_refused(raw):
    answer = raw("SOME garbage\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"11100" in answer


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(raw):
    announced = f"{HEAD}Content-Length: {exchanges.MAX_BODY + 1}\r\nExpect: 100-continue\r\n\r\n"
    assert raw(f"POST /v2/users/me/apps HTTP/1.1\r\n{announced}").startswith(b"HTTP/1.1 413")


def test_a_client_that_stops_halfway_is_not_waited_for(raw, monkeypatch):
    monkeypatch.setattr(exchanges, "_PATIENCE", 0.1)
    assert raw(f"GET /v2/users/me HTTP/1.1\r\n{HEAD}").startswith(b"HTTP/1.1 408")
    finished = f"GET /v2/auth/methods HTTP/1.1\r\n{HEAD}\r\n"
    assert raw(finished).count(b"HTTP/1.1") == 1  # an idle connection is closed without a word


@pytest.mark.parametrize(("fault", "status"), [("throttle", 429), ("outage", 503)])
def test_faults_have_their_http_status(fault: str, status: int):
    with Sandbox(**{fault: 1.0}) as sandbox:
        connection = http.client.HTTPConnection(sandbox.base.removeprefix("http://"), timeout=20)
        for path in ("/v2/users/me", "/v2/users/me/organizations"):
            connection.request("GET", path, headers={"Authorization": f"Key {sandbox.keys.pat}"})
            response = connection.getresponse()
            assert response.status == status
            response.read()
        connection.close()
