"""Calls through a session: authorised and about its IDs, unless the caller says otherwise."""

from __future__ import annotations

import asyncio
import pickle
import socket

import grpc
import pytest
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf.empty_pb2 import Empty
from ports import free_ports
from support import CANARY

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect
from clarifai_magic.api.scopes import methods, routes
from clarifai_magic.client.defaults import with_default_ids
from clarifai_magic.client.internals import internals
from clarifai_magic.client.stub import make_stub
from clarifai_magic.errors import SecretError, UnreachableError
from clarifai_magic.notebook.form.choice import organisations
from clarifai_magic.sandbox import Sandbox

OK = status_code_pb2.SUCCESS
IDS = resources_pb2.UserAppIDSet(user_id="alice", app_id="x" * 200)


@pytest.fixture
def session(sandbox):
    with connect(
        Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    ) as session:
        yield session


def prediction(**ids):
    return service_pb2.PostModelOutputsRequest(
        user_app_id=resources_pb2.UserAppIDSet(**ids),
        model_id="general-image-recognition",
        inputs=[resources_pb2.Input(data={"text": {"raw": "a cat and a dog"}})],
    )


def test_the_stub_is_the_generated_one(session):
    assert isinstance(session.stub, service_pb2_grpc.V2Stub)
    assert isinstance(session.stub.ListModels, grpc.UnaryUnaryMultiCallable)


def test_a_call_without_metadata_and_ids_is_made_with_the_sessions(session):
    request = service_pb2.ListModelsRequest()
    response = session.stub.ListModels(request)
    assert response.status.code == OK
    assert {model.app_id for model in response.models} == {"main"}
    assert request == service_pb2.ListModelsRequest()


def test_a_call_as_documented_with_metadata_and_ids_works(session):
    response = session.stub.ListModels(
        service_pb2.ListModelsRequest(user_app_id=session.userDataObject),
        metadata=session.metadata,
    )
    assert response.status.code == OK


def test_extra_metadata_may_stand_beside_the_sessions(session):
    metadata = [*session.metadata, ("x-clarifai-request-id-prefix", "test")]
    assert session.stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata).models


def test_a_request_that_sets_one_id_is_left_as_it_is(session):
    response = session.stub.PostModelOutputs(prediction(user_id="clarifai", app_id="main"))
    assert response.status.code == OK
    ids = resources_pb2.UserAppIDSet(app_id="recipes")
    models = session.stub.ListModels(service_pb2.ListModelsRequest(user_app_id=ids)).models
    assert "main" not in {model.app_id for model in models}


def test_a_call_with_another_key_gets_none_of_the_sessions_ids(session, sandbox):
    foreign = (("authorization", "Key " + sandbox.keys.other_pat),)
    apps = session.stub.ListApps(service_pb2.ListAppsRequest(), metadata=foreign).apps
    assert [app.id for app in apps] == ["attic"]


def test_a_caller_may_send_no_key_at_all(session):
    response = session.stub.ListModels(service_pb2.ListModelsRequest(), metadata=())
    assert response.status.code == status_code_pb2.CONN_INVALID_REQUEST


def test_future_and_with_call_are_authorised_too(session):
    assert session.stub.ListModels.future(service_pb2.ListModelsRequest()).result().models
    response, call = session.stub.ListModels.with_call(service_pb2.ListModelsRequest())
    assert response.models
    assert call.code() is grpc.StatusCode.OK


def test_streams_are_authorised_and_get_ids_in_each_request(session):
    request = prediction()
    request.model_id = session.stub.ListModels(service_pb2.ListModelsRequest()).models[0].id
    assert [each.status.code for each in session.stub.GenerateModelOutputs(request)] == [OK]
    outputs = list(session.stub.StreamModelOutputs(iter([request, request])))
    assert [each.status.code for each in outputs] == [OK, OK]
    assert not request.HasField("user_app_id") or not request.user_app_id.user_id


def test_a_stub_that_a_sample_makes_from_the_channel_is_signed_in(session):
    stub = service_pb2_grpc.V2Stub(session.channel)
    assert stub.ListModels(service_pb2.ListModelsRequest()).status.code == OK


