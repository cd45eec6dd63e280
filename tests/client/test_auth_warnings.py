"""Refused calls in later cells: one line that says what is missing and what to do."""

from __future__ import annotations

import asyncio
import linecache
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import grpc
import kernel
import pytest
from answering import Api, refusal
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from support import CANARY

from clarifai_magic import ClarifaiAuthWarning, Credentials, connect, explain
from clarifai_magic.api.statuses import WORDS, words
from clarifai_magic.errors import KeyRejectedError

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
    with pytest.warns(ClarifaiAuthWarning, match="PostApps takes a PAT, but this is an API key"):
        stub.PostApps(service_pb2.PostAppsRequest())


def _source(warning):
    """The line that a warning is about."""
    return linecache.getline(warning.filename, warning.lineno).strip()


@pytest.mark.parametrize("kind", ["__call__", "with_call"])
def test_a_warning_is_about_the_line_that_made_the_call(signed_in, kind):
    stub = signed_in("scoped_pat", user_id="alice", app_id="main").stub
    call = getattr(stub.PostConcepts, kind)
    with pytest.warns(ClarifaiAuthWarning, match="PostConcepts was refused") as caught:
        call(service_pb2.PostConceptsRequest())
    assert _source(caught[0]) == "call(service_pb2.PostConceptsRequest())"


def test_a_call_that_is_awaited_is_warned_of_at_its_line(signed_in):
    stub = signed_in("api_key").aio_stub

    async def post():
        return await stub.PostApps(service_pb2.PostAppsRequest())

    with pytest.warns(ClarifaiAuthWarning, match="PostApps was refused") as caught:
        asyncio.run(post())
    assert _source(caught[0]) == "return await stub.PostApps(service_pb2.PostAppsRequest())"


def test_where_no_line_waits_for_the_response_the_warning_is_about_the_method(signed_in):
    session = signed_in("api_key")

    async def in_a_task():
        await asyncio.ensure_future(session.aio_stub.PostApps(service_pb2.PostAppsRequest()))

    def everywhere():
        session.stub.PatchApp.future(service_pb2.PatchAppRequest()).result()
        session.map("PatchApps", [service_pb2.PatchAppsRequest()], progress=False)
        asyncio.run(in_a_task())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(session.stub.DeleteApp, service_pb2.DeleteAppRequest()).result()

    with pytest.warns(ClarifaiAuthWarning) as caught:
        everywhere()
    assert {each.filename for each in caught} == {"PostApps", "PatchApp", "PatchApps", "DeleteApp"}


@pytest.mark.parametrize("code", [10020, 11100, 11101, 11103, 11105, 21200, 40001, 0])
def test_what_is_no_fault_of_the_key_is_no_warning(code):
    with Api().serving() as api, _unverified(api) as session:
        api.answers["GetModel"] = refusal("GetModel", code)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            session.stub.GetModel(service_pb2.GetModelRequest(model_id="is-it-there"))
            session.stub.GetModel.future(service_pb2.GetModelRequest()).result()


PUBLIC = "general-image-recognition"
OF_CLARIFAI = {"user_id": "clarifai", "app_id": "main"}
TEXT = [resources_pb2.Input(data={"text": {"raw": "a cat"}})]


def asked_to_predict(model_id=PUBLIC, **ids):
    return service_pb2.PostModelOutputsRequest(model_id=model_id, user_app_id=ids, inputs=TEXT)


@pytest.mark.parametrize("user_id", ["", "alice", "me"])
def test_a_public_model_that_is_asked_with_ones_own_ids_is_told_of_its_own(signed_in, user_id):
    stub = signed_in("pat", app_id="main").stub
    ids = {"user_id": user_id, "app_id": user_id and "main"}
    with pytest.warns(ClarifaiAuthWarning, match="give the request user_id='clarifai'") as caught:
        response = stub.PostModelOutputs(asked_to_predict(**ids))
    assert len(caught) == 1
    assert stub.PostModelOutputs(asked_to_predict(**OF_CLARIFAI)).outputs
    assert "user_id='clarifai', app_id='main'" in repr(explain(response))


def test_an_awaited_prediction_and_a_workflow_are_told_too(signed_in):
    session = signed_in("pat", app_id="main")

    async def predict():
        return await session.aio_stub.PostModelOutputs(asked_to_predict())

    with pytest.warns(ClarifaiAuthWarning, match="PostModelOutputs was refused") as caught:
        asyncio.run(predict())
    assert _source(caught[0]).startswith("return await session.aio_stub")
    with pytest.warns(ClarifaiAuthWarning, match="PostWorkflowResults was refused"):
        session.stub.PostWorkflowResults(
            service_pb2.PostWorkflowResultsRequest(workflow_id="General", inputs=TEXT)
        )


@pytest.mark.parametrize("ids", [{}, OF_CLARIFAI])
def test_an_api_key_is_told_that_public_models_take_a_pat(signed_in, ids):
    with pytest.warns(ClarifaiAuthWarning, match="sign in with a PAT and give the request"):
        signed_in("api_key").stub.PostModelOutputs(asked_to_predict(**ids))


def test_a_slip_in_a_name_is_no_warning_where_the_ids_are_others(signed_in):
    stub = signed_in("pat", app_id="main").stub
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stub.GetModel(service_pb2.GetModelRequest(model_id=PUBLIC))
        stub.PostModelOutputs(asked_to_predict("general-picture-recognition", **OF_CLARIFAI))
        stub.PostInputs(service_pb2.PostInputsRequest(user_app_id={"app_id": "nowhere"}))


@pytest.mark.parametrize("code", [*range(11000, 11010), 11102, 11104, 11200])
def test_what_is_the_keys_or_the_plans_fault_is_a_warning(code):
    with Api().serving() as api, _unverified(api) as session:
        api.answers["GetModel"] = refusal("GetModel", code)
        with pytest.warns(ClarifaiAuthWarning, match=str(code)):
            session.stub.GetModel(service_pb2.GetModelRequest())


def _unverified(api):
    credentials = Credentials(CANARY, base=api.base)
    return connect(credentials, verified=False, retries=False)


@pytest.mark.slow
def test_a_notebook_shows_the_cells_own_line(environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    cell = "request = service_pb2.PostAppsRequest()\n_ = stub.PostApps(request)"
    *_, shown = kernel.run(kernel.LOAD, "%clarifai_auth", cell)
    assert re.search(r":2: ClarifaiAuthWarning: PostApps was refused \(11200", shown)
    assert "_ = stub.PostApps(request)" in shown


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


@pytest.mark.parametrize("code", [v.number for v in CODES if 11000 <= v.number <= 11200])
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
    # A gRPC that looks at metadata before the call has its own errors, and no status.
    with pytest.raises((grpc.RpcError, ValueError, TypeError)) as caught:
        session.stub.ListModels(service_pb2.ListModelsRequest(), metadata=(("a", "b\n"),))
    if isinstance(caught.value, grpc.RpcError):
        assert "it could not send or read a header" in repr(explain(caught.value))


@pytest.mark.slow
@given(st.text(max_size=2000))
def test_the_apis_own_words_stay_text_on_one_line(text):
    status = status_pb2.Status(code=status_code_pb2.MODEL_DOES_NOT_EXIST)
    status.details = text.encode("utf-8", "replace").decode()
    shown = repr(explain(status))
    assert len(shown.splitlines()) <= 3
    assert all(character.isprintable() or character == "\n" for character in shown)
