"""First uses from many threads and event loops at once: nothing half made is seen."""

from __future__ import annotations

import asyncio
import gc
import itertools
import pickle
import sys
import threading
import weakref
from collections import Counter
from functools import partial

import grpc
import pytest
from clarifai_grpc.channel import clarifai_channel
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import sandbox_process
from threads import in_threads, interrupted_in, often_switching, wait_until_ended

from clarifai_magic import Credentials, connect
from clarifai_magic.bridge.broker import Broker
from clarifai_magic.bulk.loop_thread import LoopThread, News, Work
from clarifai_magic.client.channel import _Callable
from clarifai_magic.client.internals import internals
from clarifai_magic.client.registry import Registry
from clarifai_magic.concurrency import Process, once
from clarifai_magic.errors import NotSignedInError
from clarifai_magic.notebook.hosts.terminal import Script
from clarifai_magic.redaction.guard import Guard

OK = status_code_pb2.SUCCESS
SCOPES = service_pb2.MyScopesRequest()


@pytest.fixture(scope="module")
def server():
    """In another process, which the switching does not slow down."""
    with sandbox_process() as variables:
        yield variables


@pytest.fixture
def signed_in(server):
    def make():
        credentials = Credentials(
            server["CLARIFAI_PAT"], user_id="alice", app_id="main", base=server["CLARIFAI_API_BASE"]
        )
        return connect(credentials, verified=False)

    return make


def codes(call, count):
    with often_switching():
        return Counter(in_threads(count, call))


def test_a_second_thread_that_calls_while_the_first_makes_ready_sees_nothing_half_made(
    signed_in, monkeypatch
):
    made, half_way, go_on = _Callable._made, threading.Event(), threading.Event()
    parts = []

    def slowly(*arguments):
        if threading.current_thread() is first:
            parts.append(None)
            if len(parts) == 2:
                half_way.set()
                assert go_on.wait(30)
        return made(*arguments)

    monkeypatch.setattr(_Callable, "_made", slowly)
    with signed_in() as session:
        call = partial(session.stub.MyScopes, SCOPES, timeout=30)
        first = threading.Thread(target=call)
        first.start()
        assert half_way.wait(30)
        try:
            assert in_threads(8, lambda: call().status.code) == [OK] * 8
        finally:
            go_on.set()
            first.join(30)


def test_the_first_call_from_64_threads(signed_in):
    for _ in range(5):
        session = signed_in()
        own = [*session.metadata, ("x-clarifai-request-id-prefix", "test")]
        for metadata in (None, own, own[1:]):
            call = partial(session.stub.MyScopes, SCOPES, timeout=30, metadata=metadata)
            assert codes(lambda call=call: call().status.code, 64) == {OK: 64}
        session.close()


def test_the_first_use_of_everything_from_64_threads(signed_in):
    for _ in range(5):
        session = signed_in()
        with often_switching():
            stubs = in_threads(64, lambda session=session: (session.stub, session.aio_stub))
        assert len(set(stubs)) == 1
        session.close()


def test_the_first_map_from_many_threads(signed_in):
    with signed_in() as session:

        def mapped():
            return [each.status.code for each in session.map("MyScopes", [SCOPES], progress=False)]

        with often_switching():
            assert in_threads(16, mapped) == [[OK]] * 16
        assert len([each for each in threading.enumerate() if each.name == "clarifai-loop"]) == 1


def test_awaited_calls_from_event_loops_in_many_threads_that_come_and_go(signed_in):
    with signed_in() as session:

        async def call():
            return (await session.aio_stub.MyScopes(SCOPES, timeout=30)).status.code

        for _ in range(4):
            assert codes(lambda: asyncio.run(call()), 16) == {OK: 16}


def test_a_process_that_was_forked_begins_once_whatever_thread_is_first(signed_in, monkeypatch):
    """Its threads all get the one new channel, and never the parent's."""
    for _ in range(20):
        session = signed_in()
        connection = internals(session).connection
        parents = connection.channel
        monkeypatch.setattr(Process, "generation", Process.generation + 1)
        with often_switching():
            channels = in_threads(32, lambda connection=connection: connection.channel)
        assert len(set(channels)) == 1
        assert parents not in channels
        session.close()
        parents.close()


def test_calls_while_another_thread_closes_the_session_end_in_one_of_two_ways(signed_in):
    """With CANCELLED where they were under way, and else in one line."""

    def call(stub, wanted):
        while True:
            try:
                wanted(stub)
            except NotSignedInError:
                return "refused"
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.CANCELLED  # noqa: PT017

    ways = (
        lambda stub: stub.MyScopes(SCOPES),
        lambda stub: stub.MyScopes(SCOPES, metadata=()),
        lambda stub: stub.MyScopes.with_call(SCOPES),
        lambda stub: stub.MyScopes.future(SCOPES).result(),
        lambda stub: list(stub.GenerateModelOutputs(service_pb2.PostModelOutputsRequest())),
    )
    for way in ways:
        session = signed_in()
        threads = []
        begun = threading.Semaphore(0)

        def run(way=way, stub=session.stub, threads=threads, begun=begun):
            begun.release()
            threads.append(call(stub, way))

        with often_switching():
            started = [threading.Thread(target=run) for _ in range(8)]
            for thread in started:
                thread.start()
            for _ in started:
                begun.acquire()
            session.close()
            for thread in started:
                thread.join(60)
        assert threads == ["refused"] * 8


def test_a_map_whose_session_another_thread_closes_keeps_what_is_done(signed_in):
    session = signed_in()
    answers = session.amap("MyScopes", [SCOPES] * 20_000, progress=False)

    def close_in_the_middle():
        while len(answers._store) < 100:
            threading.Event().wait(0.001)
        session.close()

    threading.Thread(target=close_in_the_middle, daemon=True).start()
    answers.resume()
    assert 100 <= len(answers._store) < 20_000
    with pytest.raises(NotSignedInError):
        answers.resume()
    assert len(answers._store) >= 100


