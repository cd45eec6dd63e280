"""What a session adds to the bytes of its requests, and notices in those of the responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_grpc.grpc.api import resources_pb2

from clarifai_magic.scopes import methods, routes
from clarifai_magic.statuses import FIRST, LAST

if TYPE_CHECKING:
    from clarifai_magic.retries import Retries
    from clarifai_magic.secret import Metadata

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]
Watch = Callable[[str, int], None]


class Terms(NamedTuple):
    """On what terms the calls of a session are made.

    Parameters
    ----------
    metadata : Metadata
        Sent with a call that brings no metadata of its own.
    user_app_id : clarifai.api.UserAppIDSet
        Put into requests that name neither user nor app, unless the call brings another key.
    watch : callable
        Told the bare method name and the status code of each response about the connection.
    retries : Retries
        Makes calls again.
    """

    metadata: Metadata
    user_app_id: resources_pb2.UserAppIDSet
    watch: Watch
    retries: Retries

    def serializer(self, method: str, serialize: Serializer) -> Serializer:
        """A serializer that adds the session's IDs to requests which name none."""
        return with_default_ids(method, serialize, self.user_app_id)

    def deserializer(self, method: str, deserialize: Deserializer) -> Deserializer:
        """A deserializer that notices responses whose status is about the connection.

        Every kind of call, whether it streams, is a future or waits, reads its responses by one.
        """
        descriptor = methods().get(method.rpartition("/")[2])
        if descriptor is None or "status" not in descriptor.output_type.fields_by_name:
            return deserialize

        def deserialized(data: bytes) -> Any:
            response = deserialize(data)
            self.notice(method, response)
            return response

        return deserialized

    def notice(self, method: str, response: Any) -> None:
        """Tell the watch of a response whose status is about the connection."""
        if FIRST <= response.status.code <= LAST:
            self.watch(method.rpartition("/")[2], response.status.code)


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
    empty = bytes([field.number << 3 | 2, 0])

    def serialized(request: Any) -> bytes:
        nonlocal tail
        data = serialize(request)
        # A look at a field that is there makes an object, so its bytes are looked at.
        if request.HasField("user_app_id") and empty not in data:
            return data
        if request.user_app_id.ByteSize():
            return data
        if tail is None:
            tail = _field_bytes(name, field.number, user_app_id)
        return data + tail

    return serialized


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
