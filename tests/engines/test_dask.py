"""Dask: workers that are killed, come late or live in this process; TLS, and what has none."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
from contextlib import contextmanager, suppress

import distributed
import pytest
import trustme
from conftest import (
    OF_THE_APP,
    PREDICTING,
    files_with,
    in_the_middle,
    interrupt,
    once,
    prepared,
    wait_until,
    without_ids,
    worker_keys,
)
from contract import Contract
from support import prediction, text_input

import clarifai_magic
from clarifai_magic import Credentials, connect
from clarifai_magic.bulk.dask import Dask
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, ItemsError

IN_THIS_PROCESS = {"n_workers": 1, "threads_per_worker": 2, "processes": False}


def done(answers):
    return len(answers) - len(answers.left)


def kill_a_worker_once(client, condition):
    """Send SIGKILL to one of the workers in the middle of its work."""
    ready = []

    def each_is_ready():
        with suppress(OSError):  # of one that was killed and is not missed yet
            client.run(__import__, "clarifai_magic.session")  # or it is in the middle of nothing
            ready[:] = client.run(os.getpid).values()
        return len(ready) == 2

    wait_until(each_is_ready)
    return once(condition, lambda: os.kill(ready[0], signal.SIGKILL))


@contextmanager
def cluster(**options):
    with (
        distributed.LocalCluster(dashboard_address=None, **options) as local,
        distributed.Client(local) as client,
    ):
        yield local, client


class TestAsOnAnyCluster(Contract):
    @pytest.fixture
    def client(self, dask):
        return dask


def test_a_worker_has_one_connection_however_many_shares_it_gets(session, dask):
    session.map("PostModelOutputs", [prediction(i) for i in range(100)], client=dask, in_flight=4)

    def connections(port):
        import psutil

        every = psutil.Process().net_connections()
        return sum(bool(each.raddr) and each.raddr.port == port for each in every)

    assert set(dask.run(connections, internals(session).deployment.port).values()) == {1}


def test_a_killed_worker_does_not_cost_an_answer(session, dask):
    answers = prepared(
        session, "PostModelOutputs", [prediction(i) for i in range(1500)], client=dask
    )
    thread = kill_a_worker_once(dask, lambda: done(answers) > 100)
    answers.resume()
    thread.join(60)
    assert not thread.is_alive()
    assert not answers.failures
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(1500)]


def test_what_a_killed_worker_may_have_done_is_not_done_twice(session, dask, added):
    answers = prepared(session, "PostInputs", without_ids(4000), batch=1, client=dask)
    kill_a_worker_once(dask, in_the_middle(added))
    answers.resume()
    assert answers.failures
    assert all(error.maybe_done for error in answers.failures.values())
    assert "may have been carried out" in next(iter(answers.failures.values())).message
    assert done(answers) <= added() <= len(answers)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_wait_for_workers_that_do_not_come(session):
    with cluster(n_workers=0) as (_, client):
        answers = prepared(session, "PostModelOutputs", [prediction()], client=client)
        once(lambda: client.futures, interrupt)
        assert answers.resume().left == [0]


def test_a_cluster_without_workers_is_waited_for(session):
    with cluster(n_workers=0, processes=False) as (local, client):
        local.adapt(minimum=0, maximum=1)
        answers = session.map("PostModelOutputs", [prediction(i) for i in range(20)], client=client)
        assert not answers.failures
        assert len(answers) == 20


def test_in_this_process_a_map_works_after_logout_and_signing_in_again(server):
    credentials = Credentials(
        server["CLARIFAI_PAT"], user_id="alice", app_id="main", base=server["CLARIFAI_API_BASE"]
    )
    items = [prediction(i) for i in range(4)]
    with cluster(**IN_THIS_PROCESS) as (_, client):
        for _ in range(3):
            session = connect(credentials)
            assert not session.map("PostModelOutputs", items, client=client).failures
            clarifai_magic.logout()


def test_two_maps_at_once_have_each_their_own(session, dask):
    answers = []

    def map_some(start):
        items = [prediction(i) for i in range(start, start + 60)]
        answers.append(session.map("PostModelOutputs", items, client=dask, progress=False))

    threads = [threading.Thread(target=map_some, args=(start,)) for start in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    firsts = sorted(int(each[0].outputs[0].input.id.removeprefix("item-")) for each in answers)
    assert firsts == [0, 1000, 2000]
    assert not any(each.failures for each in answers)


def test_a_client_that_is_closed_in_the_middle_ends_the_map_with_what_is_done(session):
    with cluster(**IN_THIS_PROCESS) as (_, client):

        def items():
            yield from map(prediction, range(300))
            client.close()
            yield from map(prediction, range(300, 400))

        answers = session.map("PostModelOutputs", items(), client=client, in_flight=4)
        assert any(answers)
        assert sorted(answers.failures) == answers.left
        assert "The cluster" in answers.failures[answers.left[0]].message


def test_a_client_that_is_closed_is_refused_before_a_file_is_made(session, tmp_path):
    path = tmp_path / "run.db"
    with cluster(**IN_THIS_PROCESS) as (_, client):
        client.close()
        with pytest.raises(CallError, match="The cluster takes no calls"):
            session.map("PostModelOutputs", [prediction()], client=client, save=path)
    assert not path.exists()


def test_what_is_no_cluster_is_refused_in_one_line(session):
    with pytest.raises(ItemsError, match="client= is a str"):
        session.map("PostModelOutputs", [prediction()], client="ray")


def test_a_client_for_await_is_refused(session, dask):
    async def cell():
        async with distributed.Client(dask.scheduler.address, asynchronous=True) as client:
            with pytest.raises(ItemsError, match="asynchronous"):
                session.map("PostModelOutputs", [prediction()], client=client)

    asyncio.run(cell())


def machines_own_address():
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # sends nothing
        return asking.getsockname()[0]


def test_a_key_does_not_go_in_the_clear_over_a_network_unless_its_user_says_so(session):
    items = [prediction(i) for i in range(4)]
    with cluster(host=machines_own_address(), **IN_THIS_PROCESS, protocol="tcp://") as (_, client):
        with pytest.raises(CallError, match="in plaintext") as refused:
            session.map("PostModelOutputs", items, client=client, scopes=PREDICTING)
        assert "insecure=True" in refused.value.hint
        assert not worker_keys(session)
        assert not session.map("PostModelOutputs", items, client=client, insecure=True).failures


def test_with_tls_it_needs_no_leave(session, tmp_path):
    host = machines_own_address()
    authority = trustme.CA()
    certificate = authority.issue_cert(host)
    ca, node = tmp_path / "ca.pem", tmp_path / "node.pem"
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_and_cert_chain_pem.write_to_path(node)
    security = distributed.Security(
        tls_ca_file=str(ca),
        tls_scheduler_cert=str(node),
        tls_worker_cert=str(node),
        tls_client_cert=str(node),
        require_encryption=True,
    )
    with (
        distributed.LocalCluster(
            **IN_THIS_PROCESS, dashboard_address=None, host=host, protocol="tls", security=security
        ) as local,
        distributed.Client(local, security=security) as client,
    ):
        assert client.scheduler.address.startswith("tls://")
        answers = session.map("PostModelOutputs", [prediction(i) for i in range(4)], client=client)
    assert not answers.failures


def test_addresses_are_told_apart_by_what_they_are():
    class Client:
        asynchronous = False

        def __init__(self, address, *workers):
            self.scheduler = type("Scheduler", (), {"address": address})
            self.nthreads = lambda: dict.fromkeys(workers, 2)

    fine = [
        Client("inproc://10.0.0.1/4/1"),
        Client("tls://10.0.0.1:8786", "tls://10.0.0.2:1"),
        Client("tcp://127.0.0.1:8786", "tcp://127.8.0.2:1"),
        Client("tcp://[::1]:8786"),
        Client("tcp://localhost:8786"),
    ]
    for client in fine:
        Dask(client, insecure=False).threads()
    for client in (
        Client("tcp://10.0.0.1:8786"),
        Client("tcp://127.0.0.1:8786", "tcp://10.0.0.2:1"),  # as through a tunnel
        Client("ws://10.0.0.1:8786"),
        Client("ucx://10.0.0.1:8786"),
        Client("tcp://localhost.example.com:8786"),
        Client("10.0.0.1:8786"),
    ):
        with pytest.raises(CallError, match="in plaintext"):
            Dask(client, insecure=False).threads()
        Dask(client, insecure=True).threads()


def test_no_key_is_in_what_scheduler_and_workers_log_or_write(session, dask, dask_folder):
    items = [text_input(i) for i in range(20)]
    seen = set()
    answers = prepared(
        session, "PostModelOutputs", items, request=OF_THE_APP, batch=1,
        client=dask, scopes=PREDICTING,
    )  # fmt: skip
    take = answers.take
    answers.take = lambda *outcome: (seen.update(worker_keys(session)), take(*outcome))
    answers.resume()
    bad = prediction()
    bad.model_id = "no-such-model"
    session.map("PostModelOutputs", [bad], client=dask)
    keys = {*seen, str.__str__(internals(session).found.credentials.key)}
    logs = repr((dask.get_scheduler_logs(), dask.get_worker_logs(), dask.get_events()))
    assert len(keys) == 2
    assert not [key for key in keys if key in logs]
    assert not files_with(dask_folder, keys)


def test_a_workers_function_that_keeps_the_session_is_documented_use(session, dask):
    workers = session.for_workers()
    assert pickle.loads(pickle.dumps(workers)) is workers

    def outputs(workers, number):
        return workers.stub.PostModelOutputs(prediction(number), timeout=20).outputs[0].input.id

    found = dask.gather(dask.map(lambda n: outputs(workers, n), range(6), pure=False))
    assert found == [f"item-{i}" for i in range(6)]
