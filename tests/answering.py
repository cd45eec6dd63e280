"""Servers over real sockets that answer what a test tells them to."""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme

SUCCESS = status_code_pb2.SUCCESS


def status(code: int) -> status_pb2.Status:
    return status_pb2.Status(code=code)


class Api:
    """A gRPC server that gives each method's calls the answer in `answers`.

    An answer is a message, raw bytes, or a pair of a gRPC status code and its details.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[str] = []
        self.base = ""

    @contextmanager
    def serving(self, address: str = "127.0.0.1", credentials: Any = None) -> Iterator[Api]:
        # Of the addresses that a name has, gRPC takes those that are free: another program may
        # have the port on the rest. All addresses are taken at once, or not at all.
        bound = "[::]" if address == "localhost" else address
        server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([_Everything(self)])
        if credentials is None:
            port = server.add_insecure_port(f"{bound}:0")
        else:
            port = server.add_secure_port(f"{bound}:0", credentials)
        self.base = f"{'https' if credentials else 'http'}://{address}:{port}"
        server.start()
        try:
            yield self
        finally:
            server.stop(None).wait()

    def answer(self, method: str, context: grpc.ServicerContext) -> bytes:
        self.calls.append(method)
        answer = self.answers.get(method, (grpc.StatusCode.UNIMPLEMENTED, ""))
        if isinstance(answer, tuple):
            context.abort(*answer)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, api: Api) -> None:
        self._api = api

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]
        return grpc.unary_unary_rpc_method_handler(
            lambda _request, context: self._api.answer(method, context)
        )


def answers_to_a_pat(user_id: str = "alice", app_id: str = "main") -> dict[str, Any]:
    """What the API answers the PAT of a user who has one app."""
    user = service_pb2.SingleUserResponse(status=status(SUCCESS))
    user.user.id = user_id
    apps = service_pb2.MultiAppResponse(status=status(SUCCESS))
    apps.apps.add(id=app_id, user_id=user_id)
    app = service_pb2.SingleAppResponse(status=status(SUCCESS), app=apps.apps[0])
    scopes = service_pb2.MultiScopeResponse(status=status(SUCCESS), scopes=["All"])
    return {
        "MyScopes": scopes,
        "MyScopesUser": scopes,
        "GetUser": user,
        "GetApp": app,
        "ListApps": apps,
    }


def answers_to_an_api_key(user_id: str = "alice", app_id: str = "main") -> dict[str, Any]:
    """What the API answers an API key of an app."""
    answers = answers_to_a_pat(user_id, app_id)
    answers["MyScopes"].app.CopyFrom(answers["GetApp"].app)
    for method in ("GetUser", "ListApps", "MyScopesUser"):
        answers[method] = refusal(method, status_code_pb2.CONN_AUTH_METHOD_DISABLED)
    return answers


def refusal(method: str, code: int) -> Any:
    """A method's response with nothing but a status."""
    name = service_pb2.DESCRIPTOR.services_by_name["V2"].methods_by_name[method].output_type.name
    return getattr(service_pb2, name)(status=status(code))


@contextmanager
def listening(
    serve: Callable[[socket.socket], object], address: str = "127.0.0.1"
) -> Iterator[int]:
    """A port each of whose connections is given to `serve`, in a thread; gives the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        threading.Thread(target=_accept, args=(server, serve), daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            # Wakes the thread that accepts, which closing alone does not.
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, serve: Callable[[socket.socket], object]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_served, args=(connection, serve), daemon=True).start()


def _served(connection: socket.socket, serve: Callable[[socket.socket], object]) -> None:
    with connection:
        connection.settimeout(30)
        with suppress(OSError):  # the client went away
            serve(connection)


def tls(certificate: trustme.LeafCert, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def http_answer(connection: socket.socket) -> None:
    """What a web server says to what it cannot read."""
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    while connection.recv(4096):
        pass


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


class HttpProxy:
    """An HTTP proxy that sends every connection on to one port, or answers otherwise."""

    def __init__(self, port: int = 0, answer: bytes = b"HTTP/1.0 200 OK\r\n\r\n") -> None:
        self.port = port
        self.answer = answer
        self.heads: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        self.heads.append(head)
        connection.sendall(self.answer)
        if not self.port:
            return
        with socket.create_connection(("127.0.0.1", self.port)) as beyond:
            back = threading.Thread(target=_pump, args=(beyond, connection), daemon=True)
            back.start()
            _pump(connection, beyond)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
