"""The generated stub over a channel, made without clarifai-grpc's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def make_stub(channel: grpc.Channel) -> service_pb2_grpc.V2Stub:
    """The generated stub over a channel.

    V2Stub's own constructor reads a module's global to deserialise responses, which the latest
    channel set. The descriptors say the same about each method.
    """
    stub = service_pb2_grpc.V2Stub.__new__(service_pb2_grpc.V2Stub)
    for name, method in methods().items():
        make = getattr(channel, _KINDS[method.client_streaming, method.server_streaming])
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = make(
            f"/{SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        setattr(stub, name, call)
    return stub
