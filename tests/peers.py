"""Small real servers that a broker may be made for, and raw clients of a broker."""

from __future__ import annotations

import contextlib
import gc
import queue
import secrets
import socket
import sys
import threading
import types
from typing import TYPE_CHECKING

import grpc

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

PATIENCE = 60
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
    ],
}
"""What OpenAI's protocol answers to a chat."""


class Heard:
    """One connection that a server was given."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.data = b""

    def until(self, end: bytes) -> bytes:
        """Read until some bytes have come; what came up to them."""
        while end not in self.data:
            if not (more := self.socket.recv(65536)):
                raise EOFError(f"ended after {self.data!r}")
            self.data += more
        found, _, self.data = self.data.partition(end)
        return found + end

    def head(self) -> bytes:
        """A request's, or an answer's, first line and headers."""
        return self.until(b"\r\n\r\n")

    def rest(self) -> bytes:
        """Whatever comes until the other side ends."""
        with contextlib.suppress(ConnectionError):
            while more := self.socket.recv(65536):
                self.data += more
        return self.data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


@contextlib.contextmanager
def server(serve: Callable[[Heard], None]) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening, Server(listening, serve) as running:
        yield running


@contextlib.contextmanager
def server_of_localhost(serve: Callable[[Heard], None]) -> Iterator[Server]:
    """At all addresses of the name, so that none of them leads to another program."""
    with (
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening,
        Server(listening, serve, "localhost") as running,
    ):
        yield running


class Server:
    """Serves each connection in a thread; an error in one is raised at the end."""

    def __init__(
        self, listening: socket.socket, serve: Callable[[Heard], None], name: str = "127.0.0.1"
    ) -> None:
        self.base = f"http://{name}:{listening.getsockname()[1]}"
        self.connections = 0
        self._listening, self._serve = listening, serve
        self._errors: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self._over:
                return
            self.connections += 1
            thread = threading.Thread(target=self._one, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(Heard(connection))
            except BaseException as error:  # noqa: BLE001 - raised at the end
                self._errors.put(error)

    def __enter__(self) -> Self:
        self._over = False
        self._threads[0].start()
        return self

    def __exit__(self, kind, *_: object) -> None:
        self._over = True
        socket.create_connection(self._listening.getsockname()[:2]).close()
        for thread in self._threads:
            thread.join(PATIENCE)
        if kind is None and not self._errors.empty():
            raise self._errors.get()


@contextlib.contextmanager
def broker_for(base: str, key: str = "the-real-key", roots: str = "") -> Iterator[Broker]:
    broker = Broker(find_deployment(base, roots), secrets.token_hex(16), lambda: key)
    with contextlib.closing(broker):
        yield broker


def connect(broker: Broker) -> Heard:
    """A raw connection to a broker."""
    port = int(broker.base.rsplit(":", 1)[1])
    return Heard(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))


def ask(
    broker: Broker, *lines: str, verb: str = "GET", target: str = "/v2/models", body: bytes = b""
) -> Heard:
    """Send a request's head, with the token unless a line says otherwise."""
    named = {line.partition(":")[0].lower() for line in lines}
    first = [f"{verb} {target} HTTP/1.1"]
    if "host" not in named:
        first.append(f"Host: {broker.base.removeprefix('http://')}")
    if "authorization" not in named:
        first.append(f"Authorization: Key {broker.token}")
    heard = connect(broker)
    heard.send("\r\n".join([*first, *lines, "", ""]).encode() + body)
    return heard


def answer(body: bytes = b"{}", *lines: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


class Handler(grpc.GenericRpcHandler):
    """One behaviour for every method, on bytes."""

    def __init__(self, kind: str, behaviour: Callable[..., object]) -> None:
        self._handler = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)

    def service(self, _details: object) -> grpc.RpcMethodHandler:
        return self._handler


@contextlib.contextmanager
def grpc_server(kind: str, behaviour: Callable[..., object], port: int = 0) -> Iterator[str]:
    """A gRPC server with one behaviour; gives its base URL."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        running = grpc.server(pool, [Handler(kind, behaviour)], options=options)
        bound = running.add_insecure_port(f"127.0.0.1:{port}")
        running.start()
        try:
            yield f"http://127.0.0.1:{bound}"
        finally:
            running.stop(None).wait()


@contextlib.contextmanager
def channel_to(broker: Broker) -> Iterator[grpc.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(broker.base.removeprefix("http://"), options=options) as channel:
        yield channel


def key_of(broker: Broker, word: str = "Key") -> tuple[tuple[str, str], ...]:
    return (("authorization", f"{word} {broker.token}"),)


class Keeper:
    """The one object that may have a key."""

    def __init__(self, key: str) -> None:
        self.key = key


def found(key: str, start: object, keeper: Keeper) -> list[object]:
    """What holds a key, of all that can be reached from an object, its keeper apart."""
    needle, left = key.encode(), [start]
    seen = {id(keeper), id(keeper.__dict__), id(key)}
    seen.update(id(vars(module)) for module in list(sys.modules.values()))
    holders = []
    while left:
        each = left.pop()
        if id(each) in seen or issubclass(type(each), types.ModuleType):
            continue
        seen.add(id(each))
        data = str.encode(each, "utf-8", "replace") if issubclass(type(each), str) else each
        if issubclass(type(data), (bytes, bytearray, memoryview)) and needle in bytes(data):
            holders.append(each)
        left.extend(gc.get_referents(each))
    return holders


def held(key: str, thing: object, depth: int = 6) -> bool:
    """Whether the key is in an object's attributes and items, some levels deep, or in its repr."""
    seen = set()

    def search(each, level):
        if id(each) in seen or level > depth or isinstance(each, types.ModuleType):
            return False
        seen.add(id(each))
        if isinstance(each, str):
            return key in str.__str__(each)
        if isinstance(each, (bytes, bytearray)):
            return key.encode() in each
        inside = []
        with contextlib.suppress(Exception):  # some stand for what is made when it is looked at
            inside += vars(each).values()
        for kind in type(each).__mro__:
            names = kind.__dict__.get("__slots__", ())
            inside += [
                getattr(each, n, None) for n in ([names] if isinstance(names, str) else names)
            ]
        if isinstance(each, dict):
            inside += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            inside += list(each)
        return any(search(one, level + 1) for one in inside)

    return search(thing, 0) or key in repr(thing)
