"""A session handed to other processes: pickled on purpose, opened once in each of them."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import nbformat
import pytest
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from nbclient import NotebookClient
from support import prediction, sandbox_process

from clarifai_magic import Session, connect
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, NotSignedInError, SecretError

OK = status_code_pb2.SUCCESS
SCOPES = service_pb2.MyScopesRequest()
MAP = ("PostModelOutputs", [prediction(i) for i in range(4)])


@pytest.fixture(scope="module")
def server():
    with sandbox_process() as variables:
        yield variables


@pytest.fixture
def session(server):
    with connect(server.credentials()) as session:
        yield session


def connections(session):
    """How many connections this process has to the session's server."""
    import psutil

    port = internals(session).deployment.port
    return sum(
        bool(each.raddr) and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
        for each in psutil.Process().net_connections()
    )


def work(session, number):
    """What a user's function does in another process."""
    answer = session.stub.PostModelOutputs(prediction(number), timeout=180)
    return os.getpid(), answer, connections(session)


def check(results, session, *, processes=2):
    assert [answer.outputs[0].input.id for _, answer, _ in results] == [
        f"item-{i}" for i in range(len(results))
    ]
    assert 1 <= len({pid for pid, _, _ in results}) <= processes
    assert os.getpid() not in {pid for pid, _, _ in results}
    assert {count for _, _, count in results} == {1}
    assert session.stub.MyScopes(SCOPES, timeout=180).status.code == OK


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python's, of fork beside threads
def test_concurrent_futures(session, method):
    session.stub.MyScopes(SCOPES)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        results = list(pool.map(work, [session.for_workers()] * 12, range(12), timeout=180))
    check(results, session)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_multiprocessing(session, method):
    session.stub.MyScopes(SCOPES)
    with multiprocessing.get_context(method).Pool(2) as pool:
        workers = session.for_workers()
        arguments = [(workers, i) for i in range(12)]
        results = pool.starmap_async(work, arguments).get(timeout=180)
    check(results, session)


@pytest.mark.dev
def test_joblib(session):
    from joblib import Parallel, delayed

    workers = session.for_workers()
    results = Parallel(n_jobs=2, timeout=180)(delayed(work)(workers, i) for i in range(12))
    check(results, session)


@pytest.mark.dev
def test_ipyparallel_with_its_cell_magic(server, monkeypatch):
    """As in a notebook: engines are started, given the session, and run a cell with it."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    cells = [
        "%load_ext clarifai_magic\n%clarifai_auth",
        (
            "import ipyparallel, logging\n"
            "cluster = ipyparallel.Cluster(n=2, log_level=logging.ERROR)\n"
            "view = cluster.start_and_connect_sync(activate=True)[:]\n"
            "_ = view.push({'workers': clarifai_session.for_workers()}, block=True)"
        ),
        (
            "%%px\n"
            "from clarifai_grpc.grpc.api import service_pb2\n"
            "code = workers.stub.MyScopes(service_pb2.MyScopesRequest(), timeout=180).status.code\n"
            "print(repr(workers), workers.metadata)"
        ),
        "print(view.pull('code', block=True)); cluster.stop_cluster_sync()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=180).execute()
    shown = nbformat.writes(notebook)
    assert f"[{OK}, {OK}]" in shown
    assert "<Session: alice" in shown
    assert server["CLARIFAI_PAT"] not in shown


def in_child(function):
    """Run a function in a forked child; what it returned or raised."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run():
        try:
            sender.send(function())
        except Exception as error:  # noqa: BLE001
            sender.send(error)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    assert receiver.poll(60), "the child hangs"
    child.join()
    return receiver.recv()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own_and_the_parent_keeps_its(session):
    stub = session.stub
    assert stub.MyScopes(SCOPES).status.code == OK
    before = {each.laddr for each in _sockets(session)}

    def call():
        codes = [stub.MyScopes(SCOPES, timeout=180).status.code for _ in range(3)]
        return codes, {each.laddr for each in _sockets(session)} - before

    codes, own = in_child(call)
    assert codes == [OK] * 3
    assert len(own) == 1
    assert stub.MyScopes(SCOPES, timeout=180).status.code == OK
    assert {each.laddr for each in _sockets(session)} == before


