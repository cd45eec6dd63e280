"""The broker's life, its way out, and where the key is to be found: in its keeper alone."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import psutil
import pytest
from peers import (
    PATIENCE,
    Keeper,
    answer,
    ask,
    broker_for,
    channel_to,
    connect,
    found,
    grpc_server,
    key_of,
    server,
)
from threads import interrupted_in, wait_until_ended

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker
from clarifai_magic.errors import NotSignedInError, SecretError

TOKEN = secrets.token_hex(16)


def answering(heard):
    while True:
        try:
            heard.head()
        except (EOFError, ConnectionError):
            return
        heard.send(answer())


def listening():
    return {
        each.laddr.port for each in psutil.Process().net_connections() if each.status == "LISTEN"
    }


def test_it_begins_when_asked_and_ends_without_a_trace():
    threads, ports = set(threading.enumerate()), listening()
    broker = Broker(find_deployment("http://127.0.0.1:1"), TOKEN, lambda: "key")
    assert not broker.is_open
    assert (set(threading.enumerate()), listening()) == (threads, ports)
    base = broker.base
    assert broker.is_open
    assert broker.base == base
    assert len(listening() - ports) == 1
    idle, busy = connect(broker), ask(broker)
    busy.head()
    broker.close()
    broker.close()
    assert (set(threading.enumerate()), listening()) == (threads, ports)
    assert not broker.is_open
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(base.rsplit(":", 1)[1])))
    assert idle.rest() == b""
    with pytest.raises(NotSignedInError):
        _ = broker.base


def test_closing_ends_what_is_under_way():
    begun, ended = threading.Event(), threading.Event()

    def behave(_request, context):
        context.add_callback(ended.set)
        begun.set()
        ended.wait(PATIENCE)
        return b""

    with grpc_server("unary_unary", behave) as base:
        with broker_for(base) as broker, channel_to(broker) as channel:
            call = channel.unary_unary("/a/b").future(b"", metadata=key_of(broker), timeout=100)
            assert begun.wait(PATIENCE)
            broker.close()
            assert call.exception(PATIENCE).code() is grpc.StatusCode.UNAVAILABLE
        assert ended.wait(PATIENCE)


def test_one_port_whoever_asks_first(monkeypatch):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            with broker_for("http://127.0.0.1:1") as broker, ThreadPoolExecutor(64) as pool:
                bases = set(pool.map(lambda _: broker.base, range(64)))
                assert len(bases) == 1
    finally:
        sys.setswitchinterval(interval)


def test_it_shows_and_gives_away_nothing():
    with broker_for("http://127.0.0.1:1") as broker:
        assert broker.base in repr(broker)
        assert broker.token not in f"{broker!r}{broker}"
        assert copy.deepcopy(broker) is broker
        with pytest.raises(SecretError):
            pickle.dumps(broker)


def test_after_calls_the_key_is_found_in_its_keeper_alone(sandbox):
    keeper = Keeper(secrets.token_hex(16))

    def echo(request, _context):
        return request

    with grpc_server("unary_unary", echo) as base, server(answering) as rest:
        for where in (base, rest.base):
            broker = Broker(find_deployment(where), TOKEN, lambda: keeper.key)
            with channel_to(broker) as channel:
                if where == base:
                    for _ in range(3):
                        channel.unary_unary("/a/b")(b"", metadata=key_of(broker), timeout=20)
                else:
                    heard = ask(broker)
                    heard.head()
                loops = [each for each in gc.get_objects() if type(each).__name__ == "_Relay"]
                assert loops
                until = time.monotonic() + PATIENCE  # the answer is here before the call has ended
                while holders := [
                    holder
                    for each in (broker, *loops)
                    for holder in found(keeper.key, each, keeper)
                ]:
                    assert time.monotonic() < until, holders
            broker.close()


def test_while_an_answer_comes_the_key_is_found_in_its_keeper_alone():
    keeper, go_on = Keeper(secrets.token_hex(16)), threading.Event()

    def serve(heard):
        heard.head()
        heard.send(answer()[:-1])
        assert go_on.wait(PATIENCE)

    with server(serve) as upstream:
        broker = Broker(find_deployment(upstream.base), TOKEN, lambda: keeper.key)
        ask(broker).head()
        tasks = [each for each in gc.get_objects() if type(each) is asyncio.Task]
        assert tasks
        assert [holder for each in tasks for holder in found(keeper.key, each, keeper)] == []
        go_on.set()
        broker.close()


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_does_not_end_it():
    with server(answering) as upstream, broker_for(upstream.base) as broker:
        assert broker.base
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert ask(broker).head().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("moment", [threading.Event.wait, Future.result, weakref.finalize.__init__])
def test_an_interrupt_while_it_begins_leaves_no_port_behind(moment):
    before = set(threading.enumerate())
    with broker_for("http://127.0.0.1:1") as broker:
        with pytest.raises(KeyboardInterrupt), interrupted_in(moment):
            _ = broker.base
        assert not broker.is_open
        wait_until_ended(before)
        assert connect(broker)  # the next time


def test_a_proxy_of_the_environment_is_used_and_never_for_this_machine(monkeypatch):
    asked = []

    def serve(heard):
        asked.append(heard.head())
        heard.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        asked.append(heard.head())
        heard.send(answer())

    with server(serve) as proxy, server(answering) as local:
        place = proxy.base.removeprefix("http://")
        monkeypatch.setenv("https_proxy", f"http://me:p%40ss@{place}")
        with broker_for(local.base) as broker:
            assert ask(broker).head().startswith(b"HTTP/1.1 200 ")
            assert asked == []
        with broker_for("http://api.example.test") as broker:
            assert ask(broker).head().startswith(b"HTTP/1.1 200 ")
        assert asked[0] == (
            b"CONNECT api.example.test:80 HTTP/1.1\r\nHost: api.example.test:80\r\n"
            b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
        )
        assert b"Key the-real-key" in asked[1]
        monkeypatch.setenv("no_proxy", "other.test,.example.test")
        with broker_for("http://api.example.test:1") as broker:
            assert ask(broker).head().startswith(b"HTTP/1.1 502 ")
        assert len(asked) == 2


@pytest.mark.parametrize(
    "variables",
    [
        {"grpc_proxy": "", "https_proxy": "http://{place}"},
        {"https_proxy": "{place}"},
        {"https_proxy": "https://{place}"},
        {"HTTPS_PROXY": "http://{place}"},
    ],
)
def test_a_proxy_that_grpc_would_not_take_is_not_asked(monkeypatch, variables):
    with server(answering) as proxy:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(place=proxy.base.removeprefix("http://")))
        with broker_for("http://api.example.test") as broker:
            heard = ask(broker)
            assert heard.head().startswith(b"HTTP/1.1 502 ")
            assert b"api.example.test was not found" in heard.until(b"}}")
        assert proxy.connections == 0


@pytest.mark.parametrize("none", ["*", "other.test"])
def test_a_proxy_that_grpc_would_take_is_asked(monkeypatch, none):
    def serve(heard):
        heard.head()
        heard.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        answering(heard)

    with server(serve) as proxy:
        monkeypatch.setenv("https_proxy", proxy.base)
        monkeypatch.setenv("no_grpc_proxy", none)
        monkeypatch.setenv("no_proxy", "api.example.test")
        with broker_for("http://api.example.test") as broker:
            assert ask(broker).head().startswith(b"HTTP/1.1 200 ")
        assert proxy.connections == 1


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"x", b""]
)
def test_a_proxy_that_refuses_is_told_of(monkeypatch, reply):
    def serve(heard):
        heard.head()
        heard.send(reply)

    with server(serve) as proxy:
        monkeypatch.setenv("grpc_proxy", proxy.base)
        with broker_for("http://api.example.test") as broker:
            heard = ask(broker)
            assert heard.head().startswith(b"HTTP/1.1 502 ")
            assert b"proxy" in heard.until(b"}}")


FORK = """
import os, sys, socket, contextlib
from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker
import requests

