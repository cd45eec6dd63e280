"""gRPC on a port of this machine: one function answers every method of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.api import scopes
from clarifai_magic.loopback.exchanges import MAX_BODY
from clarifai_magic.loopback.front import LOOPBACK
from clarifai_magic.terminals import no_fork_while

if TYPE_CHECKING:
    from clarifai_magic.loopback.pool import Pool

Respond = Callable[[str, Any, Iterable[tuple[str, "str | bytes"]]], Iterator[Any]]


def started(answer: Respond, pool: Pool) -> tuple[grpc.Server, int]:
    """Start a server; also return its port.

    Parameters
    ----------
    answer : callable
        Takes a method, a request and metadata, and returns the responses; a `ConnectionError`
        ends the call with UNAVAILABLE.
    pool : Pool
        The threads that call it.
    """
    handlers = {method: _handler(answer, method) for method in scopes.methods()}
    server = grpc.server(
        pool,
        handlers=[grpc.method_handlers_generic_handler(scopes.SERVICE, handlers)],
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_BODY),
            ("grpc.max_send_message_length", -1),
        ],
    )
    no_fork_while(server)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    return server, port


def _handler(answer: Respond, method: str) -> grpc.RpcMethodHandler:
    """Adapt the function to one method's kind of call."""
    descriptor = scopes.methods()[method]

    def stream(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        metadata = context.invocation_metadata()
        try:
            yield from chain.from_iterable(answer(method, each, metadata) for each in requests)
        except ConnectionError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

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
        request_deserializer=scopes.request_class(method).FromString,
        response_serializer=scopes.response_class(method).SerializeToString,
    )