def _sockets(session):
    import psutil

    port = internals(session).deployment.port
    every = psutil.Process().net_connections()
    return [each for each in every if each.raddr and each.raddr.port == port]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_may_map(session):
    assert session.stub.MyScopes(SCOPES).status.code == OK
    assert in_child(lambda: len(session.map(*MAP, progress=False).left)) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_where_grpc_would_hang_in_a_forked_child_an_error_says_what_to_do(session):
    session.map(*MAP, progress=False)
    failures = in_child(lambda: session.map(*MAP, progress=False).failures)
    assert len(failures) == len(MAP[1])
    assert all(
        isinstance(error, CallError) and "spawn" in error.hint for error in failures.values()
    )
    assert in_child(lambda: session.stub.MyScopes(SCOPES, timeout=180).status.code) == OK
    assert not session.map(*MAP, progress=False).left


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_logout_a_forked_child_and_what_it_was_given_are_refused_in_one_line(server):
    session = connect(server.credentials())
    assert session.stub.MyScopes(SCOPES).status.code == OK
    given = pickle.dumps(session.for_workers())
    context = multiprocessing.get_context("fork")
    called, signed_out = context.Event(), context.Event()

    def used(use):
        try:
            return use()
        except NotSignedInError as error:
            return error

    def work():
        stub = session.stub
        assert stub.MyScopes(SCOPES, timeout=20).status.code == OK
        called.set()
        assert signed_out.wait(60)
        return [
            used(lambda: stub.MyScopes(SCOPES)),
            used(lambda: session.stub.ListModels(service_pb2.ListModelsRequest())),
            used(lambda: session.map(*MAP, progress=False)),
            used(lambda: pickle.loads(given)),
        ]

    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(work()))
    child.start()
    assert called.wait(60)
    session.close()
    signed_out.set()
    assert receiver.poll(60), "the child hangs"
    refused = receiver.recv()
    child.join()
    assert [type(error) for error in refused] == [NotSignedInError] * 4
    assert all("signed out" in error.message and error.hint for error in refused)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_signs_out_for_itself_and_deletes_no_key_of_its_parents(session):
    workers = session.for_workers(scopes=["Predict"])
    assert in_child(lambda: workers.stub.MyScopes(SCOPES, timeout=20).status.code) == OK
    assert in_child(session.close) is None
    assert in_child(workers.close) is None
    assert workers.stub.MyScopes(SCOPES, timeout=20).status.code == OK
    assert session.stub.MyScopes(SCOPES, timeout=20).status.code == OK


def test_it_is_a_session_about_the_same_and_masked(session):
    workers = session.for_workers()
    assert isinstance(workers, Session)
    assert workers.userDataObject == session.userDataObject
    assert repr(workers) == repr(session)
    key = internals(session).found.credentials.key.encode()
    assert key in pickle.dumps(workers)
    assert key.decode() not in repr(workers.__reduce_ex__(4))
    assert pickle.loads(pickle.dumps(workers)) is workers
    assert copy.deepcopy(workers) is workers


@pytest.mark.parametrize("retries", [True, False])
def test_the_ids_and_retries_of_the_session_go_with_it_and_it_is_opened_once(server, retries):
    """Whatever is in the other process's environment."""
    with connect(server.credentials(), retries=retries) as session:
        given = pickle.dumps(session.with_ids(app_id="recipes").for_workers())
    program = (
        "import os, pickle, sys, trustme\n"
        "trustme.CA().cert_pem.write_to_path('ca.pem')\n"
        "os.environ['CLARIFAI_ROOT_CERTIFICATES_PATH'] = 'ca.pem'\n"
        "given = sys.stdin.buffer.read()\n"
        "session = pickle.loads(given)\n"
        "print(session.identity.app_id, session._internals.retries.wanted, pickle.loads(given) is session)\n"
        "print(pickle.loads(pickle.dumps(session)) is session, session)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        input=given,
        capture_output=True,
        check=True,
        cwd=os.environ["HOME"],
    )
    shown = ran.stdout.decode()
    assert shown.startswith(f"recipes {retries} True\nTrue <Session: alice")
    assert server["CLARIFAI_PAT"] not in shown + ran.stderr.decode()


def test_any_other_session_is_not_pickled_and_the_error_says_how_to(session):
    with pytest.raises(SecretError, match="for_workers"):
        pickle.dumps(session)
    with pytest.raises(SecretError, match="for_workers"):
        pickle.dumps(session.aio_stub)


def test_logout_says_that_processes_may_still_have_the_key(shell, environment, server):
    environment(**{name.removeprefix("CLARIFAI_"): value for name, value in server.items()})
    shell.run("%clarifai_auth")
    shell.run("workers = clarifai_session.for_workers(); clarifai_session.for_workers()")
    assert shell.run("%clarifai_auth logout").count("keep the key until they end") == 1


def test_messages_of_the_api_can_be_pickled_once_a_session_is_handed_over(session):
    session.for_workers()
    response = session.stub.PostModelOutputs(prediction())
    assert pickle.loads(pickle.dumps(response)) == response
    assert pickle.loads(pickle.dumps(response.outputs[0])) == response.outputs[0]
