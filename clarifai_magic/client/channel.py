"""A gRPC channel that authorises calls and adds the session's IDs.

It wraps a channel instead of intercepting it: gRPC's interceptors cost every call more than
everything here. It leaves metadata and IDs alone that a caller sets explicitly.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.api.statuses import SUCCESS
from clarifai_magic.client.defaults import gives_status, keeping, read_by
from clarifai_magic.client.internals import internals
from clarifai_magic.client.retries import Outcome
from clarifai_magic.concurrency import Process, once
from clarifai_magic.credentials.secret import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from clarifai_magic.client.defaults import CallDefaults, Deserializer, Serializer
    from clarifai_magic.client.internals import HasInternals
    from clarifai_magic.client.retries import MethodRetries


class AuthorizedChannel(Unpicklable, grpc.Channel):  # type: ignore[misc]
    """A channel that adds a key and IDs to calls without them, and retries calls if that helps.

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

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> grpc.UnaryUnaryMultiCallable:
        """Wrap the callable of a method with one request and one response."""
        known = gives_status(method, response_deserializer)
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
        """Pass on `grpc.Channel.subscribe`; gRPC fails in a thread if the channel is closed."""
        internals(self.session).require_open()
        internals(self.session).connection.channel.subscribe(
            callback, try_to_connect=try_to_connect
        )

    def unsubscribe(self, callback: Any) -> None:
        """Pass on `grpc.Channel.unsubscribe`."""
        internals(self.session).connection.channel.unsubscribe(callback)

    def close(self) -> None:
        """Close the session, whose channel this is."""
        internals(self.session).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class _Callable(Unpicklable):
    """A method's callable; calls with a key other than the session's use a bare one."""

    def __init__(  # noqa: PLR0913 - one method's parts
        self,
        owner: AuthorizedChannel,
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
        # The process; the callable that watches responses, and the one that does not.
        self._bound: tuple[int, Any, Any] = (-1, None, None)

    def _bind(self) -> tuple[int, Any, Any]:
        """Use this process's channel; at the first call, because a stub has 273 methods."""
        self._session.require_open()
        generation = Process.generation
        serialize, deserialize = self._bare
        filling = serialize and self._defaults.serializer(self._method, serialize)
        noticing = deserialize and self._defaults.deserializer(self._method, deserialize)
        noticing = keeping(self._owner, noticing)
        noticed, plain = self._made(filling, noticing), self._made(filling, deserialize)
        if not self._session.ending.is_ours:
            plain = partial(self._called_if_open, plain)
        self._bound = bound = generation, noticed, plain
        return bound

    def _called_if_open(self, call: Any, *arguments: Any) -> Any:
        """Call, unless the process that this one was forked from has signed out since."""
        self._session.require_open()
        return call(*arguments)

    def _made(self, serialize: Serializer | None, deserialize: Deserializer | None) -> Any:
        make = getattr(self._session.connection.channel, self._kind)
        return make(self._method, serialize, deserialize, **self._options)

    def _begun(self, way: str, request: Any, timeout: Any, metadata: Any, *rest: Any) -> Any:
        """Start a call in one of the ways that gRPC's callables have."""
        generation, call, _ = self._bound
        if generation != Process.generation or self._session.closed:
            _, call, _ = self._bind()
        own, metadata = self._defaults.completed(metadata)
        if not own:
            serialize, deserialize = self._bare
            call = self._made(serialize, keeping(self._owner, deserialize))
        with self._refused_at_end():
            return getattr(call, way)(request, timeout, metadata, *rest)

    @contextmanager
    def _refused_at_end(self) -> Iterator[None]:
        """Say that the session is closed, where gRPC says that the channel is."""
        try:
            yield
        except ValueError:
            self._session.require_open()
            raise

    def __call__(  # noqa: PLR0913 - gRPC's own signature
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        rest = (credentials, wait_for_ready, compression)
        return self._begun("__call__", request, timeout, metadata, *rest)


class _WithCall(_Callable):
    """The additional ways to call a method with one response."""

    def with_call(  # noqa: PLR0913 - gRPC's own signature
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        rest = (credentials, wait_for_ready, compression)
        return self._begun("with_call", request, timeout, metadata, *rest)

    def future(  # noqa: PLR0913 - gRPC's own signature
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        rest = (credentials, wait_for_ready, compression)
        return self._begun("future", request, timeout, metadata, *rest)


class _OtherUnaryUnary(_WithCall, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]
    """Of a method outside the API, or one whose responses are read as bytes."""


class _UnaryUnary(_WithCall, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]
    """Retries a blocking call; futures, and calls with `with_call`, are the caller's to retry.

    Most calls come through here, so every line and function costs.
    """

    @once
    def _retries(self) -> MethodRetries:
        return self._defaults.retries.of(self._method)

    def __call__(  # noqa: PLR0913 - gRPC's own signature
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        generation, _, call = self._bound
        if generation != Process.generation or self._session.ended:
            _, _, call = self._bind()
        if metadata is None:
            metadata = self._metadata
        elif metadata is not self._metadata:
            own, metadata = self._defaults.completed(metadata)
            if not own:
                rest = (credentials, wait_for_ready, compression)
                return self._begun("__call__", request, timeout, metadata, *rest)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            response = call(request, timeout, metadata, credentials, wait_for_ready, compression)
            if response.status.code == SUCCESS:
                return response
            first = Outcome(response)
        except grpc.RpcError as error:
            if not self._retries.is_retryable(error):
                raise
            first = Outcome(error=error)
        except ValueError:
            self._session.require_open()
            raise
        again = (metadata, credentials, wait_for_ready, compression)
        return self._again(call, first, deadline, request, *again)

    def _again(
        self, call: Any, first: Outcome, deadline: float | None, request: Any, *rest: Any
    ) -> Any:
        """Retry a call if that helps. Separate, because a closure slows its enclosing function."""
        with self._refused_at_end():
            response = self._retries.retry(lambda left: call(request, left, *rest), first, deadline)
        self._defaults.notice(self._method, response, request)
        return response


class _UnaryStream(_Callable, grpc.UnaryStreamMultiCallable):  # type: ignore[misc]
    pass


class _StreamUnary(_WithCall, grpc.StreamUnaryMultiCallable):  # type: ignore[misc]
    pass


class _StreamStream(_Callable, grpc.StreamStreamMultiCallable):  # type: ignore[misc]
    pass
