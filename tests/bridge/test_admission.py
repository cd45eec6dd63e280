"""Who gets through the broker: requests with its token, to this machine; and nothing else goes up."""

from __future__ import annotations

import json

import grpc
import pytest
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from google.rpc import status_pb2 as rpc_status_pb2
from peers import (
    answer,
    ask,
    broker_for,
    channel_to,
    connect,
    grpc_server,
    key_of,
    server,
)

METHOD = "/clarifai.api.V2/MyScopes"


def answering(heard):
    heard.head()
    heard.send(answer())


@pytest.mark.parametrize("word", ["Key", "Bearer"])
def test_the_key_takes_the_tokens_place_and_nothing_else_changes(word):
    heads = []

    def serve(heard):
        heads.append(heard.head())
        heard.send(answer())

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        lines = (
            "X-Mixed-Case: Kept",
            "accept: */*",
            "Cookie: a=b",
            f"Authorization: {word} {broker.token}",
        )
        assert (
            ask(broker, *lines, target="/v2/models?page=1&q=a%20b")
            .head()
            .startswith(b"HTTP/1.1 200")
        )
        host = upstream.base.removeprefix("http://")
    assert heads == [
        (
            "GET /v2/models?page=1&q=a%20b HTTP/1.1\r\n"
            f"Host: {host}\r\nX-Mixed-Case: Kept\r\naccept: */*\r\nCookie: a=b\r\n"
            f"Authorization: {word} the-real-key\r\n\r\n"
        ).encode()
    ]


REFUSED = {
    "none": ("Authorization:",),
    "a wrong token": (f"Authorization: Key {'0' * 32}",),
    "a part of the token": ("Authorization: Key {token:.31}",),
    "more than the token": ("Authorization: Key {token}0",),
    "the real key": ("Authorization: Key the-real-key",),
    "the token of another session": ("Authorization: Key {other}",),
    "the token as a password": ("Authorization: Basic {token}",),
    "the token alone": ("Authorization: {token}",),
    "the token in a cookie": ("Authorization:", "Cookie: authorization=Key {token}; token={token}"),
    "the token for a proxy": ("Authorization:", "Proxy-Authorization: Key {token}"),
    "two headers": ("Authorization: Key {token}", "Authorization: Key {token}"),
    "text that is not ASCII": ("Authorization: Key ü",),
}


@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED)
def test_a_request_without_the_token_is_answered_here(lines):
    with (
        server(answering) as upstream,
        broker_for(upstream.base) as broker,
        broker_for(upstream.base) as other,
    ):
        assert other.base != broker.base
        given = [line.format(token=broker.token, other=other.token) for line in lines]
        if given[0] == "Authorization:":
            given[0] = "X-None: 1"
        heard = connect(broker)
        heard.send(
            "\r\n".join(["GET /v2/models HTTP/1.1", "Host: localhost", *given, "", ""]).encode()
        )
        head = heard.head()
        assert head.startswith(b"HTTP/1.1 401 ")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while len(heard.data) < length:
            heard.data += heard.socket.recv(65536)
        status = json.loads(heard.data)["status"]
        assert set(status) == {"code", "description", "details", "req_id"}
        assert status["code"] in {
            status_code_pb2.CONN_KEY_NOT_FOUND,
            status_code_pb2.CONN_INVALID_REQUEST,
        }
        # The connection goes on, and with the token so does the request.
        heard.data = b""
        heard.send(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key {broker.token}\r\n\r\n".encode()
        )
        assert heard.head().startswith(b"HTTP/1.1 200 ")
        assert upstream.connections == 1
        assert broker.carried == 1


def test_a_token_in_the_query_is_none():
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker, "Authorization: none", target=f"/v2/models?key={broker.token}")
        assert heard.head().startswith(b"HTTP/1.1 401 ")
        assert upstream.connections == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0",
     "10.0.0.1", "127.0.0.1@evil.example", "localhost:port", "", "evil.example@127.0.0.1",
     "127.0.0.1/.evil.example", "127.0.0.1?.evil.example", "127.0.0.1#.evil.example"],
)  # fmt: skip
def test_a_host_of_another_name_is_refused(host):
    """A page's own host, made to mean this machine, would be one (DNS rebinding)."""
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        head = ask(broker, f"Host: {host}").head()
        assert head.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 "))
        assert upstream.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "[::1]:80", "127.0.0.2", "LOCALHOST"])
def test_this_machine_has_several_names(host):
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        assert ask(broker, f"Host: {host}").head().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("target", ["http://evil.example/v2", "evil.example:443", "v2"])
def test_a_target_elsewhere_is_refused(target):
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        verb = "CONNECT" if target.endswith("443") else "GET"
        assert ask(broker, verb=verb, target=target).head().startswith(b"HTTP/1.1 400 ")
        assert upstream.connections == 0


def test_a_page_of_a_browser_is_not_let_in():
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        heard = ask(
            broker,
            "Origin: https://evil.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization",
            "Authorization: none",
            verb="OPTIONS",
        )
        head = heard.head().lower()
        assert head.startswith(b"http/1.1 401 ")
        assert b"access-control" not in head
        assert upstream.connections == 0


def test_grpc_without_the_token_is_unauthenticated_and_other_calls_go_on():
    seen = []

    def echo(request, context):
        seen.append(dict(context.invocation_metadata()))
        return request

    with (
        grpc_server("unary_unary", echo) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        call = channel.unary_unary(METHOD)
        assert call(b"1", metadata=key_of(broker), timeout=20) == b"1"
        for metadata in (
            (),
            (("authorization", "Key " + "0" * 32),),
            (("authorization", "Key the-real-key"),),
            (("cookie", broker.token), ("token", broker.token)),
            (*key_of(broker), *key_of(broker)),
        ):
            for size in (0, 200_000):  # more than a window, which must come back
                with pytest.raises(grpc.RpcError) as error:
                    call(bytes(size), metadata=metadata, timeout=20)
                assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert call(b"2", metadata=key_of(broker, "Bearer"), timeout=20) == b"2"
    assert [each["authorization"] for each in seen] == ["Key the-real-key", "Bearer the-real-key"]
    trailers = dict(error.value.trailing_metadata())
    rich = rpc_status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    status = status_pb2.Status()
    assert rich.details[0].Unpack(status)
    assert status.code == status_code_pb2.CONN_INVALID_REQUEST
    assert status.req_id


def test_grpc_without_the_token_opens_nothing_upstream():
    with (
        server(answering) as upstream,
        broker_for(upstream.base) as broker,
        channel_to(broker) as channel,
    ):
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(METHOD)(b"", timeout=20)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert upstream.connections == 0


def test_grpc_to_another_authority_is_refused():
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        options = [("grpc.default_authority", "evil.example")]
        target = broker.base.removeprefix("http://")
        with (
            grpc.insecure_channel(target, options=options) as channel,
            pytest.raises(grpc.RpcError) as error,
        ):
            channel.unary_unary(METHOD)(b"", metadata=key_of(broker), timeout=20)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert upstream.connections == 0
