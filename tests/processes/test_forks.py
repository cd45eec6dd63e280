"""What a forked child does to its parent's sessions and sandbox: nothing; and it has its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import psutil
import pytest
import requests
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import sandbox_process
from threads import in_threads, often_switching

from clarifai_magic import connect, find_credentials, logout
from clarifai_magic.client.internals import internals
from clarifai_magic.client.registry import registry
from clarifai_magic.concurrency import Lock
from clarifai_magic.errors import NoCredentialsError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork beside threads

OK = status_code_pb2.SUCCESS
SCOPES = service_pb2.MyScopesRequest()

HEAD = """
import os, sys, threading
from clarifai_grpc.grpc.api import service_pb2
from clarifai_magic import connect, find_credentials, logout
from clarifai_magic.sandbox import Sandbox
SCOPES = service_pb2.MyScopesRequest()
def code(session): return session.stub.MyScopes(SCOPES, timeout=20).status.code
def signed_in(): return connect(find_credentials("sandbox"))
def in_child(run):
    child = os.fork()
    if not child:
        run()
        sys.exit(0)
    return os.waitpid(child, 0)[1]
"""

SCRIPTS = {
    "that does nothing": "session = signed_in(); code(session)\nchild = lambda: None",
    "that calls": "session = signed_in(); code(session)\nchild = lambda: code(session)",
    "that signs out": "session = signed_in(); code(session)\nchild = logout",
    "that closes, twice": "session = signed_in()\n"
    "child = lambda: (code(session), session.close(), session.close())",
    "that signs in again": "session = signed_in(); code(session)\n"
    "child = lambda: (code(signed_in()), session.close())",
    "that forgets a session": "session = signed_in()\n"
    "def child():\n    global kept; kept = signed_in(); code(kept)",
    "that closes the sandbox": "sandbox = Sandbox(tls=True); sandbox.start()\n"
    "session = signed_in()\n"
    "def child():\n    global sandbox; sandbox.close(); sandbox.close(); del sandbox",
}


def ran(script):
    program = [sys.executable, "-W", "ignore", "-c", HEAD + script]
    return subprocess.run(program, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_child_leaves_its_parents_sandbox_and_sessions_as_they_are(script):
    done = ran(
        f"{script}\n"
        "for _ in range(2): assert in_child(child) == 0\n"
        "assert code(session) == 10000\n"
        "if 'sandbox' in globals(): assert os.path.exists(sandbox.root_certificates)\n"
        "print('fine')"
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_a_sandbox_that_a_child_begins_ends_with_the_child():
    done = ran(
        "def child():\n    global session; session = signed_in(); print(code(session))\n"
        "assert in_child(child) == 0\n"
        "session = signed_in(); print(code(session)); session.close(); sys.stdout.flush()\n"
        "assert in_child(child) == 0"
    )
    assert (done.returncode, done.stdout.split()) == (0, ["10000"] * 3), done.stderr


@pytest.fixture(scope="module")
def server():
    with sandbox_process() as variables:
        yield variables


@pytest.fixture
def session(server):
    with connect(server.credentials()) as session:
        yield session


def in_child(function):
    """Whether a function gives what is true in a forked child, within a minute."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    done = []
    waiting = threading.Thread(target=lambda: done.append(os.waitpid(child, 0)[1]))
    waiting.start()
    waiting.join(60)
    if not done:
        os.kill(child, 9)
        waiting.join()
    return done == [0]


def test_a_childs_threads_have_one_channel_of_their_own_from_the_first_call(session):
    stub = session.stub
    assert stub.MyScopes(SCOPES).status.code == OK

    def calls():
        with often_switching():
            answers = in_threads(16, lambda: stub.MyScopes(SCOPES, timeout=180).status.code)
        return answers == [OK] * 16

    for _ in range(5):
        assert in_child(calls)
        assert stub.MyScopes(SCOPES).status.code == OK


def test_a_childs_sessions_share_connections_with_nobody(session, server):
    """As gRPC would have it, with the parent's too, which it closes in a child at any moment."""
    assert session.stub.MyScopes(SCOPES).status.code == OK

    def calls():
        with connect(server.credentials()) as another:
            for each in (session, another):
                assert each.stub.MyScopes(SCOPES, timeout=180).status.code == OK
            port = internals(session).deployment.port
            sockets = psutil.Process().net_connections("tcp")
            return sum(bool(each.raddr) and each.raddr.port == port for each in sockets) >= 2

    assert in_child(calls)


