"""What a session adds to its requests' bytes, and notices in its responses'."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_grpc.grpc.api import resources_pb2

from clarifai_magic.api.scopes import methods, response_class, routes
from clarifai_magic.api.statuses import ABSENT_STATUSES, KEY_STATUSES

if TYPE_CHECKING:
    from clarifai_magic.client.retries import Retries
    from clarifai_magic.credentials.secret import Metadata

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]
Watch = Callable[[str, int, Any], None]

_AUTHORIZATION = ("authorization", b"authorization")  # gRPC takes keys in lower case only


class CallDefaults(NamedTuple):
    """The defaults of a session's calls.

    Parameters
    ----------
    metadata : Metadata
        Sent with a call that has no metadata of its own.
    token : str
        Stands for the session's key in a call's own metadata.
    user_app_id : clarifai.api.UserAppIDSet
        Put into requests that name neither user nor app, unless the call has another key; a copy
        of its own, so that all methods keep using the same IDs.
    watch : callable
        Called with the bare method name and the status code of each response in `KEY_STATUSES`;
        and of each to a blocking prediction in `ABSENT_STATUSES`, with the request's IDs.
    retries : Retries
        Retries calls.
    """

    metadata: Metadata
    token: str
    user_app_id: resources_pb2.UserAppIDSet
    watch: Watch
    retries: Retries

    def completed(self, metadata: Any) -> tuple[bool, Any]:
        """The metadata to send for a call's own metadata.

        Parameters
        ----------
        metadata : sequence of pairs, or None
            Without an ``authorization`` entry it is sent along with the session's; if empty, no key
            is sent.

        Returns
        -------
        own : bool
            Whether the call is the session's, as opposed to one with another key or none.
        metadata : tuple of pairs
        """
        if metadata is None:
            return True, self.metadata
        pairs = tuple(self._with_key(*pair) for pair in metadata)
        keys = [pair for pair in pairs if pair[0] in _AUTHORIZATION]
        if pairs and not keys:
            return True, (*self.metadata, *pairs)
        return bool(keys) and all(pair == self.metadata[0] for pair in keys), pairs

    def _with_key(self, name: Any, value: Any) -> tuple[Any, Any]:
        """A metadata entry, with the key instead of the token."""
        if name in _AUTHORIZATION:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if text in (f"Key {self.token}", f"Bearer {self.token}"):
                return self.metadata[0]
        return name, value

    def serializer(self, method: str, serialize: Serializer) -> Serializer:
        """A serializer that adds the session's IDs to requests without IDs."""
        return with_default_ids(method, serialize, self.user_app_id)

    def deserializer(self, method: str, deserialize: Deserializer) -> Deserializer:
        """A deserializer that notices refusals because of the key.

        Every kind of call (streaming, future or blocking) reads its responses with one.
        """
        if not gives_status(method, deserialize):
            return deserialize

        def deserialized(data: bytes) -> Any:
            response = deserialize(data)
            self.notice(method, response)
            return response

        return deserialized

    def notice(self, method: str, response: Any, request: Any = None) -> None:
        """Notify the watch of a refusal because of the key or the IDs."""
        name, code = method.rpartition("/")[2], response.status.code
        if code in KEY_STATUSES:
            self.watch(name, code, None)
        elif request is not None and code in ABSENT_STATUSES and _predicts(name):
            self.watch(name, code, request.user_app_id)


def _predicts(method: str) -> bool:
    """Whether a method predicts with a model or workflow."""
    fields = methods()[method].input_type.fields_by_name
    return "inputs" in fields and ("model_id" in fields or "workflow_id" in fields)


def gives_status(method: str, deserialize: Any) -> bool:
    """Whether the deserializer of a method returns the API's own message, with its status.

    A caller's own deserializer may return anything, whatever the method's name.
    """
    name = method.rpartition("/")[2]
    if name not in methods() or "status" not in methods()[name].output_type.fields_by_name:
        return False
    return bool(read_by(deserialize) == response_class(name).FromString)


def read_by(deserialize: Any) -> Any:
    """The deserializer of a response: its class, if clarifai-grpc's latest channel speaks JSON."""
    return getattr(deserialize, "FromString", deserialize)


def keeping(owner: object, deserialize: Deserializer | None) -> Deserializer | None:
    """A deserializer through which a call in flight keeps its session open."""
    return deserialize and partial(_read, owner, deserialize)


def _read(_owner: object, deserialize: Deserializer, data: bytes) -> Any:
    return deserialize(data)


def with_default_ids(
    method: str, serialize: Serializer, user_app_id: resources_pb2.UserAppIDSet
) -> Serializer:
    """A serializer that adds IDs to requests without IDs.

    It appends the IDs to the serialised bytes: a parser merges a message field that occurs twice,
    so the caller's request is neither copied nor changed.

    Parameters
    ----------
    method : str
        Full name, such as ``/clarifai.api.V2/ListModels``.
    serialize : callable
        The request type's own serializer.
    user_app_id : clarifai.api.UserAppIDSet
        The IDs; without the app if the method's REST path names a user but no app.

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
    tag = field.number << 3 | 2
    empty, least, beyond = bytes([tag, 0]), bytes([tag, 1]), bytes([tag + 1])

    def serialized(request: Any) -> bytes:
        nonlocal tail
        data = serialize(request)
        if least <= data < beyond:  # it begins with IDs: one comparison, for every call pays it
            return data
        # Reading a present field creates an object, so this reads its bytes.
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
