"""Who closes what: sessions, those made from them, and the sandbox that they share."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import socket
import subprocess
import sys
import threading
import weakref

import pytest
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import prediction
from threads import in_threads, often_switching

import clarifai_magic
from clarifai_magic import Credentials, connect, find_credentials
from clarifai_magic.client.internals import internals
from clarifai_magic.client.registry import registry
from clarifai_magic.errors import AppNotFoundError, NotSignedInError

OK = status_code_pb2.SUCCESS
LIST_MODELS = service_pb2.ListModelsRequest()
SCOPES = service_pb2.MyScopesRequest()


def code(session):
    return session.stub.MyScopes(SCOPES, timeout=20).status.code


def in_sandbox(**ids):
    return connect(find_credentials("sandbox").narrowed(**ids))


def listens(base):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(base.rpartition(":")[2]))) == 0


@pytest.fixture
def session(sandbox):
    credentials = Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    with connect(credentials) as session:
        yield session


@pytest.fixture
def work(shell):
    shell.run("%clarifai_auth --from sandbox")
    return shell.names["clarifai_session"]


# --- the sandbox of a process ---


@pytest.mark.parametrize("source", ["--from sandbox", ""])
def test_signing_in_to_the_sandbox_again_with_another_app_works(shell, work, source):
    for app in ("recipes", "main", "recipes"):
        assert f"app {app}" in shell.run(f"%clarifai_auth {source} --app-id {app}")
        assert code(shell.names["clarifai_session"]) == OK
        assert shell.names["clarifai_session"].base == work.base
    shell.run("%clarifai_auth logout")
    assert not listens(work.base)


@pytest.mark.parametrize("source", ["--from sandbox", ""])
def test_a_sign_in_that_fails_leaves_the_standing_session_untouched(shell, work, source):
    for _ in range(2):
        shell.fail(f"%clarifai_auth {source} --app-id mian")
        assert shell.names["clarifai_session"] is work
        assert code(work) == OK


def test_the_sandbox_lives_as_long_as_the_last_session_in_whatever_order(session):
    for last in (0, 1, 2):
        sessions = [in_sandbox(), in_sandbox(app_id="recipes"), in_sandbox()]
        kept = sessions.pop(last)
        for each in sessions:
            each.close()
            each.close()
            assert code(kept) == OK
        kept.close()
        assert not listens(kept.base)
    assert code(session) == OK


def test_closing_a_session_with_anothers_credentials_does_not_end_the_others_sandbox():
    with in_sandbox() as standing:
        connect(internals(standing).found).close()
        with pytest.raises(AppNotFoundError):
            connect(internals(standing).found.narrowed(app_id="mian"))
        assert code(standing) == OK


def test_credentials_of_the_sandbox_are_good_until_they_are_used():
    found = find_credentials("sandbox")
    assert find_credentials("sandbox").credentials == found.credentials
    with connect(found) as session:
        assert code(session) == OK
    again = find_credentials("sandbox")
    assert again.credentials != found.credentials
    connect(again).close()


def test_a_session_that_is_forgotten_lets_the_sandbox_go():
    before = threading.enumerate()
    base = in_sandbox().with_ids(app_id="recipes").base
    served = [thread for thread in _threads("clarifai-sandbox-front") if thread not in before]
    gc.collect()
    for thread in served:
        thread.join(20)  # for which the garbage collector does not wait
    assert not listens(base)
    with in_sandbox() as session:
        assert code(session) == OK


def test_many_threads_that_ask_for_the_sandbox_get_the_same():
    with often_switching():
        sessions = in_threads(16, in_sandbox)
    assert len({session.base for session in sessions}) == 1
    in_threads(16, lambda: sessions.pop().close())
    assert sum(thread.name == "clarifai-sandbox-front" for thread in threading.enumerate()) <= 1


# --- a session and what is made from it ---


@pytest.mark.slow
def test_a_stub_its_method_or_the_channel_keeps_the_session(sandbox):
    credentials = Credentials(sandbox.keys.pat, base=sandbox.base)
    for part in (
        lambda session: session.stub,
        lambda session: session.stub.MyScopes,
        lambda session: session.stub.MyScopes.future,
        lambda session: session.aio_stub,
        lambda session: session.channel,
        lambda session: session.with_ids(app_id="main").stub,
    ):
        held = part(connect(credentials, verified=False))
        gc.collect()
        assert {sandbox.keys.pat} == registry.keys()
        del held
        gc.collect()
        assert not registry.keys()


@pytest.mark.parametrize("own_key", [True, False])
def test_a_call_that_is_under_way_keeps_the_session(own_key):
    found, go_on = find_credentials("sandbox"), threading.Event()

    def requests():
        yield prediction(0)
        go_on.wait(20)
        yield prediction(1)

    metadata = None if own_key else (("authorization", "Key another"),)
    stream = connect(found, verified=False).stub.StreamModelOutputs
    call = stream(requests(), metadata=metadata)
    del stream
    gc.collect()
    assert registry.keys() == {str.__str__(found.credentials.key)}
    go_on.set()
    assert len(list(call)) == 2


@pytest.mark.parametrize("own_key", [True, False])
def test_an_awaited_call_that_is_under_way_keeps_the_session(own_key):
    metadata = None if own_key else (("authorization", "Key another"),)

    async def calls():
        go_on = asyncio.Event()

        async def requests():
            yield prediction(0)
            await go_on.wait()
            yield prediction(1)

        found = find_credentials("sandbox")
        stream = connect(found, verified=False).aio_stub.StreamModelOutputs
        call = stream(requests(), metadata=metadata)
        del stream
        gc.collect()
        assert registry.keys() == {str.__str__(found.credentials.key)}
        go_on.set()
        return [answer async for answer in call]

    assert len(asyncio.run(calls())) == 2


CHILDREN = {
    "with_ids": lambda session: session.with_ids(app_id="recipes"),
    "for_workers": lambda session: session.for_workers(),
    "a child's child": lambda session: session.with_ids(app_id="recipes").for_workers(),
}


@pytest.mark.parametrize("make", CHILDREN.values(), ids=CHILDREN)
def test_children_end_with_their_parent(session, make):
    children = [make(session), make(session)]
    ended = []
    for child in children:
        internals(child).on_close(lambda child=child: ended.append(child))
        assert code(child) == OK
    session.close()
    session.close()
    assert set(ended) == set(children)
    assert len(ended) == 2
    assert not {session, *children} & set(registry)
    for child in children:
        assert internals(child).closed
        with pytest.raises(NotSignedInError):
            code(child)


@pytest.mark.parametrize("make", CHILDREN.values(), ids=CHILDREN)
def test_a_child_that_is_closed_ends_alone(session, make):
    one, other = make(session), make(session)
    one.close()
    with pytest.raises(NotSignedInError):
        code(one)
    assert code(session) == code(other) == OK
    assert one not in registry
    other.channel.close()
    assert code(session) == OK


def test_children_that_are_forgotten_are_not_kept(session):
    child = weakref.ref(session.with_ids(app_id="recipes"))
    gc.collect()
    assert child() is None
    assert len(registry) == 1


def test_a_child_keeps_its_parents_connection(sandbox):
    child = connect(Credentials(sandbox.keys.pat, base=sandbox.base)).with_ids(app_id="main")
    gc.collect()
    assert code(child) == OK


def handed_over_by_another_process(sandbox):
    """A session for workers, pickled where it was signed in."""
    program = (
        "import pickle, sys, clarifai_magic\n"
        "sys.stdout.buffer.write(pickle.dumps(clarifai_magic.connect().for_workers()))"
    )
    environment = {"CLARIFAI_PAT": sandbox.keys.pat, "CLARIFAI_API_BASE": sandbox.base}
    command = [sys.executable, "-c", program]
    return subprocess.check_output(command, env={**os.environ, **environment})


def test_a_worker_session_that_was_closed_is_not_handed_out_again(sandbox):
    given = handed_over_by_another_process(sandbox)
    workers = pickle.loads(given)
    assert pickle.loads(given) is workers
    workers.close()
    again = pickle.loads(given)
    assert again is not workers
    assert pickle.loads(given) is again
    assert code(again) == OK
    clarifai_magic.logout()
    assert again not in registry


def test_what_was_handed_over_before_logout_opens_nothing_afterwards(session, sandbox):
    workers = session.for_workers()
    given = pickle.dumps(workers)
    assert pickle.loads(given) is workers
    workers.close()
    again = pickle.loads(given)
    assert code(again) == OK  # the other was closed alone: the session that both belong to is open
    session.close()
    assert again not in registry
    with pytest.raises(NotSignedInError, match="has been signed out") as refused:
        pickle.loads(given)
    assert "\n" not in refused.value.message
    with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as fresh:
        workers = fresh.for_workers()
        assert pickle.loads(pickle.dumps(workers)) is workers
        with pytest.raises(NotSignedInError):
            pickle.loads(given)


@pytest.mark.slow
@pytest.mark.dev
def test_map_on_a_cluster_in_this_process_works_after_signing_in_again(sandbox):
    import distributed

    credentials = Credentials(sandbox.keys.pat, base=sandbox.base)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for _ in range(2):
            with connect(credentials) as session:
                answers = session.map("MyScopes", [SCOPES] * 4, progress=False, client=client)
                assert not answers.failures
            clarifai_magic.logout()


# --- after the end ---

AFTER = {
    "stub": lambda session: session.stub.ListModels(LIST_MODELS),
    "stub with metadata": lambda session: session.stub.ListModels(
        LIST_MODELS, metadata=session.metadata
    ),
    "stub without a key": lambda session: session.stub.ListModels(LIST_MODELS, metadata=()),
    "with_call": lambda session: session.stub.ListModels.with_call(LIST_MODELS),
    "future": lambda session: session.stub.ListModels.future(LIST_MODELS),
    "a stream": lambda session: session.stub.GenerateModelOutputs(
        service_pb2.PostModelOutputsRequest()
    ),
    "map": lambda session: session.map("MyScopes", [SCOPES], progress=False),
    "with_ids": lambda session: session.with_ids(app_id="recipes"),
    "for_workers": lambda session: session.for_workers(),
    "a block": lambda session: session.__enter__(),
    "an awaited call without a loop": lambda session: session.aio_stub.MyScopes(SCOPES),
    "subscribe": lambda session: session.channel.subscribe(print),
}


@pytest.mark.parametrize("use", AFTER.values(), ids=AFTER)
@pytest.mark.parametrize("used_before", [True, False])
def test_what_is_done_with_a_closed_session_is_refused_in_one_line(session, use, used_before):
    if used_before:
        assert code(session) == OK
        session.map("MyScopes", [SCOPES], progress=False)
    session.close()
    for _ in range(2):
        with pytest.raises(NotSignedInError) as caught:
            use(session)
        assert caught.value.message == "This session is closed."
    assert not _threads("clarifai-loop")


def test_a_session_for_workers_that_has_ended_gives_nobody_the_key(session):
    workers = session.for_workers()
    session.close()
    with pytest.raises(NotSignedInError, match="This session is closed"):
        pickle.dumps(workers)


def test_awaited_calls_of_a_closed_session_are_refused(session):
    async def calls():
        await session.aio_stub.MyScopes(SCOPES)
        stub = session.aio_stub
        session.close()
        for refused in (
            lambda: stub.MyScopes(SCOPES),
            lambda: stub.MyScopes(SCOPES, metadata=()),
            lambda: session.aio_stub.MyScopes(SCOPES),
            lambda: session.amap("MyScopes", [SCOPES], progress=False),
        ):
            with pytest.raises(NotSignedInError):
                await refused()

    asyncio.run(calls())


def test_on_close_runs_backwards_and_at_once_after_the_end(session):
    parts, called = internals(session), []
    parts.on_close(lambda: called.append("first"))
    parts.on_close(lambda: called.append("second"))
    session.close()
    assert called == ["second", "first"]
    parts.on_close(lambda: called.append("late"))
    parts.on_close(lambda: called.append("later"))
    assert called == ["second", "first", "late", "later"]


def test_a_callback_that_fails_or_closes_again_keeps_none_of_the_others(session):
    parts, called = internals(session), []
    parts.on_close(lambda: called.append("last"))
    parts.on_close(lambda: 1 / 0)
    parts.on_close(session.close)
    parts.on_close(lambda: parts.on_close(lambda: called.append("nested")))
    with pytest.raises(ZeroDivisionError):
        session.close()
    assert called == ["nested", "last"]
    assert session not in registry


def test_closing_from_many_threads_does_everything_once(sandbox):
    for _ in range(20):
        session = connect(Credentials(sandbox.keys.pat, base=sandbox.base), verified=False)
        children, called = [session.with_ids(app_id=f"app-{n}") for n in range(8)], []
        for each in (session, *children):
            internals(each).on_close(lambda called=called: called.append(None))
        with often_switching():
            in_threads(16, session.close)
        assert len(called) == 9
        assert not len(registry)


@pytest.mark.slow
def test_a_child_that_is_made_while_the_parent_closes_is_closed_or_refused(sandbox):
    for _ in range(20):
        session = connect(Credentials(sandbox.keys.pat, base=sandbox.base), verified=False)
        made = []

        def make(session=session, made=made):
            try:
                while True:
                    made.append(session.with_ids(app_id="recipes"))
            except NotSignedInError:
                pass

        with often_switching():
            threads = [threading.Thread(target=make) for _ in range(4)]
            for thread in threads:
                thread.start()
            session.close()
            for thread in threads:
                thread.join(30)
        assert all(internals(child).closed for child in made)
        assert not len(registry)


def _threads(name):
    return [thread for thread in threading.enumerate() if thread.name == name]


def awaited(session):
    async def call():
        return (await session.aio_stub.MyScopes(SCOPES, timeout=20)).status.code

    return asyncio.run(call())


def test_a_child_that_is_closed_makes_no_more_calls_though_its_parent_does(sandbox):
    """Its callables have made some before, on the connection that both share."""
    with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as session:
        child = session.with_ids(app_id="main")

        async def several():
            stub = child.aio_stub
            assert (await stub.MyScopes(SCOPES, timeout=20)).status.code == OK
            child.close()
            with pytest.raises(NotSignedInError):
                await stub.MyScopes(SCOPES, timeout=20)

        assert code(child) == OK
        asyncio.run(several())
        with pytest.raises(NotSignedInError):
            code(child)
        assert code(session) == awaited(session) == OK
