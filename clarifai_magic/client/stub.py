"""The generated stub over a channel, made without clarifai-grpc's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import service_pb2_grpc
from google.protobuf.message_factory import GetMessageClass

from clarifai_magic.api.scopes import SERVICE, methods

if TYPE_CHECKING:
    import grpc

_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


class V2Stub(service_pb2_grpc.V2Stub):  # type: ignore[misc]
    """The generated stub, which makes each of its 273 callables on first use.

    The generated constructor reads a module's global to deserialise responses, which the latest
    channel set. The descriptors say the same about each method.

    Parameters
    ----------
    channel : grpc.Channel
        Makes the callables.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        if name not in methods():
            raise AttributeError(f"The Clarifai API has no method {name!r}.", name=name, obj=self)
        method = methods()[name]
        make = getattr(self._channel, _KINDS[method.client_streaming, method.server_streaming])
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = make(
            f"/{SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return self.__dict__.setdefault(name, call)  # the same for every thread

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *methods()]
