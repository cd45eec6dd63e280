"""A sandbox that nobody closes: its process ends all the same, and nothing else does."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future

import pytest
import requests
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from threads import in_threads, interrupted_in, often_switching, wait_until_ended

from clarifai_magic.loopback.pool import Pool
from clarifai_magic.sandbox import Sandbox

HEAD = """
import asyncio, gc, os, sys, threading, time
from clarifai_grpc.grpc.api import service_pb2
from clarifai_magic import Credentials, connect, find_credentials
from clarifai_magic.sandbox import Sandbox
SCOPES = service_pb2.MyScopesRequest()
def signed_in(): return connect(find_credentials("sandbox"))
"""
"""What each forgetful script begins with."""

SLOW = """
sandbox = Sandbox(latency=3600); sandbox.start()
session = connect(Credentials(sandbox.keys.pat, base=sandbox.base), verified=False)
"""
"""Its calls are under way when the script ends."""

SCRIPTS = {
    "a sandbox": "Sandbox().start()",
    "a sandbox in a variable": "sandbox = Sandbox(); sandbox.start()",
    "two sandboxes": "one = Sandbox(); one.start(); two = Sandbox(tls=True); two.start()",
    "a session": "signed_in()",
    "a session in a variable": "session = signed_in()",
    "credentials alone": "found = find_credentials('sandbox')",
    "a stub": "stub = signed_in().stub; stub.MyScopes(SCOPES)",
    "a child": "session = signed_in().with_ids(app_id='recipes'); session.stub.MyScopes(SCOPES)",
    "in a function": "def run(): session = signed_in(); session.stub.MyScopes(SCOPES)\nrun()",
    "in a thread": "def run(): session = signed_in(); session.stub.MyScopes(SCOPES)\n"
    "thread = threading.Thread(target=run); thread.start(); thread.join()",
    "in a cycle": "class Cycle: pass\n"
    "cycle = Cycle(); cycle.self = cycle; cycle.session = signed_in(); del cycle",
    "closed by __del__": "class Owner:\n"
    "    def __init__(self): self.sandbox = Sandbox(); self.sandbox.start()\n"
    "    def __del__(self): self.sandbox.close()\n"
    "owner = Owner(); owner.self = owner",
    "after map": "session = signed_in(); session.map('MyScopes', [SCOPES] * 4, progress=False)",
    "while mapping": "session = signed_in()\n"
    "run = lambda: session.map('MyScopes', [SCOPES] * 100_000, progress=False)\n"
    "threading.Thread(target=run, daemon=True).start()\n"
    "while not session._internals.connection._latest.aio: time.sleep(0.001)",
    "after await": "session = signed_in()\n"
    "async def run(): await session.aio_stub.MyScopes(SCOPES)\nasyncio.run(run())",
    "while calls wait": SLOW + "calls = [session.stub.MyScopes.future(SCOPES) for _ in range(4)]",
    "while threads wait": SLOW + "call = lambda: session.stub.MyScopes(SCOPES)\n"
    "for _ in range(4): threading.Thread(target=call, daemon=True).start()",
    "while a stream goes on": "session = signed_in(); silence = threading.Event()\n"
    "stream = session.stub.StreamModelOutputs(iter(silence.wait, True))",
}


def ran(script):
    program = [sys.executable, "-W", "ignore", "-c", HEAD + script]
    return subprocess.run(program, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_forgets_to_close_ends_with_its_main_thread(name):
    done = ran(SCRIPTS[name])
    assert (done.returncode, done.stdout) == (0, "")
    # A thread may still say that its own call has failed, or be too late for that.
    assert name == "while threads wait" or not done.stderr


@pytest.mark.slow
def test_an_error_or_an_exit_code_gets_through():
    assert ran("session = signed_in(); sys.exit(3)").returncode == 3
    done = ran("session = signed_in(); 1 / 0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_threads_that_outlive_the_main_thread_are_served_to_their_end():
    done = ran(
        "session = signed_in()\n"
        "def run():\n"
        "    threading.main_thread().join()\n"
        "    print(sum(session.stub.MyScopes(SCOPES).status.code == 10000 for _ in range(50)))\n"
        "thread = threading.Thread(target=run); thread.start()"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "50\n", "")


def test_the_certificate_of_a_sandbox_that_nobody_closes_is_removed():
    done = ran(
        "sandbox = Sandbox(tls=True); sandbox.start(); print(sandbox.root_certificates)\n"
        "assert os.path.exists(sandbox.root_certificates)"
    )
    assert done.returncode == 0
    with pytest.raises(FileNotFoundError):
        open(done.stdout.strip())  # noqa: PTH123, SIM115


def test_a_sandbox_that_is_forgotten_ends(client):
    before = threading.enumerate()
    sandbox = Sandbox(tls=True)
    sandbox.start()
    base, authority = sandbox.base, sandbox.root_certificates
    served = [each for each in threading.enumerate() if each not in before]
    del sandbox
    gc.collect()
    for thread in served:
        thread.join(20)
    with pytest.raises((requests.exceptions.ConnectionError, OSError)):
        requests.get(base, verify=authority, timeout=20)


def test_closing_in_many_threads_and_from_a_call_of_its_own_does_no_harm(client):
    for _ in range(3):
        sandbox = Sandbox()
        sandbox.start()
        assert client(sandbox, sandbox.keys.pat).code("MyScopes") == codes.SUCCESS
        sandbox._pool.submit(sandbox.close).result(20)
        with often_switching():
            in_threads(16, sandbox.close)
        assert not sandbox._thread._thread.is_alive()


def test_of_many_threads_that_start_it_one_does(client):
    sandbox = Sandbox()

    def start():
        try:
            sandbox.start()
        except RuntimeError:
            return False
        return True

    with often_switching():
        assert sum(in_threads(16, start)) == 1
    assert client(sandbox, sandbox.keys.pat).code("MyScopes") == codes.SUCCESS
    sandbox.close()


def test_its_threads_take_errors_to_who_waits_and_end_after_their_work():
    pool, go_on = Pool(2, "pool"), threading.Event()
    slow = [pool.submit(go_on.wait, 20) for _ in range(2)]
    queued = pool.submit(int, "x")
    cancelled = pool.submit(int)
    assert cancelled.cancel()
    go_on.set()
    assert [each.result(20) for each in slow] == [True, True]
    with pytest.raises(ValueError, match="invalid literal"):
        queued.result(20)
    pool.shutdown()
    assert len(pool.threads) == 2
    assert not any(thread.is_alive() for thread in pool.threads)


def test_a_thread_that_starts_while_the_others_end_ends_too():
    pool, go_on = Pool(2, "pool").__enter__(), threading.Event()
    busy = pool.submit(go_on.wait, 20)
    with pool._growing:  # the second thread is about to start
        growing = threading.Thread(target=pool.submit, args=(int,))
        growing.start()
        pool.shutdown(wait=False)
    growing.join(20)
    go_on.set()
    assert busy.result(20)
    assert len(pool.threads) == 2
    for thread in pool.threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in pool.threads)


@pytest.mark.parametrize("moment", [threading.Event.wait, Future.result, weakref.finalize.__init__])
def test_a_sandbox_whose_start_is_interrupted_is_not_left(moment):
    before = set(threading.enumerate())
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt) as kept, interrupted_in(moment):
            Sandbox().start()
        assert kept.tb  # with the frames, as IPython keeps the last error's
        wait_until_ended(before)
