"""`map` on a Dask cluster: the same answers, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from clarifai_grpc.grpc.api import service_pb2
from support import prediction, sandbox_process, text_input

from clarifai_magic import Credentials, connect
from clarifai_magic.errors import ItemsError

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def server():
    with sandbox_process("--latency", "0.01") as variables:
        yield variables


@pytest.fixture
def session(server):
    credentials = Credentials(
        server["CLARIFAI_PAT"], user_id="alice", app_id="main", base=server["CLARIFAI_API_BASE"]
    )
    with connect(credentials) as session:
        yield session


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def kill_a_worker_while(client, count_done, enough):
    """Send SIGKILL to one of the workers once that much is done."""
    pid = next(iter(client.run(os.getpid).values()))

    def watch():
        while count_done() < enough:
            threading.Event().wait(0.005)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_the_cluster_answers_in_order(session, client):
    answers = session.map(
        "PostModelOutputs", [prediction(i) for i in range(300)], client=client, in_flight=16
    )
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(300)]


def test_a_worker_has_one_connection_however_many_tasks_it_gets(session, client):
    session.map("PostModelOutputs", [prediction(i) for i in range(100)], client=client)

    def connections(port):
        import psutil

        every = psutil.Process().net_connections()
        return sum(bool(each.raddr) and each.raddr.port == port for each in every)

    assert set(client.run(connections, session.deployment.port).values()) == {1}


def test_what_fails_on_the_cluster_is_told_as_elsewhere(session, client):
    requests = [prediction(i) for i in range(40)]
    requests[7].model_id = "no-such-model"
    answers = session.map("PostModelOutputs", requests, client=client)
    assert list(answers.failures) == answers.left == [7]
    assert answers.failures[7].status_code


def test_a_killed_worker_does_not_cost_an_answer(session, client):
    client.wait_for_workers(2)
    answers = session.amap("PostModelOutputs", [prediction(i) for i in range(1500)], in_flight=8)
    answers._client = client
    thread = kill_a_worker_while(client, lambda: answers._done, 200)
    answers.resume()
    thread.join(60)
    assert not thread.is_alive()
    assert not answers.failures
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(1500)]


def test_what_a_killed_worker_may_have_done_is_not_done_twice(session, client):
    client.wait_for_workers(2)
    before = session.stub.GetInputCount(service_pb2.GetInputCountRequest()).counts.processed
    items = [text_input(10_000 + i) for i in range(1500)]
    for item in items:
        item.ClearField("id")  # the API makes one up, so that a repeated call adds another input
    answers = session.amap("PostInputs", items, batch=1, in_flight=8)
    answers._client = client
    kill_a_worker_while(client, lambda: answers._done, 200).join(0)
    answers.resume()
    done = len(answers) - len(answers.failures)
    after = session.stub.GetInputCount(service_pb2.GetInputCountRequest()).counts.processed
    assert answers.failures
    assert {error.code for error in answers.failures.values()} == {"call"}
    assert "may have been carried out" in next(iter(answers.failures.values())).message
    assert done <= after - before <= len(answers)


def test_an_interrupt_gives_what_is_done(session, client):
    client.wait_for_workers(2)
    answers = session.amap("PostModelOutputs", [prediction(i) for i in range(2000)], in_flight=4)
    answers._client = client

    def interrupt():
        while answers._done < 100:
            threading.Event().wait(0.005)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert answers.resume() is answers
    assert 0 < len(answers.left) < 2000
    assert not answers.failures


def test_a_client_for_await_is_refused(session):
    class Asynchronous:
        asynchronous = True

    with pytest.raises(ItemsError, match="asynchronous"):
        session.map("PostModelOutputs", [prediction()], client=Asynchronous())
