"""A server whose answers a test decides, which knows what it was asked."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import CANARY

from clarifai_magic import Credentials, connect
from clarifai_magic.api.scopes import SERVICE, methods, request_class, response_class

OK = status_code_pb2.SUCCESS


class Scripted:
    """Answers every method by one function.

    Parameters
    ----------
    answer : callable
        Takes the request, an empty response and gRPC's context; gives what is sent: a message, or
        bytes as they are.
    """

    def __init__(self, answer):
        self._answer = answer
        self._lock = threading.Lock()
        self.requests, self.running, self.most = [], 0, 0

    def handlers(self):
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    partial(self.call, name), request_class(name).FromString, _written
                )
                for name in methods()
            },
        )

    def call(self, name, request, context):
        with self._lock:
            self.requests.append(request)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            response = response_class(name)()
            response.status.code = OK
            return self._answer(request, response, context)
        finally:
            with self._lock:
                self.running -= 1


def _written(response):
    return response if isinstance(response, bytes) else response.SerializeToString()


@contextlib.contextmanager
def serving(answer, *, port=0, options=(), **session_options):
    """A session with such a server, and what it was asked."""
    scripted = Scripted(answer)
    server = grpc.server(ThreadPoolExecutor(64), options=options)
    server.add_generic_rpc_handlers([scripted.handlers()])
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    base = f"http://127.0.0.1:{port}"
    credentials = Credentials(CANARY, user_id="alice", app_id="main", base=base)
    try:
        with connect(credentials, verified=False, **session_options) as session:
            yield session, scripted
    finally:
        server.stop(None).wait()


def predicted(request, response, _context=None):
    """What a model that works answers: an output for each input, by its ID."""
    for item in request.inputs:
        output = response.outputs.add(input=item)
        output.status.code = OK
    return response


def added(request, response, _context=None):
    """What PostInputs answers where all goes well."""
    for item in request.inputs:
        response.inputs.add(id=item.id).status.code = status_code_pb2.INPUT_DOWNLOAD_SUCCESS
    return response


class Relay:
    """Passes connections on to a server, until it stops; it starts again on the same port.

    For a client that is a server that restarts: connections break in the middle of calls, and
    then nothing listens.
    """

    def __init__(self, base):
        self._target = int(base.rpartition(":")[2])
        self._sockets = set()
        self._listener = None
        self.port = 0
        self.start()
        self.base = f"http://127.0.0.1:{self.port}"

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while self._sockets:
            with contextlib.suppress(OSError):
                self._sockets.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets |= {client, server}
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            self._sockets.discard(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
