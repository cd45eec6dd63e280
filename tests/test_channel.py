"""Calls through a session: authorised and about its IDs, unless the caller says otherwise."""

from __future__ import annotations

import pickle

import grpc
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf.empty_pb2 import Empty

from clarifai_magic import Credentials, connect
from clarifai_magic.errors import SecretError
from clarifai_magic.scopes import methods, routes
from clarifai_magic.wire import with_default_ids

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