@pytest.mark.parametrize("method", methods())
def test_ids_are_added_for_every_method_that_has_a_place_for_them(method):
    request = methods()[method].input_type._concrete_class()
    serialize = with_default_ids(f"/clarifai.api.V2/{method}", type(request).SerializeToString, IDS)
    parsed = type(request).FromString(serialize(request))
    if "user_app_id" not in methods()[method].input_type.fields_by_name:
        assert parsed == request
        return
    route = routes(method)[0]
    user_only = route.names_user and not route.names_app
    assert parsed.user_app_id.user_id == "alice"
    assert parsed.user_app_id.app_id == ("" if user_only else IDS.app_id)
    assert not request.HasField("user_app_id")


def test_a_message_of_the_wrong_type_fails_as_with_the_bare_stub(session):
    with pytest.raises(grpc.RpcError) as caught:
        session.stub.ListModels(Empty())
    assert caught.value.code() is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("part", ["stub", "channel", "metadata"])
def test_parts_that_hold_the_key_are_not_pickled(session, part):
    with pytest.raises(SecretError, match="for_workers"):
        pickle.dumps(getattr(session, part))


EXTRA = ("x-clarifai-request-id-prefix", "test")


@pytest.mark.parametrize(
    "metadata",
    [
        (EXTRA,),
        [EXTRA],
        [list(EXTRA)],
        grpc.aio.Metadata(EXTRA),
        [EXTRA, ("trace-bin", b"\0\1")],
    ],
    ids=["tuple", "list", "of lists", "aio.Metadata", "two"],
)
@pytest.mark.parametrize("way", ["call", "with_call", "future", "stream", "awaited"])
def test_metadata_without_a_key_is_sent_beside_the_sessions(session, metadata, way):
    """And the call is the session's in all else: about its IDs, retried."""
    stub, request = session.stub, service_pb2.ListModelsRequest()
    generation = prediction()
    generation.model_id = stub.ListModels(request).models[0].id

    async def awaited():
        return await session.aio_stub.ListModels(request, metadata=metadata)

    ways = {
        "call": lambda: stub.ListModels(request, metadata=metadata),
        "with_call": lambda: stub.ListModels.with_call(request, metadata=metadata)[0],
        "future": lambda: stub.ListModels.future(request, metadata=metadata).result(),
        "stream": lambda: next(stub.GenerateModelOutputs(generation, metadata=metadata)),
        "awaited": lambda: asyncio.run(awaited()),
    }
    assert ways[way]().status.code == OK


@pytest.mark.parametrize("nothing", [(), [], grpc.aio.Metadata()], ids=repr)
def test_empty_metadata_sends_no_key(session, nothing):
    async def awaited():
        return await session.aio_stub.ListModels(service_pb2.ListModelsRequest(), metadata=nothing)

    response = session.stub.ListModels(service_pb2.ListModelsRequest(), metadata=nothing)
    assert response.status.code == status_code_pb2.CONN_INVALID_REQUEST
    assert asyncio.run(awaited()).status.code == status_code_pb2.CONN_INVALID_REQUEST


def test_the_sessions_key_among_other_metadata_is_still_the_sessions(session):
    own = ("authorization", "Key " + internals(session).found.credentials.key)
    for metadata in ([EXTRA, own], [own, EXTRA], [list(own)], grpc.aio.Metadata(own)):
        models = session.stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata).models
        assert {model.app_id for model in models} == {"main"}


def test_calls_without_ids_stay_about_the_sessions_whatever_becomes_of_the_message(session):
    """All methods alike, called before or not, waiting or awaited."""

    async def awaited():
        return await session.aio_stub.ListModels(service_pb2.ListModelsRequest())

    def apps():
        answers = [
            session.stub.ListModels(service_pb2.ListModelsRequest()).models,
            session.stub.ListWorkflows(service_pb2.ListWorkflowsRequest()).workflows,
            asyncio.run(awaited()).models,
        ]
        return {each.app_id for answer in answers for each in answer}

    assert session.stub.ListModels(service_pb2.ListModelsRequest()).models
    session.userDataObject.app_id = "recipes"
    assert apps() == {"main"}
    assert apps() == {"main"}
    asked = service_pb2.ListModelsRequest(user_app_id=session.userDataObject)
    assert "main" not in {each.app_id for each in session.stub.ListModels(asked).models}


