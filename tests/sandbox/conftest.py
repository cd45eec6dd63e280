"""A sandbox for each module, whose contents its tests may change, and clients for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc

from clarifai_magic.api import scopes
from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Client:
    """Calls methods as a sample does: through the generated stub, with the key in metadata."""

    def __init__(self, sandbox: Sandbox, authorization: str) -> None:
        host, port = sandbox.base.removeprefix("http://").split(":")
        channel = ClarifaiChannel.get_insecure_grpc_channel(base=host, port=int(port))
        self._stub = service_pb2_grpc.V2Stub(channel)
        self._metadata = (("authorization", authorization),) if authorization else ()

    def all(self, method: str, address: str = "", **fields: Any) -> list[Any]:
        """Every response; the address is `user`, `user/app` or empty."""
        descriptor = scopes.methods()[method]
        request = getattr(service_pb2, descriptor.input_type.name)(**fields)
        if address:
            user_id, _, app_id = address.partition("/")
            request.user_app_id.user_id, request.user_app_id.app_id = user_id, app_id
        argument = iter([request]) if descriptor.client_streaming else request
        answer = getattr(self._stub, method)(argument, metadata=self._metadata, timeout=20)
        return list(answer) if descriptor.server_streaming else [answer]

    def __call__(self, method: str, address: str = "", **fields: Any) -> Any:
        return self.all(method, address, **fields)[0]

    def code(self, method: str, address: str = "", **fields: Any) -> int:
        return int(self(method, address, **fields).status.code)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Callable[[Sandbox, str], Client]:
    """A client of a sandbox with a key."""
    return lambda sandbox, key: Client(sandbox, f"Key {key}")


@pytest.fixture(scope="module")
def with_header(sandbox: Sandbox) -> Callable[[str], Client]:
    """A client with an authorisation header of any form; with an empty one, none is sent."""
    return lambda header: Client(sandbox, header)


@pytest.fixture(scope="module")
def alice(sandbox: Sandbox) -> Client:
    return Client(sandbox, f"Key {sandbox.keys.pat}")


@pytest.fixture(scope="module")
def bob(sandbox: Sandbox) -> Client:
    return Client(sandbox, f"Key {sandbox.keys.other_pat}")


@pytest.fixture(scope="module")
def app_key(sandbox: Sandbox) -> Client:
    """A client with the key of alice's app main."""
    return Client(sandbox, f"Key {sandbox.keys.api_key}")


@pytest.fixture(scope="session")
def text() -> Callable[[str], Any]:
    """An input that is a text."""
    return lambda raw: resources_pb2.Input(data={"text": {"raw": raw}})
