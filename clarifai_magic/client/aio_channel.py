"""The authorised channel for awaited calls, in any event loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.api.statuses import SUCCESS
from clarifai_magic.client.defaults import gives_status, keeping, read_by
from clarifai_magic.client.internals import internals
from clarifai_magic.client.retries import Outcome
from clarifai_magic.concurrency import Process, once
from clarifai_magic.credentials.secret import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Generator

    from clarifai_magic.client.defaults import CallDefaults, Deserializer, Serializer
    from clarifai_magic.client.internals import HasInternals
    from clarifai_magic.client.retries import MethodRetries


class AuthorizedAioChannel(Unpicklable):
    """The channel of a stub for ``await``; belongs to no loop until the first call.

    Parameters
    ----------
    session : Session
        The session of the calls. It lives as long as the channel, or a stub of it, is referenced.
    defaults : CallDefaults
        What to add to calls, and whom to notify.
    """

    def __init__(self, session: HasInternals, defaults: CallDefaults) -> None:
        self.session = session
        self.defaults = defaults
        self.metadata = grpc.aio.Metadata(*defaults.metadata)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> _AioCallable:
        """Wrap the callable of a method with one request and one response."""
        known = gives_status(method, response_deserializer)
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
    """A method's callable; its first call in a loop makes that loop's own."""

    def __init__(  # noqa: PLR0913 - one method's parts
        self,
        owner: AuthorizedAioChannel,
        kind: str,
        method: str,
        serialize: Serializer | None,
        deserialize: Deserializer | None,
        options: dict[str, Any],
    ) -> None:
        self._owner = owner  # keeps its session open
        self._session = internals(owner.session)
        self._defaults = owner.defaults
        self._metadata = self._defaults.metadata
        self._kind, self._method, self._options = kind, method, options
        self._bare = serialize, read_by(deserialize)
        # The last caller's loop and process, and that loop's callable; with several loops it
        # changes, which costs little.
        self._bound: tuple[Any, int, Any] = (None, -1, None)

    @once
    def _filled(self) -> tuple[Serializer | None, Deserializer | None]:
        serialize, deserialize = self._bare
        noticing = deserialize and self._defaults.deserializer(self._method, deserialize)
        return (
            serialize and self._defaults.serializer(self._method, serialize),
            keeping(self._owner, noticing),
        )

    def _for(self, metadata: Any) -> tuple[bool, Any, Any]:
        """Whether a call with this metadata is the session's; its callable; its metadata."""
        loop, generation, call = self._bound
        if (
            self._session.ended
            or loop is not asyncio.get_running_loop()
            or generation != Process.generation
        ):
            call = self._bind()
        if metadata is None or metadata is self._metadata:
            return True, call, self._owner.metadata
        own, pairs = self._defaults.completed(metadata)
        if not own:
            serialize, deserialize = self._bare
            channel = self._session.connection.aio_channel
            call = self._made(channel, serialize, keeping(self._owner, deserialize))
        return own, call, grpc.aio.Metadata(*pairs)

    def _bind(self) -> Any:
        """The running loop's callable, in this process."""
        self._session.require_open()
        call = self._made(self._session.connection.aio_channel, *self._filled)
        if self._session.ending.is_ours:  # otherwise each call asks whether it was signed out
            self._bound = asyncio.get_running_loop(), Process.generation, call
        return call

    def _made(
        self,
        channel: grpc.aio.Channel,
        serialize: Serializer | None,
        deserialize: Deserializer | None,
    ) -> Any:
        make = getattr(channel, self._kind)
        return make(self._method, serialize, deserialize, **self._options)

    def __call__(self, request: Any = None, *, metadata: Any = None, **options: Any) -> Any:
        _, call, metadata = self._for(metadata)
        return call(request, metadata=metadata, **options)


class _AioUnaryUnary(_AioCallable):
    @once
    def retries(self) -> MethodRetries:
        return self._defaults.retries.of(self._method)

    def notice(self, response: Any, request: Any) -> None:
        self._defaults.notice(self._method, response, request)

    def require_open(self) -> None:
        self._session.require_open()

    @once
    def _filled(self) -> tuple[Serializer | None, Deserializer | None]:
        serialize, deserialize = self._bare
        return serialize and self._defaults.serializer(self._method, serialize), deserialize

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        **options: Any,
    ) -> Any:
        own, call, metadata = self._for(metadata)
        if not own:
            return call(request, timeout=timeout, metadata=metadata, **options)
        options["metadata"] = metadata
        return _RetriedCall(self, call, request, timeout, options)


class _RetriedCall:
    """A started call; awaiting it retries it if that helps.

    For everything else it is the latest `grpc.aio.UnaryUnaryCall`.
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
            if not self._owner.retries.is_retryable(error):
                raise
            first = Outcome(error=error)
        retrying = self._owner.retries.retry_awaiting(self._again, first, self._deadline)
        response = yield from retrying.__await__()
        self._owner.notice(response, self._request)
        return response

    def _again(self, timeout: float | None) -> Any:
        self._owner.require_open()
        self._call = self._make(self._request, timeout=timeout, **self._options)
        return self._call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
