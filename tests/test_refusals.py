"""Refused calls in later cells: one line that says what is missing and what to do."""

from __future__ import annotations

import warnings

import grpc
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect, explain
from clarifai_magic.errors import KeyRejectedError
from clarifai_magic.statuses import FIRST, LAST, WORDS, words

pytestmark = pytest.mark.filterwarnings("always::clarifai_magic.errors.ClarifaiAuthWarning")
CODES = status_code_pb2.StatusCode.DESCRIPTOR.values


@pytest.fixture
def signed_in(sandbox):
    sessions = []

    def sign_in(key, **ids):
        session = connect(Credentials(getattr(sandbox.keys, key), base=sandbox.base, **ids))
        sessions.append(session)
        return session

    yield sign_in
    for session in sessions:
        session.close()


def prediction():
    return service_pb2.PostModelOutputsRequest(
        model_id="pets", inputs=[resources_pb2.Input(data={"text": {"raw": "a cat"}})]
    )


CALLS = {
    "unary": lambda stub: stub.PostConcepts(service_pb2.PostConceptsRequest()),
    "with_call": lambda stub: stub.PostConcepts.with_call(service_pb2.PostConceptsRequest())[0],
    "future": lambda stub: stub.PostConcepts.future(service_pb2.PostConceptsRequest()).result(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_missing_scope_is_named_once_and_the_response_is_as_it_was(signed_in, call):
    stub = signed_in("scoped_pat", user_id="alice", app_id="main").stub
    with pytest.warns(ClarifaiAuthWarning, match=r"lacks Concepts:Add\. Give the key") as caught:
        response = call(stub)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert response.status.code == status_code_pb2.CONN_INSUFFICIENT_SCOPES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(stub)
    assert call(stub).status.code == response.status.code


def test_streams_warn_too(signed_in):
    stub = signed_in("pat").stub
    with pytest.warns(ClarifaiAuthWarning, match="a PAT needs an app ID here") as caught:
        (response,) = stub.GenerateModelOutputs(prediction())
    assert len(caught) == 1
    assert response.status.code == status_code_pb2.CONN_KEY_INVALID


def test_a_method_for_pats_alone_says_so_to_an_api_key(signed_in):
    stub = signed_in("api_key").stub
    with pytest.warns(ClarifaiAuthWarning, match="PostApps takes a PAT, and this is an API key"):
        stub.PostApps(service_pb2.PostAppsRequest())


def test_what_succeeds_warns_of_nothing(signed_in):
    stub = signed_in("pat", app_id="main").stub
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stub.PostModelOutputs(prediction()).outputs


def test_a_filter_that_makes_warnings_errors_does_not_replace_the_response(signed_in):
    stub = signed_in("api_key").stub
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = stub.PostApps(service_pb2.PostAppsRequest())
    assert response.status.code == status_code_pb2.CONN_AUTH_METHOD_DISABLED


def test_config_turns_warnings_off_and_on(shell, environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    shell.run("%clarifai_auth\n%config ClarifaiMagics.warn = False")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shell.run("_ = stub.PostApps(service_pb2.PostAppsRequest())")
    shell.run("%config ClarifaiMagics.warn = True")
    with pytest.warns(ClarifaiAuthWarning, match="takes a PAT"):
        shell.run("_ = stub.PostApps(service_pb2.PostAppsRequest())")


@pytest.mark.parametrize("code", [v.number for v in CODES if FIRST <= v.number <= LAST])
def test_every_status_about_the_connection_has_words_of_its_own(code):
    assert code in WORDS
    error, wrong, remedy = words(code)
    assert wrong
    assert remedy.endswith(".")
    assert [other for other in WORDS if WORDS[other] == (error, wrong, remedy)] == [code]


@pytest.mark.parametrize("code", [v.number for v in CODES if v.number])
def test_every_status_of_the_api_can_be_explained(code):
    text = repr(explain(code))
    assert text.startswith(f"{code} {status_code_pb2.StatusCode.Name(code)}: ")
    assert "FIXME" not in text
    assert len(text.splitlines()) <= 3


def test_an_explanation_takes_responses_statuses_and_errors(signed_in):
    missing = signed_in("pat", app_id="main").stub.GetModel(
        service_pb2.GetModelRequest(model_id="nope")
    )
    assert "model_id 'nope' not found" in repr(explain(missing))
    assert repr(explain(missing.status)) == repr(explain(missing))
    assert "succeeded" in repr(explain(status_code_pb2.SUCCESS))
    assert "key-rejected: no" in repr(explain(KeyRejectedError("no", "try again")))
    with pytest.raises(TypeError, match="A list has no status"):
        explain([])


def test_a_failed_call_can_be_explained(signed_in):
    session = signed_in("pat")
    with pytest.raises((grpc.RpcError, ValueError)) as caught:
        session.stub.ListModels(service_pb2.ListModelsRequest(), metadata=(("a", "b\n"),))
    if isinstance(caught.value, ValueError):
        pytest.skip("this gRPC looks at metadata before the call")
    assert "a character that no header can have" in repr(explain(caught.value))


@given(st.text(max_size=2000))
def test_the_apis_own_words_stay_text_on_one_line(text):
    status = status_pb2.Status(code=status_code_pb2.MODEL_DOES_NOT_EXIST)
    status.details = text.encode("utf-8", "replace").decode()
    shown = repr(explain(status))
    assert len(shown.splitlines()) <= 3
    assert all(character.isprintable() or character == "\n" for character in shown)
