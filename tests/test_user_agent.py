"""What servers are told of who calls them, by servers that write it down."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import grpc
import pytest
from clarifai_grpc.grpc.api import service_pb2

import clarifai_magic
from clarifai_magic import Credentials, connect
from clarifai_magic.notebook import doctor
from clarifai_magic.notebook.form import choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic import Sandbox

OURS = f"clarifai-magic/{clarifai_magic.__version__}"
REQUEST = service_pb2.MyScopesRequest()


class Relay(grpc.GenericRpcHandler):
    """Passes calls on to a sandbox, and notes what each says of its client."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.seen: dict[str, str] = {}

    def service(self, details):
        told = dict(details.invocation_metadata)
        self.seen[details.method.rpartition("/")[2]] = told["user-agent"]
        key = [("authorization", told["authorization"])] if "authorization" in told else []
        onward = self.channel.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(lambda data, _: onward(data, metadata=key))


@pytest.fixture
def relay(sandbox: Sandbox) -> Iterator[tuple[str, dict[str, str]]]:
    """The base URL of a gRPC server, and the user agent of each method that was called there."""
    with (
        grpc.insecure_channel(sandbox.base.removeprefix("http://")) as channel,
        ThreadPoolExecutor() as pool,
    ):
        relay = Relay(channel)
        server = grpc.server(pool, handlers=[relay])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}", relay.seen
        server.stop(None).wait()


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, str]]]:
    """The base URL of an HTTP server, and the user agent of each path that was asked for."""
    seen: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen[self.path] = self.headers["User-Agent"]
            self.send_error(404)

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_every_call_says_who_calls_and_what_grpc_says_besides(relay, sandbox):
    base, seen = relay
    with connect(Credentials(sandbox.keys.pat, base=base)) as session:
        session.stub.ListModels(service_pb2.ListModelsRequest())
        asyncio.run(awaited(session))
        session.map("GetModel", [service_pb2.GetModelRequest()], progress=False)
    assert set(seen) == {
        *("MyScopes", "GetUser", "ListApps"),
        "ListModels",
        "ListInputs",
        "GetModel",
    }
    assert all(agent.startswith(f"{OURS} grpc-python") for agent in seen.values()), seen


async def awaited(session):
    await session.aio_stub.ListInputs(service_pb2.ListInputsRequest())


def test_the_doctors_call_says_who_calls(relay):
    base, seen = relay
    doctor.report(base)
    assert seen["ListStatusCodes"].startswith(OURS)


def test_rest_requests_say_who_asks(web):
    base, seen = web
    with connect(Credentials("a" * 32, base=base), verified=False) as session:
        assert choice.organisations(session) == []
    doctor.report(base)
    assert seen == dict.fromkeys(["/v2/users//organizations", "/v2/auth/methods"], OURS)
