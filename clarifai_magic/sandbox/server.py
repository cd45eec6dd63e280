"""The sandbox's sockets and its life: one loopback port for gRPC and REST, with TLS or without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from clarifai_magic import scopes
from clarifai_magic.sandbox import rest, seed
from clarifai_magic.sandbox.service import (
    Faults,
    OutageError,
    Service,
    request_class,
    response_class,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

_LOOPBACK = "127.0.0.1"
_HTTP2 = b"PRI "  # how the connection preface of RFC 9113, section 3.4, begins
_PATIENCE = 10  # seconds for a client to say which protocol it speaks
_CHUNK = 2**18
_THREADS = 128  # more than calls in flight, so that latency does not queue them


class Sandbox:
    """A local server that speaks Clarifai's protocol, on loopback only.

    Parameters
    ----------
    port : int
        The port to serve on; 0 for any that is free.
    tls : bool
        Whether to serve TLS, with a certificate for `localhost` (needs `clarifai-magic[tls]`).
    latency : float
        Seconds before each answer.
    throttle : float
        The share of calls, from 0 to 1, that are answered with 11005 and not carried out.
    outage : float
        The share of calls, from 0 to 1, that end with UNAVAILABLE and are not carried out.

    Attributes
    ----------
    keys : Keys
        The keys that exist from the start, random for every sandbox.
    user_id, app_id : str
        Whose PAT `keys.pat` is, and that user's first app.
    base : str
        The base URL, once started.
    faults : Faults
        `latency`, `throttle` and `outage`, which may be changed while it serves.
    root_certificates : str or None
        The path of the certificate authority's PEM file while serving TLS.

    Raises
    ------
    OSError
        From `start()`: the port cannot be used.
    ModuleNotFoundError
        From `start()`: TLS is wanted and `trustme` is not installed.

    """

    user_id = seed.USER_ID
    app_id = seed.APP_ID

    def __init__(
        self,
        port: int = 0,
        tls: bool = False,
        latency: float = 0.0,
        throttle: float = 0.0,
        outage: float = 0.0,
    ) -> None:
        self._wanted_port = port
        self._tls = tls
        self.faults = Faults(latency, throttle, outage)
        store, self.keys = seed.planted()
        self._service = Service(store, self.faults)
        self._end = contextlib.ExitStack()
        self.base = ""
        self.root_certificates: str | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.base or 'not serving'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Serve, from now until `close()`.

        Raises
        ------
        OSError
            The port cannot be used.
        ModuleNotFoundError
            TLS is wanted and `trustme` is not installed.
        RuntimeError
            The sandbox has been started before.

        """
        if self.base or self.faults.over.is_set():
            raise RuntimeError("This sandbox was started before.\nMake another one.")
        with contextlib.ExitStack() as end:
            context = end.enter_context(_certified(self)) if self._tls else None
            pool = end.enter_context(ThreadPoolExecutor(_THREADS, "clarifai-sandbox"))
            inner = end.enter_context(_grpc_server(self._service, pool))
            front = _Front(inner, partial(rest.serve, self._service, pool))
            port = end.enter_context(front.listening(self._wanted_port, context))
            end.callback(self.faults.over.set)
            self._end = end.pop_all()
        self.base = f"https://localhost:{port}" if self._tls else f"http://{_LOOPBACK}:{port}"

    def close(self) -> None:
        """Stop serving, drop every connection and forget everything; may be called again."""
        self.faults.over.set()
        self._end.close()


