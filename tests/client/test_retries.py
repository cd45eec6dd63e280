"""Throttling and outages: waited out, but never at the risk of doing a thing twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from clarifai_grpc.grpc.api import service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import CANARY, prediction, sandbox_process, text_input

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect
from clarifai_magic.api.scopes import is_safe, methods
from clarifai_magic.client import transport
from clarifai_magic.client.internals import internals

THROTTLED = status_code_pb2.CONN_THROTTLED
OK = status_code_pb2.SUCCESS
MODELS = service_pb2.ListModelsRequest()
INPUTS = service_pb2.PostInputsRequest(inputs=[text_input(1)])


class Server(service_pb2_grpc.V2Servicer):
    """Does what is asked, and then fails to say so, as often as it is told."""

    def __init__(self, failures: int, codes: tuple[grpc.StatusCode | int, ...]) -> None:
        self.failures, self.codes = failures, itertools.cycle(codes)
        self.done = 0
        for name in ("ListModels", "PostInputs", "GenerateModelOutputs"):
            setattr(self, name, self.answer)
        self.GenerateModelOutputs = lambda *call: iter([self.answer(*call)])

    def answer(self, request, context):
        self.done += 1
        response = {
            "ListModelsRequest": service_pb2.MultiModelResponse,
            "PostInputsRequest": service_pb2.MultiInputResponse,
        }.get(type(request).__name__, service_pb2.MultiOutputResponse)()
        response.status.code = OK
        if self.failures:
            self.failures -= 1
            code = next(self.codes)
            if isinstance(code, grpc.StatusCode):
                context.abort(code, "gone for a moment")
            response.status.code = code
        return response


@contextlib.contextmanager
def serving(failures, *codes, retries=True):
    """A session with a server that fails that often, in these ways in turn, and the server."""
    servicer = Server(failures, codes or (grpc.StatusCode.UNAVAILABLE,))
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_V2Servicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    credentials = Credentials(CANARY, user_id="alice", base=f"http://127.0.0.1:{port}")
    with connect(credentials, verified=False, retries=retries) as session:
        yield session, servicer
    server.stop(None).wait()


def blocking(session, method, request, **options):
    return getattr(session.stub, method)(request, **options)


def awaited(session, method, request, **options):
    async def call():
        return await getattr(session.aio_stub, method)(request, **options)

    return asyncio.run(call())


CALLS = pytest.mark.parametrize("call", [blocking, awaited])


@CALLS
def test_an_outage_is_waited_out_for_a_call_that_changes_nothing(call):
    with serving(3) as (session, server):
        assert call(session, "ListModels", MODELS).status.code == OK
    assert server.done == 4
    assert internals(session).retries.count == 3


@CALLS
def test_what_may_have_been_done_is_not_done_again_after_an_outage(call):
    with serving(1) as (session, server), pytest.raises(grpc.RpcError) as raised:
        call(session, "PostInputs", INPUTS)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.done == 1


@CALLS
def test_throttling_is_waited_out_for_any_call_and_not_warned_of(call, recwarn):
    with serving(3, THROTTLED) as (session, server):
        assert call(session, "PostInputs", INPUTS).status.code == OK
    assert server.done == 4
    assert not [each for each in recwarn if each.category is ClarifaiAuthWarning]


@CALLS
@pytest.mark.filterwarnings("always::clarifai_magic.errors.ClarifaiAuthWarning")
def test_throttling_that_lasts_is_told_when_the_calls_own_time_is_over(call):
    with serving(10**6, THROTTLED) as (session, server):
        started = time.monotonic()
        with pytest.warns(ClarifaiAuthWarning, match="too many requests") as caught:
            response = call(session, "ListModels", MODELS, timeout=1)
    assert response.status.code == THROTTLED
    assert server.done > 1
    assert time.monotonic() - started < 60  # and not two minutes, as without a time of its own
    assert len(caught) == 1


@CALLS
def test_an_outage_that_lasts_is_told_when_the_calls_own_time_is_over(call):
    with serving(10**6) as (session, server), pytest.raises(grpc.RpcError, match="gone"):
        call(session, "ListModels", MODELS, timeout=1)
    assert server.done > 1


@CALLS
@pytest.mark.parametrize("timeout", [None, 600])
def test_a_deadline_that_is_not_the_calls_own_is_told_and_not_waited_out(call, timeout):
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    with serving(2, THROTTLED, late) as (session, server), pytest.raises(grpc.RpcError) as raised:
        call(session, "ListModels", MODELS, timeout=timeout)
    assert raised.value.code() is late
    assert server.done == 2


@CALLS
@pytest.mark.filterwarnings("ignore::clarifai_magic.errors.ClarifaiAuthWarning")
def test_one_option_turns_it_off(call):
    with serving(10**6, THROTTLED, retries=False) as (session, server):
        assert call(session, "ListModels", MODELS).status.code == THROTTLED
    assert server.done == 1
    with serving(1, retries=False) as (session, server), pytest.raises(grpc.RpcError):
        call(session, "ListModels", MODELS)
    assert server.done == 1


def test_the_option_of_the_magic_turns_it_off(shell, environment):
    with sandbox_process("--throttle", "1") as variables:
        environment(**{name.removeprefix("CLARIFAI_"): value for name, value in variables.items()})
        shell.run("%clarifai_auth --no-verify --no-retries")
        assert not internals(shell.names["clarifai_session"]).retries.wanted
        shell.run("import warnings; warnings.simplefilter('ignore')")
        shell.run("answer = stub.ListModels(service_pb2.ListModelsRequest())")
        assert shell.names["answer"].status.code == THROTTLED


def test_streams_that_change_nothing_begin_again_after_an_outage():
    with serving(2) as (session, server):
        [response] = session.stub.GenerateModelOutputs(prediction())
    assert response.status.code == OK
    assert server.done == 3


def test_the_streams_that_begin_again_are_those_that_change_nothing():
    [config] = transport._SERVICE_CONFIG["methodConfig"]
    named = {each["method"] for each in config["name"]}
    streams = {name for name, method in methods().items() if method.server_streaming}
    # Not every version of the API has each of them.
    assert named & streams == {name for name in streams if is_safe(name)}


@pytest.mark.parametrize(
    ("method", "harmless"),
    [
        ("ListModels", True),
        ("GetInput", True),
        ("PostModelOutputs", True),
        ("PostWorkflowResults", True),
        ("PostInputsSearches", True),
        ("PostInputs", False),
        ("PatchModels", False),
        ("PatchModelToolkits", False),
        ("DeleteInputs", False),
        ("PostAppDuplications", False),
        ("PostLogEntries", False),
    ],
)
def test_which_calls_may_be_made_twice(method, harmless):
    assert is_safe(method) is harmless


class Proxy:
    """Passes connections on to a server, and knows when a client hung up."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        self.left = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        if from_client:
            self.left.set()
        sink.close()

    def close(self) -> None:
        self._listener.close()


@pytest.mark.slow
def test_an_idle_connection_is_given_up_before_a_router_forgets_it(sandbox, monkeypatch):
    monkeypatch.setattr(transport, "_IDLE_MS", 1000)
    port = int(sandbox.base.rpartition(":")[2])
    with contextlib.closing(Proxy(port)) as proxy:
        credentials = Credentials(sandbox.keys.pat, base=f"http://127.0.0.1:{proxy.port}")
        with connect(credentials) as session:
            assert session.stub.ListModels(MODELS).status.code == OK
            assert proxy.left.wait(30)
            assert session.stub.ListModels(MODELS).status.code == OK
            assert proxy.accepted == 2
