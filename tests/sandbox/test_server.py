"""The sandbox's life: what it listens on, its faults, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest
import requests
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.sandbox import Sandbox


def leftovers():
    """Threads, sockets that listen, and files that a sandbox might leave."""
    threads = {thread.ident or 0 for thread in threading.enumerate()}
    listening = [each.laddr for each in _connections() if each.status == psutil.CONN_LISTEN]
    return threads, sorted(listening), [*Path(tempfile.gettempdir()).glob("clarifai-sandbox-*")]


def nothing_more(before):
    threads, *others = leftovers()
    assert threads <= before[0]  # those of earlier tests may end meanwhile
    assert others == [*before[1:]]


def _connections():
    return psutil.Process().net_connections("inet")


@pytest.fixture
def own_temporary_folder(monkeypatch, tmp_path):
    """Elsewhere there are those of other processes' sandboxes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_nothing_is_left_after_close(client, own_temporary_folder):
    before = leftovers()
    with Sandbox(tls=True, latency=0.001) as tls, Sandbox() as sandbox:
        assert requests.get(f"{tls.base}/v2/auth/methods", verify=tls.root_certificates).ok
        assert client(sandbox, sandbox.keys.pat).code("MyScopes") == codes.SUCCESS
        port = int(sandbox.base.rsplit(":", 1)[1])
        idle = socket.create_connection(("127.0.0.1", port), timeout=20)
        during = leftovers()
        assert during[0] - before[0]
        bound = {address.ip.removeprefix("::ffff:") for address in {*during[1]} - {*before[1]}}
        assert bound == {"127.0.0.1"}
        assert len(during[2]) == 1
    nothing_more(before)
    assert tls.root_certificates is None
    with idle, contextlib.suppress(ConnectionResetError):
        assert idle.recv(1) == b""


def test_close_ends_what_is_under_way_and_may_come_again(client):
    sandbox = Sandbox(latency=3600)
    sandbox.close()
    sandbox = Sandbox(latency=3600)
    sandbox.start()
    begun = threading.Event()
    sandbox.faults.over.wait = _announcing(sandbox.faults.over.wait, begun)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client(sandbox, sandbox.keys.pat), "MyScopes")
        assert begun.wait(20)
        sandbox.close()
        assert isinstance(call.exception(20), grpc.RpcError)
    sandbox.close()
    with pytest.raises(RuntimeError, match="already been started"):
        sandbox.start()


def _announcing(wait, begun):
    def announced(seconds: float) -> bool:
        begun.set()
        return wait(seconds)

    return announced


def test_latency_does_not_queue_calls(client):
    with Sandbox(latency=0.05) as sandbox:
        alice = client(sandbox, sandbox.keys.pat)
        with ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda _: alice.code("MyScopes"), range(64)))
    assert Counter(answers) == {codes.SUCCESS: 64}


def test_a_share_of_calls_is_throttled_and_not_carried_out(client):
    with Sandbox(throttle=0.5) as sandbox:
        alice = client(sandbox, sandbox.keys.pat)
        answers = [
            alice.code("PostConcepts", "alice/main", concepts=[{"id": f"new-{n}"}])
            for n in range(60)
        ]
        while (
            listed := alice("ListConcepts", "alice/main", id="new-??", per_page=60)
        ).status.code != codes.SUCCESS:
            pass
    count = Counter(answers)
    assert set(count) == {codes.SUCCESS, codes.CONN_THROTTLED}
    assert 10 < count[codes.SUCCESS] < 50
    made = [n for n, code in enumerate(answers) if code == codes.SUCCESS and n > 9]
    assert [concept.id for concept in listed.concepts] == [f"new-{n}" for n in made]


def test_calls_beyond_the_rate_are_throttled(client):
    with Sandbox(rate=5) as sandbox:
        alice = client(sandbox, sandbox.keys.pat)
        first = [alice.code("MyScopes") for _ in range(5)]
        assert first == [codes.SUCCESS] * 5
        sandbox.faults.rate = 1
        assert alice.code("MyScopes") == codes.CONN_THROTTLED
        while alice.code("MyScopes") == codes.CONN_THROTTLED:
            pass