def test_the_stub_has_what_the_generated_constructor_makes():
    """From the descriptors, for that reads a global which others set."""

    class Recording:
        def __init__(self):
            self.made = {}

        def __getattr__(self, kind):
            def make(method, request_serializer, response_deserializer):
                reader = response_deserializer.__self__
                self.made[method] = kind, request_serializer.__qualname__, reader.DESCRIPTOR
                return method

            return make

    ClarifaiChannel.get_insecure_grpc_channel("localhost", 1).close()
    ours, generated = Recording(), Recording()
    assert vars(make_stub(ours)) == vars(service_pb2_grpc.V2Stub(generated))
    assert ours.made == generated.made


def test_json_channels_and_stubs_of_others_are_left_alone(session, sandbox):
    """Whichever was made first, and stubbed last."""
    theirs = ClarifaiChannel.get_json_channel(sandbox.base)
    assert session.stub.ListModels(service_pb2.ListModelsRequest()).status.code == OK
    own = service_pb2_grpc.V2Stub(session.channel)
    assert own.ListModels(service_pb2.ListModelsRequest()).status.code == OK
    refused = own.GenerateModelOutputs(service_pb2.PostModelOutputsRequest())
    assert [type(each) for each in refused] == [service_pb2.MultiOutputResponse]
    response = service_pb2_grpc.V2Stub(theirs).ListModels(
        service_pb2.ListModelsRequest(user_app_id=session.userDataObject),
        metadata=session.metadata,
    )
    assert response.status.code == OK


def test_bytes_can_be_sent_and_read_as_they_are(session):
    call = session.channel.unary_unary("/clarifai.api.V2/ListModels")
    request = service_pb2.ListModelsRequest(user_app_id=session.userDataObject)
    response = service_pb2.MultiModelResponse.FromString(call(request.SerializeToString()))
    assert response.status.code == OK


def test_a_host_may_be_called_like_a_scheme_of_grpcs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as file:
        file.bind("8443")
        file.listen()
        file.setblocking(False)
        credentials = Credentials(CANARY, base="http://unix:8443")
        with (
            pytest.warns(ClarifaiAuthWarning, match="not encrypted"),
            pytest.raises(UnreachableError),
        ):
            connect(credentials, timeout=5)
        with pytest.raises(BlockingIOError):
            file.accept()


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"])
def test_calls_to_this_machine_go_through_no_proxy(monkeypatch, name):
    for each in (name, name.upper()):
        monkeypatch.setenv(each, "http://127.0.0.1:9")

    async def awaited(session):
        return await session.aio_stub.ListModels(service_pb2.ListModelsRequest())

    # One that the system gives to nobody, who would have it on localhost's other address.
    [port] = free_ports(1)
    with Sandbox(port=port) as sandbox:
        for base in (sandbox.base, sandbox.base.replace("127.0.0.1", "localhost")):
            with connect(Credentials(sandbox.keys.pat, app_id="main", base=base)) as session:
                assert session.stub.ListModels(service_pb2.ListModelsRequest()).models
                assert asyncio.run(awaited(session)).models
                assert organisations(session)


@pytest.mark.parametrize("metadata", [None, (("x-request-id", "1"),)])
def test_a_reader_of_the_callers_own_may_give_anything(session, metadata):
    def call(kind, name, read):
        make = getattr(session.channel, kind)
        request = service_pb2.ListModelsRequest.SerializeToString
        return make(f"/clarifai.api.V2/{name}", request, read)

    models = call("unary_unary", "ListModels", lambda data: {"bytes": len(data)})
    asked = service_pb2.ListModelsRequest()
    for answer in (
        models(asked, metadata=metadata),
        models.with_call(asked, metadata=metadata)[0],
        models.future(asked, metadata=metadata).result(),
    ):
        assert answer["bytes"] > 0
