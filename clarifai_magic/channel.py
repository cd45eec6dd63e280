"""A gRPC channel whose calls are authorised and say whose resources they are about.

It wraps a channel rather than intercepting it: gRPC's interceptors cost every call more than
all that is done here. What a caller says explicitly, by metadata or by IDs, is left alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.connection import Process
from clarifai_magic.retries import Outcome
from clarifai_magic.scopes import methods
from clarifai_magic.secret import Unpicklable
from clarifai_magic.statuses import SUCCESS

if TYPE_CHECKING:
    from typing_extensions import Self

    from clarifai_magic.connection import Connection
    from clarifai_magic.wire import Deserializer, Serializer, Terms


class AuthorisedChannel(Unpicklable, grpc.Channel):  # type: ignore[misc]
    """A channel that adds a key and IDs where a call has none, and retries it where that helps.

    Parameters
    ----------
    connection : Connection
        What carries the calls.
    terms : Terms
        What is added, and who is told.
    """

    def __init__(self, connection: Connection, terms: Terms) -> None:
        self._connection = connection
        self._terms = terms

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> grpc.UnaryUnaryMultiCallable:
        """Wrap the callable of a method with one request and one response."""
        known = method.rpartition("/")[2] in methods()
        return (_UnaryUnary if known else _OtherUnaryUnary)(
            self, "unary_unary", method, request_serializer, response_deserializer, options
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> grpc.UnaryStreamMultiCallable:
        """Wrap the callable of a method with one request and many responses."""
        return _UnaryStream(
            self, "unary_stream", method, request_serializer, response_deserializer, options
        )

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> grpc.StreamUnaryMultiCallable:
        """Wrap the callable of a method with many requests and one response."""
        return _StreamUnary(
            self, "stream_unary", method, request_serializer, response_deserializer, options
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> grpc.StreamStreamMultiCallable:
        """Wrap the callable of a method with many requests and many responses."""
        return _StreamStream(
            self, "stream_stream", method, request_serializer, response_deserializer, options
        )

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """Pass on `grpc.Channel.subscribe`."""
        self._connection.channel.subscribe(callback, try_to_connect=try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """Pass on `grpc.Channel.unsubscribe`."""
        self._connection.channel.unsubscribe(callback)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class _Callable(Unpicklable):
    """A method's callable; for calls with another key than the session's, a bare one is made."""

    def __init__(  # noqa: PLR0913 - one method's parts
        self,
        owner: AuthorisedChannel,
        kind: str,
        method: str,
        serialize: Serializer,
        deserialize: Deserializer,
        options: dict[str, Any],
    ) -> None:
        self._connection = owner._connection  # noqa: SLF001
        self._terms = owner._terms  # noqa: SLF001
        self._metadata = self._terms.metadata
        self._kind, self._method, self._options = kind, method, options
        self._bare = serialize, deserialize
        self._generation = -1

    def _bind(self) -> None:
        """Take up the channel of this process; at the first call, for a stub has 273 methods."""
        serialize, deserialize = self._bare
        self._serialize = self._terms.serializer(self._method, serialize)
        self._call = self._made(
            self._serialize, self._terms.deserializer(self._method, deserialize)
        )
        self._generation = self._connection.generation

    def _made(self, serialize: Serializer, deserialize: Deserializer) -> Any:
        make = getattr(self._connection.channel, self._kind)
        return make(self._method, serialize, deserialize, **self._options)

    def _for(self, metadata: Any) -> tuple[Any, Any]:
        """The callable for a call with this metadata, and the metadata to send."""
        if self._generation != Process.generation:
            self._bind()
        if metadata is None or metadata is self._metadata:
            return self._call, self._metadata
        pairs = tuple(map(tuple, metadata))
        return self._call if self._metadata[0] in pairs else self._made(*self._bare), pairs

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        call, metadata = self._for(metadata)
        return call(request, timeout, metadata, *rest, **options)


class _WithCall(_Callable):
    """What callables with one response offer besides."""

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        call, metadata = self._for(metadata)
        return call.with_call(request, timeout, metadata, *rest, **options)

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        call, metadata = self._for(metadata)
        return call.future(request, timeout, metadata, *rest, **options)


class _OtherUnaryUnary(_WithCall, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]
    """Of a method that is not the API's, whose responses have no status."""


class _UnaryUnary(_WithCall, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]
    """Retries a call that waits; a future, or a call with its call object, is the caller's own.

    Most calls come through here, and each pays for every line and function.
    """

    def _bind(self) -> None:
        super()._bind()
        self._retries = self._terms.retries.of(self._method)
        self._waiting = self._made(self._serialize, self._bare[1])

    def __call__(  # noqa: PLR0913 - gRPC's own signature
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        if self._generation != Process.generation:
            self._bind()
        call = self._waiting
        if metadata is None:
            metadata = self._metadata
        elif metadata is not self._metadata:
            own, metadata = self._for(metadata)
            if own is not self._call:
                return own(request, timeout, metadata, credentials, wait_for_ready, compression)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            response = call(request, timeout, metadata, credentials, wait_for_ready, compression)
            if response.status.code == SUCCESS:
                return response
            first = Outcome(response)
        except grpc.RpcError as error:
            if not self._retries.mends(error):
                raise
            first = Outcome(error=error)
        rest = (metadata, credentials, wait_for_ready, compression)
        return self._again(call, first, deadline, request, *rest)

    def _again(
        self, call: Any, first: Outcome, deadline: float | None, request: Any, *rest: Any
    ) -> Any:
        """Make a call again if that helps. Apart, for a closure slows the function it is in."""
        response = self._retries.retry(lambda left: call(request, left, *rest), first, deadline)
        self._terms.notice(self._method, response)
        return response


class _UnaryStream(_Callable, grpc.UnaryStreamMultiCallable):  # type: ignore[misc]
    pass


class _StreamUnary(_WithCall, grpc.StreamUnaryMultiCallable):  # type: ignore[misc]
    pass


class _StreamStream(_Callable, grpc.StreamStreamMultiCallable):  # type: ignore[misc]
    pass