def test_an_outage_is_unavailable_for_unary_and_streaming_calls(client):
    with Sandbox(outage=1.0) as sandbox:
        alice = client(sandbox, sandbox.keys.pat)
        for method in ("MyScopes", "GenerateModelOutputs", "StreamModelOutputs"):
            with pytest.raises(grpc.RpcError) as error:
                alice(method)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "faults", [{"latency": -1}, {"rate": -1}, {"throttle": 1.1}, {"outage": 0.6, "throttle": 0.6}]
)
def test_faults_that_make_no_sense_are_refused(faults: dict[str, float]):
    with pytest.raises(ValueError, match="shares"):
        Sandbox(**faults)


def test_keys_are_new_each_time_and_never_shown():
    one, two = Sandbox(), Sandbox()
    keys = [*vars(one.keys).values(), *vars(two.keys).values()]
    assert len(set(keys)) == 14
    assert all(len(key) == 32 and int(key, 16) for key in keys)
    assert not any(key in f"{one!r}{one.keys!r}{one.keys}" for key in keys)
    assert "scoped_pat" in repr(one.keys)


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing(own_temporary_folder):
    before = leftovers()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 70000):
            with pytest.raises(OSError, match="cannot be used"):
                Sandbox(port=port).start()
    nothing_more(before)


def test_a_port_may_be_chosen_and_is_free_again_after_close(client):
    with Sandbox() as first:
        port = int(first.base.rsplit(":", 1)[1])
    with Sandbox(port=port) as second:
        assert second.base == f"http://127.0.0.1:{port}"
        assert client(second, second.keys.pat).code("MyScopes") == codes.SUCCESS


def test_tls_serves_both_protocols_under_its_own_authority():
    with Sandbox(tls=True) as sandbox:
        authority = sandbox.root_certificates
        assert Path(authority).stat().st_mode & 0o777 == 0o600
        address = sandbox.base.removeprefix("https://")
        assert address.startswith("localhost:")
        channel = ClarifaiChannel.get_grpc_channel(base=address, root_certificates_path=authority)
        stub = service_pb2_grpc.V2Stub(channel)
        key = f"Key {sandbox.keys.pat}"
        metadata = (("authorization", key),)
        answer = stub.MyScopes(service_pb2.MyScopesRequest(), metadata=metadata, timeout=20)
        assert answer.status.code == codes.SUCCESS
        url = f"{sandbox.base}/v2/users/me"
        found = requests.get(url, headers={"Authorization": key}, verify=authority, timeout=20)
        assert found.json()["user"]["id"] == "alice"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=20)


def test_a_client_that_could_speak_either_gets_rest():
    """Browsers, curl and httpx offer HTTP/2 as well, and would send REST over it."""
    with Sandbox(tls=True) as sandbox:
        context = ssl.create_default_context(cafile=sandbox.root_certificates)
        context.set_alpn_protocols(["h2", "http/1.1"])
        port = int(sandbox.base.rsplit(":", 1)[1])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() == "http/1.1"


def test_close_ends_a_stream_that_nobody_ends():
    with Sandbox() as sandbox:
        channel = grpc.insecure_channel(sandbox.base.removeprefix("http://"))
        stream = channel.stream_stream("/clarifai.api.V2/StreamModelOutputs")
        silence = threading.Event()
        answers = stream(iter(silence.wait, True), timeout=60)
    with pytest.raises(grpc.RpcError):
        next(answers)
    silence.set()
    channel.close()


def test_tls_without_trustme_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ModuleNotFoundError, match=r"(?s)trustme.*pip install"):
        Sandbox(tls=True).start()


@pytest.mark.slow
def test_close_ends_connections_that_are_just_beginning():
    for _ in range(20):
        with Sandbox() as sandbox:
            port = int(sandbox.base.rsplit(":", 1)[1])
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
            for client in clients:
                client.sendall(b"PRI ")
        for client in clients:
            client.close()
