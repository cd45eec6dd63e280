"""HTTP/1.1 through the broker: streams, and what happens when either side does not play along."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest
import requests
from clarifai_grpc.grpc.api.status import status_code_pb2
from peers import PATIENCE, answer, ask, broker_for, connect, server

PIECES = [f"data: {number}\n\n".encode() for number in range(3)]


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_events_pass_one_by_one():
    taken = threading.Event()

    def serve(heard):
        heard.head()
        heard.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for piece in PIECES:
            heard.send(chunk(piece))
            assert taken.wait(PATIENCE)
            taken.clear()
        heard.send(b"0\r\n\r\n")

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker)
        assert b"\r\nTransfer-Encoding: chunked\r\n" in heard.head()
        for piece in PIECES:
            assert heard.until(chunk(piece)) == chunk(piece)
            taken.set()
        assert heard.until(b"0\r\n\r\n") == b"0\r\n\r\n"


def test_a_body_passes_as_it_comes_and_may_be_answered_meanwhile():
    def serve(heard):
        assert b"\r\nTransfer-Encoding: chunked\r\n" in heard.head()
        heard.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in PIECES:
            assert heard.until(chunk(piece)) == chunk(piece)
            heard.send(chunk(piece))
        assert heard.until(b"\r\n\r\n") == b"0\r\nx-sum: 3\r\n\r\n"
        heard.send(b"0\r\nx-total: 3\r\n\r\n")

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker, "Transfer-Encoding: chunked", verb="POST")
        heard.head()
        for piece in PIECES:
            heard.send(chunk(piece))
            assert heard.until(chunk(piece)) == chunk(piece)
        heard.send(b"0\r\nx-sum: 3\r\n\r\n")
        assert heard.until(b"\r\n\r\n") == b"0\r\nx-total: 3\r\n\r\n"


def test_a_large_body_arrives_whole_both_ways():
    body = bytes(range(256)) * 40_000

    def serve(heard):
        size = int(heard.head().lower().partition(b"content-length: ")[2].split()[0])
        while len(heard.data) < size:
            heard.data += heard.socket.recv(1 << 20)
        heard.send(answer(heard.data))

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        key = {"Authorization": f"Key {broker.token}"}
        found = requests.post(f"{broker.base}/v2/inputs", data=body, headers=key, timeout=PATIENCE)
    assert found.content == body


def test_what_is_of_one_connection_only_stays_there():
    heads = []

    def serve(heard):
        heads.append(heard.head().lower())
        heard.send(
            answer(
                b"{}",
                "Connection: keep-alive, X-Hop",
                "X-Hop: 1",
                "Keep-Alive: timeout=5",
                "X-End: 1",
            )
        )

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        head = ask(
            broker, "Connection: close, X-Mine", "X-Mine: 1", "TE: trailers", "Upgrade: websocket",
            "Proxy-Authorization: Basic eA==", "Keep-Alive: 1", "X-End: 1",
        ).head().lower()  # fmt: skip
    for hop in (b"x-mine", b"te:", b"upgrade", b"proxy-", b"keep-alive", b"connection"):
        assert hop not in heads[0]
    assert b"x-end: 1" in heads[0]
    assert b"x-end: 1" in head
    assert b"x-hop" not in head
    assert b"keep-alive" not in head


@pytest.mark.parametrize("named", ["host", "authorization", "content-length", "Content-Length, X"])
def test_what_a_message_needs_is_not_of_one_connection(named):
    heads = []

    def serve(heard):
        heads.append(heard.head())
        heard.send(answer(heard.until(b"body")))

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        lines = (f"Connection: {named}", "Content-Length: 4", "X: 1")
        heard = ask(broker, *lines, verb="POST", body=b"body")
        assert heard.head().startswith(b"HTTP/1.1 200 ")
    assert b"Authorization: Key the-real-key\r\n" in heads[0]
    assert b"Content-Length: 4\r\n" in heads[0]
    assert (b"X: 1" in heads[0]) is ("X" not in named)


def test_what_is_no_request_has_an_answer_with_a_body_after_head_too():
    def serve(heard):
        heard.head()
        heard.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker, verb="HEAD")
        assert heard.head().startswith(b"HTTP/1.1 200 ")
        heard.send(b"nonsense\r\n\r\n")
        assert heard.head().startswith(b"HTTP/1.1 400 ")
        assert json.loads(heard.rest())["status"]["code"] == status_code_pb2.CONN_BAD_REQUEST_FORMAT


def test_a_client_that_waits_for_leave_gets_upstreams():
    def serve(heard):
        assert b"expect: 100-continue" in heard.head().lower()
        heard.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert heard.until(b"body") == b"body"
        heard.send(answer())

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker, "Expect: 100-continue", "Content-Length: 4", verb="POST")
        assert heard.head().startswith(b"HTTP/1.1 100 ")
        heard.send(b"body")
        assert heard.head().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
        ("DELETE", answer(b"")),
    ],
)
def test_answers_without_a_body_and_the_next_on_the_same_connections(verb, reply):
    def serve(heard):
        for _ in range(3):
            heard.head()
            heard.send(reply)

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = connect(broker)
        for _ in range(3):
            heard.send(
                f"{verb} / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key {broker.token}\r\n\r\n".encode()
            )
            assert heard.head().split(b"\r\n")[0] == reply.split(b"\r\n")[0]
        assert upstream.connections == 1
        assert broker.carried == 3


def test_upstream_may_end_its_connection_between_requests():
    ended = threading.Event()

    def serve(heard):
        heard.head()
        heard.send(answer())
        heard.socket.close()
        ended.set()

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = connect(broker)
        key = f"Authorization: Key {broker.token}"
        for _ in range(3):
            heard.send(f"GET / HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n".encode())
            assert heard.head().startswith(b"HTTP/1.1 200 ")
            heard.until(b"{}")
            assert ended.wait(PATIENCE)
            ended.clear()
            assert ask(broker).head().startswith(b"HTTP/1.1 200 ")  # after which the end is seen
            assert ended.wait(PATIENCE)
            ended.clear()
        assert upstream.connections == 6


def test_requests_that_come_together_are_answered_in_turn():
    def serve(heard):
        for number in range(3):
            assert heard.head().startswith(b"GET /%d " % number)
            heard.send(answer(b"%d" % number))

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = connect(broker)
        heard.send(
            b"".join(
                f"GET /{number} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key {broker.token}\r\n\r\n".encode()
                for number in range(3)
            )
        )
        for number in range(3):
            heard.head()
            assert heard.until(b"%d" % number) == b"%d" % number


def test_a_client_of_http_1_0_and_a_server_that_ends_its_answer_by_closing():
    def serve(heard):
        heard.head()
        heard.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = connect(broker)
        heard.send(
            f"GET / HTTP/1.0\r\nHost: localhost\r\nAuthorization: Key {broker.token}\r\n\r\n".encode()
        )
        assert heard.rest().endswith(b"\r\n\r\nall of it")


def test_a_redirect_is_passed_on_and_not_followed():
    with server(lambda heard: None) as elsewhere:

        def serve(heard):
            heard.head()
            heard.send(
                answer(b"", f"Location: {elsewhere.base}/v2", status="307 Temporary Redirect")
            )

        with server(serve) as upstream, broker_for(upstream.base) as broker:
            head = ask(broker).head()
        assert head.startswith(b"HTTP/1.1 307 ")
        assert f"Location: {elsewhere.base}/v2".encode() in head
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
def test_a_client_that_goes_away_ends_the_request_upstream(sent):
    begun, ended = threading.Event(), threading.Event()

    def serve(heard):
        heard.head()
        heard.send(sent)
        begun.set()
        heard.rest()
        ended.set()

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker)
        assert begun.wait(PATIENCE)
        heard.socket.close()
        assert ended.wait(PATIENCE)


def test_upstream_that_is_down_is_told_in_the_apis_own_shape():
    with server(lambda heard: None) as gone:
        pass
    with broker_for(gone.base) as broker:
        heard = ask(broker)
        assert heard.head().startswith(b"HTTP/1.1 502 ")
        heard.until(b"}}")
        again = requests.get(
            f"{broker.base}/v2", headers={"Authorization": f"Key {broker.token}"}, timeout=PATIENCE
        )
    details = again.json()["status"]["details"]
    assert gone.base in details
    assert "refused" in details


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n"])
def test_upstream_that_ends_without_an_answer(sent):
    def serve(heard):
        heard.head()
        heard.send(sent)

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        assert ask(broker).head().startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
def test_half_an_answer_is_no_whole_one(sent):
    def serve(heard):
        heard.head()
        heard.send(sent)

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        key = {"Authorization": f"Key {broker.token}"}
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(f"{broker.base}/v2", headers=key, timeout=PATIENCE)


def test_upstream_may_answer_before_it_has_the_body():
    def serve(heard):
        heard.head()
        heard.send(answer(b"{}", status="413 Content Too Large"))

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(broker, "Content-Length: 1000000000", verb="POST", body=bytes(100_000))
        assert heard.head().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2**20 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 30_000 + b"\r\n", b"431"),
        (b"GET /" + b"x" * 2**20, b"431"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_and_the_rest_goes_on(request_, status):
    def serve(heard):
        heard.head()
        heard.send(answer())

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = connect(broker)
        with contextlib.suppress(ConnectionError):  # it need not be read to its end
            heard.send(request_)
        assert heard.head().split(b" ")[1] == status
        assert b'"status"' in heard.until(b"}}")
        assert ask(broker).head().startswith(b"HTTP/1.1 200 ")
        assert upstream.connections == 1


def test_a_request_that_is_two_to_another_reader_is_one_here():
    """With both lengths, the chunks count, and upstream is not told of the other."""
    heads = []

    def serve(heard):
        heads.append(heard.head().lower())
        heard.until(b"0\r\n\r\n")
        heard.send(answer())

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = ask(
            broker,
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            verb="POST",
            body=b"0\r\n\r\nGET",
        )
        heard.head()
    assert b"content-length" not in heads[0]


def test_bodies_that_never_end_hold_nobody_up():
    def serve(heard):
        if b"POST" in heard.head():
            heard.rest()
        else:
            heard.send(answer())

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        endless = [
            ask(broker, "Transfer-Encoding: chunked", verb="POST", body=chunk(b"more"))
            for _ in range(50)
        ]
        assert ask(broker).head().startswith(b"HTTP/1.1 200 ")
        for each in endless:
            each.socket.close()


@pytest.mark.slow
def test_idle_connections_hold_nobody_up():
    def serve(heard):
        while True:
            try:
                heard.head()
            except EOFError:
                return
            heard.send(answer())

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        known = ask(broker)
        known.head()
        known.until(b"{}")
        port = int(broker.base.rsplit(":", 1)[1])
        idle = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(400)]
        for each in idle:  # who has spoken has more time
            with contextlib.suppress(ConnectionError):
                each.sendall(b"GET / HTTP/1.1")
        assert ask(broker).head().startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""  # the oldest has made way
        known.send(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key {broker.token}\r\n\r\n".encode()
        )
        assert known.head().startswith(b"HTTP/1.1 200 ")
        for each in idle:
            each.close()


def test_the_sandbox_answers_through_it_as_it_does_directly(sandbox):
    with broker_for(sandbox.base, sandbox.keys.pat) as broker:
        found = requests.get(
            f"{broker.base}/v2/users/me",
            headers={"Authorization": f"Key {broker.token}"},
            timeout=PATIENCE,
        )
        direct = requests.get(
            f"{sandbox.base}/v2/users/me",
            headers={"Authorization": f"Key {sandbox.keys.pat}"},
            timeout=PATIENCE,
        )
    assert found.status_code == direct.status_code == 200
    assert found.json()["user"] == direct.json()["user"]
    assert json.dumps(found.json())