@contextlib.contextmanager
def _certified(sandbox: Sandbox) -> Iterator[ssl.SSLContext]:
    """Make a certificate authority and a certificate, for as long as the sandbox serves."""
    try:
        import trustme
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "The sandbox's TLS needs the package trustme, which is not installed.\n"
            "Run: pip install 'clarifai-magic[tls]'"
        ) from None
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # gRPC clients offer h2 alone; who offers HTTP/1.1 as well speaks REST.
    context.set_alpn_protocols(["http/1.1", "h2"])
    authority.issue_cert("localhost", _LOOPBACK).configure_cert(context)
    handle, path = tempfile.mkstemp(prefix="clarifai-sandbox-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(authority.cert_pem.bytes())
        sandbox.root_certificates = path
        yield context
    finally:
        sandbox.root_certificates = None
        os.unlink(path)  # noqa: PTH108  the twin of mkstemp


@contextlib.contextmanager
def _grpc_server(service: Service, pool: ThreadPoolExecutor) -> Iterator[int]:
    """Run the gRPC server behind the front; gives its port."""
    server = grpc.server(
        pool,
        handlers=[
            grpc.method_handlers_generic_handler(
                scopes.SERVICE, {method: _handler(service, method) for method in scopes.methods()}
            )
        ],
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", rest.MAX_BODY),
            ("grpc.max_send_message_length", -1),
        ],
    )
    port = server.add_insecure_port(f"{_LOOPBACK}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def _handler(service: Service, method: str) -> grpc.RpcMethodHandler:
    """Fit the service to one method's way of calling."""
    descriptor = scopes.methods()[method]

    def stream(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        metadata = context.invocation_metadata()
        try:
            yield from chain.from_iterable(service.answer(method, r, metadata) for r in requests)
        except OutageError as outage:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(outage))

    def respond(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        return stream(iter([request]), context)

    def unary(request: Any, context: grpc.ServicerContext) -> Any:
        return next(respond(request, context))

    ways = {
        (False, False): (grpc.unary_unary_rpc_method_handler, unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, respond),
        (True, True): (grpc.stream_stream_rpc_method_handler, stream),
    }
    make, behaviour = ways[descriptor.client_streaming, descriptor.server_streaming]
    return make(
        behaviour,
        request_deserializer=request_class(method).FromString,
        response_serializer=response_class(method).SerializeToString,
    )


class _Listening(NamedTuple):
    port: int
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)


class _Front:
    """Tells HTTP/2 from HTTP/1.1 by its first bytes, and passes each on."""

    def __init__(self, grpc_port: int, serve_rest: Any) -> None:
        self._grpc_port = grpc_port
        self._serve_rest = serve_rest

    @contextlib.contextmanager
    def listening(self, port: int, context: ssl.SSLContext | None) -> Iterator[int]:
        """Serve in a thread of its own; gives the port."""
        started: Future[_Listening] = Future()
        serving = self._serve(port, context, started)
        thread = threading.Thread(
            target=asyncio.run, args=(serving,), name="clarifai-sandbox-front", daemon=True
        )
        thread.start()
        try:
            listening = started.result()
            with contextlib.closing(listening):
                yield listening.port
        finally:
            thread.join()

    async def _serve(
        self, port: int, context: ssl.SSLContext | None, started: Future[_Listening]
    ) -> None:
        handshake = {"ssl_handshake_timeout": _PATIENCE} if context else {}
        try:
            server = await asyncio.start_server(
                self._accept, _LOOPBACK, port, ssl=context, limit=_CHUNK, **handshake
            )
        except (OSError, OverflowError) as error:
            words = (
                f"Port {port} cannot be used: {error}.\nGive another, or 0 for any that is free."
            )
            started.set_exception(OSError(words))
            return
        stop = asyncio.Event()
        bound = server.sockets[0].getsockname()[1]
        started.set_result(_Listening(bound, asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()
        # Again and again, for a connection may just be about to get its task.
        while connections := asyncio.all_tasks() - {asyncio.current_task()}:
            for connection in connections:
                connection.cancel()
            # Not for ever: asyncio.wait_for may lose a cancellation (before Python 3.12).
            await asyncio.wait(connections, timeout=0.1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readexactly(len(_HTTP2)), _PATIENCE)
            serve = self._relay if head == _HTTP2 else self._serve_rest
            await serve(reader, writer, head)
        except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError):
            pass  # the client went away, or never spoke
        except asyncio.CancelledError:
            pass  # the sandbox closes; asyncio's streams log a cancellation that gets through
        finally:
            writer.transport.abort()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(
            _LOOPBACK, self._grpc_port, limit=_CHUNK
        )
        try:
            up_writer.write(head)
            pumps = [
                asyncio.ensure_future(_pump(reader, up_writer)),
                asyncio.ensure_future(_pump(up_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            up_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