@pytest.mark.parametrize("way", ["stub", "aio_stub"])
def test_a_child_makes_no_more_calls_once_its_parent_has_signed_out(server, way):
    """The API goes on, and would answer."""
    done = ran(
        "import asyncio\nfrom clarifai_magic.errors import NotSignedInError\n"
        f"os.environ.update({dict(server)!r}); session = connect(); (go_on, goes_on), (told, tells) = os.pipe(), os.pipe()\n"
        "async def awaited():\n"
        "    assert (await session.aio_stub.MyScopes(SCOPES, timeout=20)).status.code == 10000\n"
        "    os.write(tells, b'.'); os.read(go_on, 1)\n"
        "    await session.aio_stub.MyScopes(SCOPES, timeout=20)\n"
        "def blocking():\n"
        "    assert code(session) == 10000\n"
        "    os.write(tells, b'.'); os.read(go_on, 1)\n"
        "    code(session)\n"
        "child = os.fork()\n"
        "if not child:\n"
        f"    try: asyncio.run(awaited()) if {way!r} == 'aio_stub' else blocking()\n"
        "    except NotSignedInError as error: os._exit(7 if 'forked' in str(error) else 8)\n"
        "    os._exit(9)\n"
        "os.read(told, 1); logout(); os.write(goes_on, b'.')\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert done.stdout == "7\n", done.stderr


def test_a_fork_while_other_threads_are_at_it_leaves_nothing_locked(session):
    """Whatever each of them holds at that moment."""
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            session.with_ids(app_id="recipes").close()
            len(list(registry))

    def works():
        with session.with_ids(app_id="main") as child:
            return child.stub.MyScopes(SCOPES, timeout=180).status.code == OK

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert all(in_child(works) for _ in range(10))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_child_finds_a_lock_locked():
    lock, held, go_on = Lock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            go_on.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)

    def takes():
        with lock, lock:
            return True

    assert in_child(takes)
    assert in_child(lambda: in_child(takes))
    go_on.set()
    thread.join()
    assert takes()


def test_a_fork_while_another_thread_changes_the_notebook_leaves_nothing_locked(
    shell, environment, server
):
    environment(PAT=server["CLARIFAI_PAT"], API_BASE=server["CLARIFAI_API_BASE"])
    shell.run("%clarifai_auth --app-id main --export-env")
    notebook = shell.ip.magics_manager.registry["ClarifaiMagics"].notebook
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            notebook.use("clarifai_session")

    def signs_out():
        notebook.close_all()
        return not len(registry)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert all(in_child(signs_out) for _ in range(10))
    finally:
        stop.set()
        thread.join()


def test_a_forked_child_has_what_its_parent_exports_and_takes_nothing_from_it(
    shell, environment, server
):
    environment(API_BASE=server["CLARIFAI_API_BASE"])
    shell.names["mine"] = server["CLARIFAI_PAT"]
    shell.run("%clarifai_auth --from var:mine --app-id main --export-env")
    session = shell.names["clarifai_session"]
    exported = {name: os.environ[name] for name in ("CLARIFAI_API_BASE", "CLARIFAI_PAT")}

    def answered():
        base, token = exported.values()
        key = {"Authorization": f"Key {token}"}
        return requests.get(f"{base}/v2/users/me", headers=key, timeout=180).ok

    def has_it():
        return exported.items() <= os.environ.items() and answered()

    def is_no_source():
        with pytest.raises(NoCredentialsError):
            find_credentials()
        return True

    def signs_out():
        logout()
        return not exported.keys() - {"CLARIFAI_API_BASE"} & os.environ.keys() and answered()

    def exports_its_own():
        shell.run("%clarifai_auth --from var:mine --as own --app-id main --export-env")
        return os.environ["CLARIFAI_API_BASE"] != exported["CLARIFAI_API_BASE"]

    for behaviour in (has_it, is_no_source, signs_out, exports_its_own):
        assert in_child(behaviour)
        assert answered()
        assert exported.items() <= os.environ.items()
    assert session.broker.carried >= 6
