"""Calls that are awaited: authorised and about the session's IDs, in whichever loop."""

from __future__ import annotations

import asyncio
import gc
import threading

import grpc
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import prediction

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import NotSignedInError

OK = status_code_pb2.SUCCESS
LIST_MODELS = service_pb2.ListModelsRequest()


@pytest.fixture
def session(sandbox):
    credentials = Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    with connect(credentials) as session:
        yield session


async def listed(session, **options):
    return await session.aio_stub.ListModels(LIST_MODELS, **options)


def test_the_stub_is_the_generated_one(session):
    assert isinstance(session.aio_stub, service_pb2_grpc.V2Stub)
    assert session.aio_stub is session.aio_stub


def test_a_call_without_metadata_and_ids_is_made_with_the_sessions(session):
    models = asyncio.run(listed(session)).models
    assert {model.app_id for model in models} == {"main"}
    assert not LIST_MODELS.HasField("user_app_id")


def test_a_call_as_documented_with_metadata_and_ids_works(session):
    async def call():
        request = service_pb2.ListModelsRequest(user_app_id=session.userDataObject)
        return await session.aio_stub.ListModels(request, metadata=session.metadata)

    assert asyncio.run(call()).status.code == OK


def test_a_call_with_another_key_gets_none_of_the_sessions_ids(session, sandbox):
    async def call():
        foreign = (("authorization", "Key " + sandbox.keys.other_pat),)
        return await session.aio_stub.ListApps(service_pb2.ListAppsRequest(), metadata=foreign)

    assert [app.id for app in asyncio.run(call()).apps] == ["attic"]


def test_extra_metadata_may_stand_beside_the_sessions(session):
    metadata = [*session.metadata, ("x-clarifai-request-id-prefix", "test")]
    assert asyncio.run(listed(session, metadata=metadata)).models


def test_one_stub_serves_loops_one_after_the_other_and_side_by_side(session):
    stub, answers = session.aio_stub, []

    async def call():
        answers.append((await stub.ListModels(LIST_MODELS)).status.code)

    for _ in range(3):
        asyncio.run(call())
    threads = [threading.Thread(target=asyncio.run, args=(call(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [OK] * 6


def channels():
    gc.collect()
    return sum(isinstance(each, grpc.aio.Channel) for each in gc.get_objects())


def test_loops_that_ended_leave_no_channels(session):
    before = channels()
    for _ in range(10):
        asyncio.run(listed(session))
    assert channels() <= before + 1


def test_many_calls_at_once_and_the_tools_of_asyncio_work(session):
    async def calls():
        stub = session.aio_stub
        answers = await asyncio.gather(*(stub.PostModelOutputs(prediction(i)) for i in range(20)))
        last = await asyncio.wait_for(stub.ListModels(LIST_MODELS), timeout=20)
        task = asyncio.ensure_future(stub.ListModels(LIST_MODELS))
        return [*(answer.outputs[0].input.id for answer in answers)], last, await task

    ids, last, task = asyncio.run(calls())
    assert ids == [f"item-{i}" for i in range(20)]
    assert last.models == task.models


def test_a_calls_own_methods_are_there(session):
    async def call():
        call = session.aio_stub.ListModels(LIST_MODELS, timeout=20)
        await call
        return await call.code(), call.done(), repr(call)

    code, done, shown = asyncio.run(call())
    assert code is grpc.StatusCode.OK
    assert done
    assert internals(session).found.credentials.key.encode().decode() not in shown


def test_a_call_can_be_cancelled(session):
    async def call():
        call = session.aio_stub.ListModels(LIST_MODELS)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(call())


def test_streams_are_authorised_and_get_ids(session):
    async def call():
        request = service_pb2.PostModelOutputsRequest(
            model_id=(await listed(session)).models[0].id,
            inputs=[resources_pb2.Input(data={"text": {"raw": "a cat"}})],
        )
        generated = [each async for each in session.aio_stub.GenerateModelOutputs(request)]
        streamed = session.aio_stub.StreamModelOutputs(iter([request, request]))
        return [each.status.code for each in [*generated, *[s async for s in streamed]]]

    assert asyncio.run(call()) == [OK] * 3


@pytest.mark.filterwarnings("always::clarifai_magic.errors.ClarifaiAuthWarning")
def test_a_refused_call_warns_once(sandbox):
    credentials = Credentials(
        sandbox.keys.scoped_pat, user_id="alice", app_id="main", base=sandbox.base
    )

    async def calls(session):
        for _ in range(2):
            await session.aio_stub.PostConcepts(service_pb2.PostConceptsRequest())

    with (
        connect(credentials) as session,
        pytest.warns(ClarifaiAuthWarning, match="lacks Concepts:Add") as caught,
    ):
        asyncio.run(calls(session))
    assert len(caught) == 1


def test_after_the_session_is_closed_a_call_says_so(session):
    stub = session.aio_stub
    asyncio.run(listed(session))

    async def closed_meanwhile():
        await stub.ListModels(LIST_MODELS)
        session.close()
        with pytest.raises(NotSignedInError, match="closed"):
            await stub.ListModels(LIST_MODELS)

    asyncio.run(closed_meanwhile())
    with pytest.raises(NotSignedInError, match="clarifai_auth"):
        asyncio.run(listed(session))
