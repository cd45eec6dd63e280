"""gRPC through the broker: every kind of call, to its status, and both ends' failings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import shutil
import socket
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import hpack
import pytest
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from peers import (
    PATIENCE,
    broker_for,
    channel_to,
    connect,
    grpc_server,
    key_of,
    server,
)

from clarifai_magic.bridge import frames
from clarifai_magic.bridge.frames import PREFACE, Frames, frame, header_frames
from clarifai_magic.loopback.front import Front
from clarifai_magic.sandbox import Sandbox

METHOD = "/clarifai.api.V2/Any"
SETTINGS = frame(frames.SETTINGS, 0, 0)


def opened(broker):
    """A raw connection that has begun."""
    heard = connect(broker)
    heard.send(PREFACE + SETTINGS)
    heard.frames = iterated(heard)
    return heard


def iterated(heard):
    parser = Frames()
    while data := heard.socket.recv(65536):
        yield from parser.feed(data)


def asked(broker, stream=1, encoder=None, **headers):
    """The frame of a call's headers."""
    pairs = {
        ":method": "POST", ":scheme": "http", ":path": METHOD, ":authority": "localhost",
        "content-type": "application/grpc", "te": "trailers",
        "authorization": f"Key {broker.token}", **headers,
    }  # fmt: skip
    block = (encoder or hpack.Encoder()).encode(list(pairs.items()))
    return header_frames(stream, block, 0)


def message(data):
    return b"\0" + len(data).to_bytes(4, "big") + data