def call(broker):
    return requests.get(broker.base + "/v2", headers={"Authorization": "Key " + broker.token}, timeout=20).status_code

broker = Broker(find_deployment(sys.argv[1]), "0" * 32, lambda: "key")
assert call(broker) == 200
base = broker.base
ready, go = os.pipe(), os.pipe()
if not (child := os.fork()):
    status = 1
    try:
        assert not broker.is_open
        os.write(ready[1], b"1")
        os.read(go[0], 1)
        # The parent has closed its own, and nothing here holds the port.
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(base.rsplit(":", 1)[1])), timeout=20)
            raise AssertionError("the port is still held")
        assert call(broker) == 200
        assert broker.base != base
        broker.close()
        status = 0
    finally:
        os._exit(status)
os.read(ready[0], 1)
if not (other := os.fork()):
    broker.close()
    os._exit(0)
os.waitpid(other, 0)
assert call(broker) == 200 and broker.base == base
broker.close()
os.write(go[1], b"1")
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


HELD = """
import os, sys, socket
from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker

broker = Broker(find_deployment(sys.argv[1]), "0" * 32, lambda: "key")
client = socket.create_connection(("127.0.0.1", int(broker.base.rsplit(":", 1)[1])))
client.sendall(f"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: Key {broker.token}\\r\\n\\r\\n".encode())
client.recv(65536)
go = os.pipe()
if not os.fork():
    os.close(go[1])
    os.read(go[0], 1)
    os._exit(0)
broker.close()
print("closed", flush=True)
sys.stdin.read()
"""


def test_a_forked_child_holds_no_connection_upstream():
    ended = threading.Event()

    def serve(heard):
        heard.head()
        heard.send(answer())
        heard.rest()
        ended.set()

    with server(serve) as upstream:
        command = [sys.executable, "-c", HELD, upstream.base]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            assert program.stdout.readline() == b"closed\n"
            assert ended.wait(PATIENCE)  # while the child lives


def test_a_forked_child_neither_serves_nor_closes_the_parents():
    with server(answering) as upstream:
        command = [sys.executable, "-c", FORK, upstream.base]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.stdout.strip() == "done", done.stderr


def test_a_program_ends_although_it_forgot_to_close():
    program = """
import sys
from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker
print(Broker(find_deployment("http://127.0.0.1:1"), "0" * 32, lambda: "key").base)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=True
    )
    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stderr == ""


def test_one_that_is_forgotten_ends():
    broker = Broker(find_deployment("http://127.0.0.1:1"), TOKEN, lambda: "key")
    heard = connect(broker)
    heard.send(b"GET / HTTP/1.1")
    del broker
    gc.collect()
    assert heard.rest() == b""