def test_two_threads_that_unpickle_a_session_get_the_same(signed_in):
    with signed_in() as session:
        workers = session.for_workers()
        given = pickle.dumps(workers)
        workers.close()  # as in another process, which opens one
        two_threads_unpickle(given)


def two_threads_unpickle(given):
    for _ in range(5):
        with often_switching():
            opened = in_threads(16, lambda: pickle.loads(given))
        assert len(set(opened)) == 1
        opened[0].close()


def test_the_registry_is_walked_while_it_changes():
    class Session:
        def close(self):
            pass

    table, stop = Registry(), threading.Event()

    def change():
        while not stop.is_set():
            sessions = [Session() for _ in range(20)]
            for session in sessions:
                table.add(session, "key", "token")
            for session in sessions[::2]:
                table.discard(session)

    def walk():
        for _ in range(300):
            list(table)
            table.keys()
            len(table)

    changing = [threading.Thread(target=change) for _ in range(4)]
    with often_switching():
        for thread in changing:
            thread.start()
        try:
            in_threads(4, walk)
        finally:
            stop.set()
            for thread in changing:
                thread.join(60)
    gc.collect()
    assert not list(table)
    assert not len(table)


def test_the_registry_is_walked_while_garbage_is_collected():
    class Session:
        def __init__(self):
            self.itself = self

        def close(self):
            pass

    before = gc.get_threshold()
    try:
        for allocations in range(1, 100):
            gc.disable()
            table = Registry()
            kept, dropped = ([Session() for _ in range(50)] for _ in range(2))
            for session in kept + dropped:
                table.add(session, f"key {id(session)}", "token")
            del session, dropped
            gc.set_threshold(gc.get_count()[0] + allocations)
            gc.enable()
            assert table.secrets() >= {f"key {id(session)}" for session in kept}
            assert {*table} >= {*kept}
    finally:
        gc.enable()
        gc.set_threshold(*before)


@pytest.mark.slow
def test_the_guard_knows_every_key_however_many_sign_in_at_once(signed_in, capsys):
    guard = Guard(Script, lambda: True)
    buffer = sys.stdout.buffer
    before = buffer.write
    guard.start()
    try:
        for _ in range(10):
            with often_switching():
                sessions = in_threads(16, signed_in)
            print(str.__str__(internals(sessions[0]).found.credentials.key))
            sys.stdout.flush()
            assert buffer.write.original == before, "one layer on another"
            with often_switching():
                in_threads(16, lambda sessions=sessions: sessions.pop().close())
            assert buffer.write == before
    finally:
        guard.stop()
    assert capsys.readouterr().out == "[clarifai key]\n" * 10


def test_stubs_are_made_without_clarifai_grpcs_global_state(signed_in, monkeypatch):
    for state in (None, clarifai_channel._response_deserializer_for_json):
        monkeypatch.setattr(clarifai_channel, "wrap_response_deserializer", state)
        with signed_in() as session:
            assert codes(lambda session=session: session.stub.MyScopes(SCOPES).status.code, 16)
            assert clarifai_channel.wrap_response_deserializer is state


def test_what_is_made_once_is_the_same_for_every_thread():
    class Holder:
        @once
        def made(self):
            """What is made."""
            return object()

    assert Holder.made.__doc__ == "What is made."
    for _ in range(50):
        holder = Holder()
        with often_switching():
            assert len(set(in_threads(8, lambda holder=holder: holder.made))) == 1


@pytest.mark.slow
def test_a_sign_in_has_one_broker_whichever_thread_and_session_asks_first(signed_in):
    made = []
    for _ in range(20):
        session = signed_in()
        sessions = itertools.cycle([session, session.with_ids(app_id="recipes")])
        with often_switching():
            brokers = in_threads(16, lambda sessions=sessions: next(sessions).broker)
        assert len(set(brokers)) == 1
        made.append(weakref.ref(brokers[0]))
        gc.collect()
        assert len([each for each in gc.get_objects() if isinstance(each, Broker)]) == 1
        session.close()
        del session, sessions, brokers
        gc.collect()
    assert not any(each() for each in made)


def test_a_loop_thread_that_is_closed_refuses_and_one_that_is_forgotten_ends():
    async def work():
        await asyncio.sleep(0)

    loop = LoopThread()
    loop.run(work())
    thread = loop._thread
    loop.close()
    loop.close()
    assert not thread.is_alive()
    with pytest.raises(NotSignedInError):
        loop.run(work())
    thread = LoopThread()._thread
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_a_loop_thread_winds_up_what_is_stopped():
    loop, begun, ended = LoopThread(), threading.Event(), threading.Event()

    async def endless():
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    def stopped():
        assert begun.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.do(Work(endless()), stopped)
    assert ended.is_set()
    loop.close()


def test_a_loop_thread_whose_beginning_is_interrupted_is_not_left():
    before = set(threading.enumerate())
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt) as kept, interrupted_in(threading.Event.wait):
            LoopThread()
        assert kept.tb  # with the frames, as IPython keeps the last error's
        wait_until_ended(before)


def test_a_loop_thread_ends_what_is_interrupted_as_it_begins():
    loop = LoopThread()

    async def work():
        await asyncio.sleep(3600)

    with pytest.raises(KeyboardInterrupt), interrupted_in(News.wait):
        loop.run(work())
    assert not asyncio.all_tasks(loop._loop)
    loop.run(asyncio.sleep(0))
    loop.close()
