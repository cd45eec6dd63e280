"""A gRPC channel whose calls are authorised and say whose resources they are about.

It wraps a channel rather than intercepting it: gRPC's interceptors cost every call more than
all that is done here. What a caller says explicitly, by metadata or by IDs, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from clarifai_grpc.grpc.api import resources_pb2

from clarifai_magic.credentials import Metadata, Unpicklable
from clarifai_magic.scopes import methods, routes
from clarifai_magic.statuses import FIRST, LAST

if TYPE_CHECKING:
    from typing_extensions import Self

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]
Watch = Callable[[str, int], None]


class AuthorisedChannel(Unpicklable, grpc.Channel):  # type: ignore[misc]
    """A channel that adds a key and IDs where a call has none.

    Parameters
    ----------
    channel : grpc.Channel
        The channel that carries the calls.
    metadata : Metadata
        Sent with a call that brings no metadata of its own.
    user_app_id : clarifai.api.UserAppIDSet
        Put into requests that name neither user nor app, unless the call brings another key.
    watch : callable
        Told the bare method name and the status code of each response about the connection.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        metadata: Metadata,
        user_app_id: resources_pb2.UserAppIDSet,
        watch: Watch,
    ) -> None:
        self._channel = channel
        self._metadata = metadata
        self._user_app_id = user_app_id
        self._watch = watch

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **options: Any,
    ) -> grpc.UnaryUnaryMultiCallable:
        """Wrap the callable of a method with one request and one response."""
        return _UnaryUnary(
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
        self._channel.subscribe(callback, try_to_connect=try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """Pass on `grpc.Channel.unsubscribe`."""
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        """Close the channel that is wrapped."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class _Callable(Unpicklable):
    """A method's callable, twice: with the session's IDs, and bare for a call with another key."""

    def __init__(  # noqa: PLR0913 - one method's parts
        self,
        owner: AuthorisedChannel,
        kind: str,
        method: str,
        serialize: Serializer,
        deserialize: Deserializer,
        options: dict[str, Any],
    ) -> None:
        make = getattr(owner._channel, kind)  # noqa: SLF001
        self._metadata = owner._metadata  # noqa: SLF001
        filled = with_default_ids(method, serialize, owner._user_app_id)  # noqa: SLF001
        watched = watching(method, deserialize, owner._watch)  # noqa: SLF001
        self._filled = make(method, filled, watched, **options)
        self._make_bare = partial(make, method, serialize, deserialize, **options)

    def _for(self, metadata: Any) -> tuple[Any, Any]:
        """The callable for a call with this metadata, and the metadata to send."""
        if metadata is None or metadata is self._metadata:
            return self._filled, self._metadata
        pairs = tuple(map(tuple, metadata))
        return self._filled if self._metadata[0] in pairs else self._make_bare(), pairs

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


class _UnaryUnary(_WithCall, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]
    pass


class _UnaryStream(_Callable, grpc.UnaryStreamMultiCallable):  # type: ignore[misc]
    pass


class _StreamUnary(_WithCall, grpc.StreamUnaryMultiCallable):  # type: ignore[misc]
    pass


class _StreamStream(_Callable, grpc.StreamStreamMultiCallable):  # type: ignore[misc]
    pass


def with_default_ids(
    method: str, serialize: Serializer, user_app_id: resources_pb2.UserAppIDSet
) -> Serializer:
    """A serializer that adds IDs to requests which name none.

    The IDs are appended to the serialised bytes: by the wire format, a parser merges a message
    field that occurs twice, so the caller's request is neither copied nor changed.

    Parameters
    ----------
    method : str
        Full name, such as ``/clarifai.api.V2/ListModels``.
    serialize : callable
        The request type's own serializer.
    user_app_id : clarifai.api.UserAppIDSet
        The IDs; the app is left out where the method's REST path names a user but no app.

    Returns
    -------
    callable
        `serialize` itself for requests that have no such field.
    """
    name = method.rpartition("/")[2]
    descriptor = methods().get(name)
    field = descriptor and descriptor.input_type.fields_by_name.get("user_app_id")
    if not field:
        return serialize
    tail: bytes | None = None

    def serialized(request: Any) -> bytes:
        nonlocal tail
        ids = request.user_app_id
        if ids.app_id or ids.user_id:
            return serialize(request)
        if tail is None:
            tail = _field_bytes(name, field.number, user_app_id)
        return serialize(request) + tail

    return serialized


def watching(method: str, deserialize: Deserializer, watch: Watch) -> Deserializer:
    """A deserializer that tells of responses whose status is about the connection.

    Every kind of call, whether it waits, streams or is a future, reads its responses by one.

    Parameters
    ----------
    method : str
        Full name, such as ``/clarifai.api.V2/ListModels``.
    deserialize : callable
        The response type's own deserializer.
    watch : callable
        Told the bare method name and the status code.
    """
    name = method.rpartition("/")[2]
    descriptor = methods().get(name)
    if descriptor is None or "status" not in descriptor.output_type.fields_by_name:
        return deserialize

    def deserialized(data: bytes) -> Any:
        response = deserialize(data)
        if FIRST <= response.status.code <= LAST:
            watch(name, response.status.code)
        return response

    return deserialized


def _field_bytes(name: str, number: int, user_app_id: resources_pb2.UserAppIDSet) -> bytes:
    ids = resources_pb2.UserAppIDSet()
    ids.CopyFrom(user_app_id)
    route = routes(name)[0]
    if route.names_user and not route.names_app:
        ids.ClearField("app_id")
    value = ids.SerializeToString()
    return bytes([number << 3 | 2]) + _varint(len(value)) + value if value else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