def test_a_unary_call_with_metadata_deadline_status_and_trailers():
    seen = {}

    def behave(request, context):
        seen.update(dict(context.invocation_metadata()), left=context.time_remaining())
        context.send_initial_metadata((("x-first", "1"), ("x-first-bin", b"\0\xff")))
        context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", b"\xff\0")))
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "100 % wrong: ü")
        return request * 2

    with (
        grpc_server("unary_unary", behave) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        call = channel.unary_unary(METHOD)
        metadata = (*key_of(broker), ("x-mine", "a b"), ("x-mine-bin", bytes(range(256))))
        found, answered = call.with_call(b"ab", metadata=metadata, timeout=100)
        assert found == b"abab"
        assert ("x-first", "1") in answered.initial_metadata()
        assert ("x-first-bin", b"\0\xff") in answered.initial_metadata()
        assert ("x-last", "2") in answered.trailing_metadata()
        assert ("x-last-bin", b"\xff\0") in answered.trailing_metadata()
        assert seen["x-mine"] == "a b"
        assert seen["x-mine-bin"] == bytes(range(256))
        assert 90 < seen["left"] <= 101
        with pytest.raises(grpc.RpcError) as error:
            call(b"fail", metadata=metadata, timeout=20)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.value.details() == "100 % wrong: ü"
    assert ("x-last", "2") in error.value.trailing_metadata()


def test_streams_pass_one_message_at_a_time():
    def behave(requests, _context):
        for request in requests:
            yield request + b"!"

    with (
        grpc_server("stream_stream", behave) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        sent = queue.SimpleQueue()
        answers = channel.stream_stream(METHOD)(
            iter(sent.get, None), metadata=key_of(broker), timeout=20
        )
        for number in range(20):
            sent.put(b"%d" % number)
            assert next(answers) == b"%d!" % number
        sent.put(None)
        assert list(answers) == []
        assert answers.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("kind", ["unary_stream", "stream_unary"])
def test_streams_one_way(kind):
    many = [b"%d" % number for number in range(1000)]
    behaviours = {
        "unary_stream": lambda _request, _context: iter(many),
        "stream_unary": lambda requests, _context: b" ".join(requests),
    }
    with (
        grpc_server(kind, behaviours[kind]) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        call = getattr(channel, kind)(METHOD)
        found = call(
            iter(many) if kind == "stream_unary" else b"", metadata=key_of(broker), timeout=20
        )
        assert (found if kind == "stream_unary" else b" ".join(found)) == b" ".join(many)


@pytest.mark.parametrize("size", [1, 16_000, 70_000, 30_000_000])
def test_messages_of_any_size(size):
    with (
        grpc_server("unary_unary", lambda request, _context: request) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        data = bytes(range(256)) * (size // 256 + 1)
        assert channel.unary_unary(METHOD)(data, metadata=key_of(broker), timeout=60) == data


@pytest.mark.parametrize("way", ["cancelled", "deadline", "closed"])
def test_a_client_that_gives_up_ends_the_call_upstream(way):
    begun, ended = threading.Event(), threading.Event()

    def behave(_request, context):
        context.add_callback(ended.set)
        begun.set()
        ended.wait(PATIENCE)
        return b""

    with (
        grpc_server("unary_unary", behave) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        timeout = 0.5 if way == "deadline" else 100
        call = channel.unary_unary(METHOD).future(b"", metadata=key_of(broker), timeout=timeout)
        assert begun.wait(PATIENCE)
        if way == "cancelled":
            call.cancel()
        elif way == "closed":
            channel.close()
        else:
            assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert ended.wait(PATIENCE)


@pytest.mark.slow
def test_many_calls_at_once_waiting_and_awaited():
    with (
        grpc_server("unary_unary", lambda request, _context: request) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        call = channel.unary_unary(METHOD)
        with ThreadPoolExecutor(64) as pool:
            numbers = [b"%d" % number for number in range(1000)]
            found = pool.map(lambda each: call(each, metadata=key_of(broker), timeout=60), numbers)
            assert list(found) == numbers

        async def all_at_once():
            async with grpc.aio.insecure_channel(broker.base.removeprefix("http://")) as channel:
                call = channel.unary_unary(METHOD)
                return await asyncio.gather(
                    *(call(each, metadata=key_of(broker), timeout=60) for each in numbers)
                )

        assert asyncio.run(all_at_once()) == numbers
        assert broker.carried == 2000


def test_headers_that_change_from_call_to_call():
    """More than the tables of headers hold, so that entries go and come again."""
    with (
        grpc_server(
            "unary_unary",
            lambda _request, context: dict(context.invocation_metadata())["x-mine"].encode(),
        ) as base,
        broker_for(base) as broker,
        channel_to(broker) as channel,
    ):
        call = channel.unary_unary(METHOD)
        for number in range(300):
            value = f"{number % 70}-" + "x" * (number % 7 * 40)
            metadata = (*key_of(broker), ("x-mine", value), (f"x-{number % 50}", value))
            timeout = 20 + number % 11
            assert call(b"", metadata=metadata, timeout=timeout) == value.encode()


def test_indexed_headers_mean_the_same_when_the_table_has_changed():
    """A block that was seen before, byte for byte, may mean something else by now."""
    seen = []

    def behave(request, context):
        seen.append(dict(context.invocation_metadata())["x-mine"])
        return request

    with grpc_server("unary_unary", behave) as base, broker_for(base) as broker:
        heard = opened(broker)
        encoder = hpack.Encoder()
        blocks = []
        for number, value in enumerate(
            ["a", "a", "a", "b" * 1000, "b" * 1000, "a", "c", "a", "b" * 1000]
        ):
            stream = number * 2 + 1
            blocks.append(asked(broker, stream, encoder, **{"x-mine": value}))
            heard.send(blocks[-1] + frame(frames.DATA, frames.END_STREAM, stream, message(b"")))
            for each in heard.frames:
                if each.stream == stream and each.flags & frames.END_STREAM:
                    break
        heard.socket.close()
    assert seen == ["a", "a", "a", "b" * 1000, "b" * 1000, "a", "c", "a", "b" * 1000]


def test_headers_that_are_put_into_the_table_again_are_there_again():
    """A client may repeat a literal each time, because it need not index it."""
    seen = []

    def behave(request, context):
        seen.append(dict(context.invocation_metadata())["x-mine"])
        return request

    with grpc_server("unary_unary", behave) as base, broker_for(base) as broker:
        heard = opened(broker)
        literals = [asked(broker, stream, **{"x-mine": "first"}) for stream in (1, 3, 5)]
        decoder = hpack.Decoder()
        decoder.decode(literals[0][frames.HEAD :])
        count = len(decoder.header_table.dynamic_entries)
        oldest = 61 + 3 * count  # behind the 61 static ones
        indexed = b"".join(bytes([0x80 | oldest - number]) for number in range(count))
        static = hpack.Encoder().encode([(":method", "POST"), (":scheme", "http")])
        for stream, headers in (
            *zip((1, 3, 5), literals, strict=True),
            (7, header_frames(7, static + indexed, 0)),
        ):
            heard.send(headers + frame(frames.DATA, frames.END_STREAM, stream, message(b"")))
            assert any(each.kind == frames.DATA for each in until_end(heard, stream))
        heard.socket.close()
    assert seen == ["first"] * 4


def test_what_is_sent_to_a_refused_call_is_given_back_to_the_window():
    with server(lambda heard: None) as upstream, broker_for(upstream.base) as broker:
        heard = opened(broker)
        heard.send(asked(broker, authorization="Key no"))
        for _ in range(3):
            heard.send(frame(frames.DATA, 0, 1, bytes(16_000)))
        heard.send(frame(frames.DATA, frames.END_STREAM, 1, bytes(16_000)))
        given = 0
        for each in heard.frames:
            if each.kind == frames.WINDOW_UPDATE:
                assert each.stream == 0
                given += int.from_bytes(each.payload, "big")
            if given == 64_000:
                break
        heard.socket.close()


def test_an_answer_of_the_brokers_own_does_not_part_upstreams_headers():
    begun, go_on = threading.Event(), threading.Event()
    block = hpack.Encoder().encode([(":status", "200"), ("content-type", "application/grpc")])

    def serve(heard):
        heard.until(PREFACE)
        heard.send(SETTINGS + frame(frames.HEADERS, 0, 1, block[:2]))
        begun.set()
        assert go_on.wait(PATIENCE)
        heard.send(frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[2:]))
        heard.rest()

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = opened(broker)
        heard.send(asked(broker, 1))
        assert begun.wait(PATIENCE)
        heard.send(asked(broker, 3, authorization="Key no"))
        assert next(each for each in heard.frames if each.kind == frames.HEADERS)
        go_on.set()
        assert next(heard.frames).kind == frames.CONTINUATION
        assert next(each for each in heard.frames if each.stream == 3).kind == frames.HEADERS
        heard.socket.close()


@pytest.mark.parametrize("between", range(6))
def test_an_end_that_comes_twice_ends_the_connection_upstream(between):
    begun, ended = threading.Event(), threading.Event()

    def serve(heard):
        heard.until(PREFACE)
        begun.set()
        heard.rest()
        ended.set()

    async def end_twice():
        serving = [
            each
            for each in asyncio.all_tasks()
            if each.get_coro().__name__ == Front._accept.__name__
        ]
        for each in serving:
            each.cancel()
        for _ in range(between):
            await asyncio.sleep(0)
        for each in serving:
            each.cancel()
        await asyncio.wait(serving)

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard = opened(broker)
        heard.send(asked(broker, 1))
        assert begun.wait(PATIENCE)
        loop = broker._last.thread._loop
        asyncio.run_coroutine_threadsafe(end_twice(), loop).result(PATIENCE)
        assert ended.wait(PATIENCE)


def test_upstream_that_is_down_is_unavailable_and_may_come_back():
    with server(lambda heard: None) as gone:
        pass
    with broker_for(gone.base) as broker, channel_to(broker) as channel:
        call = channel.unary_unary(METHOD)
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as error:
                call(b"", metadata=key_of(broker), timeout=20)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert gone.base in error.value.details()
        port = int(gone.base.rsplit(":", 1)[1])
        with grpc_server("unary_unary", lambda request, _context: request, port):
            assert call(b"back", metadata=key_of(broker), timeout=20) == b"back"


def test_upstream_that_goes_away_in_the_middle():
    def serve(heard):
        heard.until(PREFACE)
        heard.send(SETTINGS)
        heard.socket.recv(65536)

    with (
        server(serve) as upstream,
        broker_for(upstream.base) as broker,
        channel_to(broker) as channel,
    ):
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(METHOD)(b"", metadata=key_of(broker), timeout=20)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert upstream.base in error.value.details()


@pytest.mark.parametrize(
    "sent",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", SETTINGS + frame(frames.HEADERS, 0, 1, bytes(50))[:20]],
)
def test_upstream_that_sends_nonsense_or_half_a_frame(sent):
    def serve(heard):
        heard.until(PREFACE)
        heard.send(sent)
        heard.socket.recv(65536)

    with (
        server(serve) as upstream,
        broker_for(upstream.base) as broker,
        channel_to(broker) as channel,
    ):
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(METHOD)(b"", metadata=key_of(broker), timeout=20)
        assert error.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}


def test_tls_with_the_deployments_own_authority_for_both_protocols(monkeypatch):
    import requests

    with Sandbox(tls=True) as sandbox:
        with broker_for(sandbox.base, sandbox.keys.pat, sandbox.root_certificates) as broker:
            with channel_to(broker) as channel:
                call = channel.unary_unary(
                    "/clarifai.api.V2/MyScopes",
                    response_deserializer=service_pb2.MultiScopeResponse.FromString,
                )
                assert call(b"", metadata=key_of(broker), timeout=20).status.code == 10000
            key = {"Authorization": f"Key {broker.token}"}
            assert (
                requests.get(f"{broker.base}/v2/users/me", headers=key, timeout=20).status_code
                == 200
            )
        with broker_for(sandbox.base, sandbox.keys.pat) as broker, channel_to(broker) as channel:
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(METHOD)(b"", metadata=key_of(broker), timeout=20)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "trusted" in error.value.details()


NONSENSE = {
    "no preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + SETTINGS,
    "no settings": PREFACE + frame(frames.PING, 0, 0, bytes(8)),
    "a frame too large": PREFACE + SETTINGS + frame(frames.DATA, 0, 1, bytes(2**14 + 1)),
    "headers that never end": PREFACE
    + SETTINGS
    + frame(frames.HEADERS, 0, 1)
    + frame(frames.CONTINUATION, 0, 1, bytes(2**14)) * 70,
    "headers that unpack to a lot": PREFACE
    + SETTINGS
    + frame(
        frames.HEADERS,
        frames.END_HEADERS,
        1,
        hpack.Encoder().encode([("x", "y" * 4000)]) + b"\xbe" * 9000,
    ),
    "headers that cannot be read": PREFACE
    + SETTINGS
    + frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 9),
    "a continuation of nothing": PREFACE
    + SETTINGS
    + frame(frames.CONTINUATION, frames.END_HEADERS, 1, b""),
    "something in between": PREFACE
    + SETTINGS
    + frame(frames.HEADERS, 0, 1)
    + frame(frames.PING, 0, 0, bytes(8)),
    "an even stream": PREFACE + SETTINGS + frame(frames.HEADERS, frames.END_HEADERS, 2, b""),
    "padding longer than all": PREFACE
    + SETTINGS
    + frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1, b"\xff\0"),
    "padding and nothing": PREFACE
    + SETTINGS
    + frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1),
    "a promise": PREFACE + SETTINGS + frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(4)),
    "windows without end": PREFACE
    + SETTINGS
    + frame(frames.WINDOW_UPDATE, 0, 0, frames.number(1)) * 30_000,
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
def test_a_client_that_speaks_nonsense_is_left(data):
    with server(lambda heard: heard.rest()) as upstream, broker_for(upstream.base) as broker:
        heard = connect(broker)
        with contextlib.suppress(ConnectionError):
            heard.send(data)
        heard.rest()  # which ends
        assert upstream.connections == 0


def test_a_request_on_the_stream_of_a_refused_one_goes_nowhere():
    """It would have no token, and another host."""
    with server(lambda heard: heard.rest()) as upstream, broker_for(upstream.base) as broker:
        heard, encoder = opened(broker), hpack.Encoder()
        for _ in range(2):
            refused_one = asked(broker, 1, encoder, authorization="Key no", **{":method": "HEAD"})
            heard.send(refused_one + frame(frames.DATA, frames.END_STREAM, 1))
        heard.send(asked(broker, 3, encoder))
        goodbye = next(each for each in heard.frames if each.kind == frames.GOAWAY)
        assert goodbye.payload[4:] == frames.number(frames.PROTOCOL_ERROR)
        assert upstream.connections == 0
        heard.socket.close()


def test_trailers_of_a_request_pass():
    seen = []

    def serve(heard):
        heard.until(PREFACE)
        heard.send(SETTINGS)
        parser, decoder = Frames(), hpack.Decoder()
        more = heard.data
        while len(seen) < 2:
            whole = [each for each in parser.feed(more) if each.kind == frames.HEADERS]
            seen.extend(decoder.decode(each.block) for each in whole)
            more = b"" if len(seen) == 2 else heard.socket.recv(65536)

    with server(serve) as upstream, broker_for(upstream.base) as broker:
        heard, encoder = opened(broker), hpack.Encoder()
        heard.send(asked(broker, 1, encoder))
        trailers = encoder.encode([("x-checksum", "1")])
        heard.send(header_frames(1, trailers, frames.END_STREAM))
        heard.rest()
    assert seen[1] == [("x-checksum", "1")]


def test_a_client_that_hangs_up_on_many_answers_leaves_the_log_alone():
    with server(lambda heard: None) as upstream, broker_for(upstream.base) as broker:
        for _ in range(3):
            heard = opened(broker)
            heard.send(frame(frames.PING, 0, 0, bytes(8)) * 14_000)
            assert any(each.kind == frames.PING for each in heard.frames)
            heard.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            heard.socket.close()
            heard = opened(broker)
            assert any(each.kind == frames.SETTINGS for each in heard.frames)
            heard.socket.close()


def test_frames_of_a_request_that_were_padded_or_in_parts():
    seen = []

    def behave(request, context):
        seen.append(dict(context.invocation_metadata())["x-mine"])
        return request

    with grpc_server("unary_unary", behave) as base, broker_for(base) as broker:
        heard = opened(broker)
        block = asked(broker, **{"x-mine": "y" * 100})[9:]
        first = bytes([7]) + bytes(5) + block[:50] + bytes(7)
        flags = frames.PADDED | frames.WITH_PRIORITY
        heard.send(frame(frames.HEADERS, flags, 1, first))
        heard.send(frame(frames.CONTINUATION, 0, 1, block[50:60]))
        heard.send(frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[60:]))
        heard.send(frame(frames.DATA, frames.END_STREAM, 1, message(b"x")))
        assert any(each.kind == frames.DATA for each in until_end(heard, 1))
        heard.socket.close()
    assert seen == ["y" * 100]


def test_headers_larger_than_a_frame():
    with (
        grpc_server(
            "unary_unary",
            lambda _request, context: b"%d" % len(dict(context.invocation_metadata())["x-mine"]),
        ) as base,
        broker_for(base) as broker,
    ):
        heard = opened(broker)
        block = hpack.Encoder().encode(
            [
                (":method", "POST"), (":scheme", "http"), (":path", METHOD), (":authority", "localhost"),
                ("content-type", "application/grpc"), ("te", "trailers"),
                ("authorization", f"Key {broker.token}"), ("x-mine", "~" * 7000),
            ],
            huffman=True,
        )  # fmt: skip
        heard.send(
            header_frames(1, block, 0) + frame(frames.DATA, frames.END_STREAM, 1, message(b""))
        )
        data = b"".join(each.payload for each in until_end(heard, 1) if each.kind == frames.DATA)
        assert data == message(b"7000")
        heard.socket.close()


def until_end(heard, stream):
    for each in heard.frames:
        if each.stream == stream:
            yield each
            if each.flags & frames.END_STREAM and each.kind != frames.RST_STREAM:
                return


REST = {"content-type": "application/json"}


def refused(heard, stream=1):
    """Status and body of an answer."""
    answer = list(until_end(heard, stream))
    (head,) = (each for each in answer if each.kind == frames.HEADERS)
    body = b"".join(each.payload for each in answer if each.kind == frames.DATA)
    return dict(hpack.Decoder().decode(head.block))[":status"], body


def test_a_rest_request_over_http2_is_refused_as_such_and_ends_the_connection():
    with server(lambda heard: None) as upstream, broker_for(upstream.base) as broker:
        heard = opened(broker)
        heard.send(asked(broker, authorization="Key no", **REST))
        status, body = refused(heard)
        assert status == "401"
        assert json.loads(body)["status"]["code"] == 11009
        assert frames.GOAWAY in [each.kind for each in heard.frames]
        assert upstream.connections == 0
        heard.socket.close()


def test_a_rest_request_over_http2_that_asks_for_no_body_gets_none():
    with server(lambda heard: None) as upstream, broker_for(upstream.base) as broker:
        heard = opened(broker)
        heard.send(asked(broker, authorization="Key no", **{":method": "HEAD"}, **REST))
        assert refused(heard) == ("401", b"")
        heard.socket.close()


def test_a_refusal_takes_nothing_from_the_window_of_calls_under_way():
    with (
        grpc_server("unary_unary", lambda request, _context: request) as base,
        broker_for(base) as broker,
    ):
        heard, encoder = opened(broker), hpack.Encoder()
        heard.send(asked(broker, 1, encoder))
        heard.send(asked(broker, 3, encoder, authorization="Key no", **REST))
        assert refused(heard, 3) == ("401", b"")
        heard.send(frame(frames.DATA, frames.END_STREAM, 1, message(b"still")))
        assert b"still" in b"".join(each.raw for each in until_end(heard, 1))
        heard.socket.close()


@pytest.mark.parametrize("body", [[], ["-d", "x" * 100_000]])
@pytest.mark.parametrize("has_token", [True, False])
def test_curl_over_http2_is_told_what_is_wrong(body, has_token):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with broker_for(f"http://127.0.0.1:{unused.getsockname()[1]}") as broker:
            header = f"Authorization: Key {broker.token if has_token else 'no'}"
            command = ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_code}", *body]
            done = subprocess.run(
                [*command, "-H", header, f"{broker.base}/v2/users/me"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
    assert done.stdout.endswith("502" if has_token else "401"), done.stderr
    status = json.loads(done.stdout[:-3])["status"]
    assert status["code"] == (
        status_code_pb2.RPC_SERVER_UNAVAILABLE if has_token else status_code_pb2.CONN_KEY_NOT_FOUND
    )


def test_the_sandbox_answers_the_documentations_call_through_it(sandbox):
    with broker_for(sandbox.base, sandbox.keys.pat) as broker, channel_to(broker) as channel:
        call = channel.unary_unary(
            "/clarifai.api.V2/ListModels",
            service_pb2.ListModelsRequest.SerializeToString,
            service_pb2.MultiModelResponse.FromString,
        )
        request = service_pb2.ListModelsRequest(
            user_app_id={"user_id": "clarifai", "app_id": "main"}
        )
        assert call(request, metadata=key_of(broker), timeout=20).models
