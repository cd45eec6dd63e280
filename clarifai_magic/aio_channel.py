"""The authorised channel for calls that are awaited, in whichever event loop they are made."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.retries import Outcome
from clarifai_magic.scopes import methods
from clarifai_magic.secret import Unpicklable
from clarifai_magic.statuses import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Generator

    from clarifai_magic.connection import Connection
    from clarifai_magic.retries import MethodRetries
    from clarifai_magic.wire import Deserializer, Serializer, Terms


class AuthorisedAioChannel(Unpicklable):
    """What a stub for ``await`` is made over; belongs to no loop until a call is made.

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
    ) -> _AioCallable:
        """Wrap the callable of a method with one request and one response."""
        known = method.rpartition("/")[2] in methods()
        return (_AioUnaryUnary if known else _AioCallable)(
            self, "unary_unary", method, request_serializer, response_deserializer, options
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> _AioCallable:
        """Wrap the callable of a method with one request and many responses."""
        return _AioCallable(
            self, "unary_stream", method, request_serializer, response_deserializer, options
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> _AioCallable:
        """Wrap the callable of a method with many requests and many responses."""
        return _AioCallable(
            self, "stream_stream", method, request_serializer, response_deserializer, options
        )


class _AioCallable(Unpicklable):
    """A method's callable; the one of the running loop is made when it is called there."""

    def __init__(  # noqa: PLR0913 - one method's parts
        self,
        owner: AuthorisedAioChannel,
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
        # Of the loop that called last: with several loops it changes, which costs little.
        self._bound: tuple[Any, Any] = (None, None)

    @cached_property
    def _sent(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*self._metadata)

    @cached_property
    def _filled(self) -> tuple[Serializer, Deserializer]:
        serialize, deserialize = self._bare
        return (
            self._terms.serializer(self._method, serialize),
            self._terms.deserializer(self._method, deserialize),
        )

    def _for(self, metadata: Any) -> tuple[Any, Any]:
        """The callable for a call with this metadata, and the metadata to send."""
        own, call = self._bound
        channel = self._connection.aio_channel
        if own is not channel:
            call = self._made(channel, *self._filled)
            self._bound = channel, call
        if metadata is None or metadata is self._metadata:
            return call, self._sent
        pairs = tuple(map(tuple, metadata))
        if self._metadata[0] not in pairs:
            call = self._made(channel, *self._bare)
        return call, grpc.aio.Metadata(*pairs)

    def _made(
        self, channel: grpc.aio.Channel, serialize: Serializer, deserialize: Deserializer
    ) -> Any:
        make = getattr(channel, self._kind)
        return make(self._method, serialize, deserialize, **self._options)

    def __call__(self, request: Any = None, *, metadata: Any = None, **options: Any) -> Any:
        call, metadata = self._for(metadata)
        return call(request, metadata=metadata, **options)


class _AioUnaryUnary(_AioCallable):
    @cached_property
    def retries(self) -> MethodRetries:
        return self._terms.retries.of(self._method)

    def notice(self, response: Any) -> None:
        self._terms.notice(self._method, response)

    @cached_property
    def _filled(self) -> tuple[Serializer, Deserializer]:
        serialize, deserialize = self._bare
        return self._terms.serializer(self._method, serialize), deserialize

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        **options: Any,
    ) -> Any:
        call, metadata = self._for(metadata)
        if call is not self._bound[1]:
            return call(request, timeout=timeout, metadata=metadata, **options)
        options["metadata"] = metadata
        return _RetriedCall(self, call, request, timeout, options)


class _RetriedCall:
    """A call that has begun; awaiting it makes it again where that helps.

    For everything else it is the `grpc.aio.UnaryUnaryCall` that was made last.
    """

    def __init__(
        self,
        owner: _AioUnaryUnary,
        make: Any,
        request: Any,
        timeout: float | None,
        options: dict[str, Any],
    ) -> None:
        self._owner = owner
        self._make = make
        self._request = request
        self._options = options
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._call = make(request, timeout=timeout, **options)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            response = yield from self._call.__await__()
            if response.status.code == SUCCESS:
                return response
            first = Outcome(response)
        except grpc.RpcError as error:
            if not self._owner.retries.mends(error):
                raise
            first = Outcome(error=error)
        retrying = self._owner.retries.retry_awaiting(self._again, first, self._deadline)
        response = yield from retrying.__await__()
        self._owner.notice(response)
        return response

    def _again(self, timeout: float | None) -> Any:
        self._call = self._make(self._request, timeout=timeout, **self._options)
        return self._call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
