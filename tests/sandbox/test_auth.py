"""Who may call what, with the codes of the live service."""

from __future__ import annotations

import time

import pytest
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.api import scopes
from clarifai_magic.api.scopes import Auth

PREDICT = {"model_id": "general-image-recognition"}


@pytest.mark.slow
@pytest.mark.parametrize("method", list(scopes.methods()))
def test_every_method_demands_its_kind_of_key(method: str, with_header, alice, app_key):
    auth = scopes.requirement(method).auth
    if auth is Auth.NONE:
        assert with_header("").code(method) != codes.CONN_INVALID_REQUEST
        return
    assert with_header("").code(method) == codes.CONN_INVALID_REQUEST
    assert with_header("Key " + "0" * 32).code(method) == codes.CONN_KEY_NOT_FOUND
    disabled = codes.CONN_AUTH_METHOD_DISABLED
    assert (app_key.code(method) == disabled) is (auth is not Auth.KEY)
    assert (alice.code(method) == disabled) is (auth is Auth.SESSION)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("key " + "0" * 32, codes.CONN_INVALID_REQUEST),
        ("Bearer " + "0" * 32, codes.CONN_INVALID_REQUEST),
        ("Key ", codes.CONN_INVALID_REQUEST),
        ("Key short", codes.CONN_KEY_INVALID),
        ("Key " + "A" * 32, codes.CONN_KEY_INVALID),
        ("Key " + "0" * 33, codes.CONN_KEY_INVALID),
    ],
)
def test_a_malformed_header_is_told_from_a_malformed_key(with_header, header: str, code: int):
    status = with_header(header)("ListApps", "me").status
    assert status.code == code
    assert status.description
    assert status.details
    assert len(status.req_id) == 32


def test_a_revoked_key_is_unknown(sandbox, client):
    revoked = client(sandbox, sandbox.keys.revoked_key)
    assert revoked.code("MyScopes") == codes.CONN_KEY_NOT_FOUND


def test_my_scopes_tells_the_kinds_of_key_apart(sandbox, client, alice, app_key):
    pat, key = alice("MyScopes"), app_key("MyScopes")
    assert (list(pat.scopes), pat.app.id) == (["All"], "")
    assert (list(key.scopes), key.app.user_id, key.app.id) == (["All"], "alice", "main")
    scoped = client(sandbox, sandbox.keys.scoped_pat)
    assert "Predict" in scoped("MyScopes").scopes
    assert "All" not in scoped("MyScopesUser", "me").scopes
    assert alice("GetUser", "me").user.id == "alice"
    assert scoped.code("GetUser", "me") == codes.CONN_INSUFFICIENT_SCOPES


def test_what_a_key_lacks_is_named_as_the_documentation_spells_it(sandbox, client, text):
    for key in (sandbox.keys.scoped_pat, sandbox.keys.scoped_api_key):
        scoped = client(sandbox, key)
        status = scoped("PostInputs", "alice/main", inputs=[text("hello")]).status
        assert status.code == codes.CONN_INSUFFICIENT_SCOPES
        assert "Annotations:Add, Inputs:Add" in status.details
        assert scoped.code("ListInputs", "alice/main") == codes.SUCCESS


def test_a_pat_needs_the_app_where_an_api_key_does_not(alice, app_key):
    for method in ("ListInputs", "GetApp", "ListModels", "PostModelOutputs", "StreamModelOutputs"):
        status = alice(method).status
        assert status.code == codes.CONN_KEY_INVALID
        assert status.details == "Must provide app external ID in API authorizer"
    assert app_key("GetApp").app.id == "main"
    assert app_key("ListInputs").inputs


def test_a_pat_may_list_over_all_apps_of_a_user(alice):
    models = alice("ListModels", "me", per_page=100).models
    assert {model.app_id for model in models} == {"main", "recipes"}


def test_an_api_key_reaches_its_own_app_alone(app_key, text):
    gone = codes.CONN_DOES_NOT_EXIST
    for address in ("alice/recipes", "bob/attic", "clarifai/main", "alice/mian"):
        assert app_key.code("GetApp", address) == gone
        assert app_key.code("MyScopes", address) == gone
        for method in ("PostModelOutputs", "StreamModelOutputs"):
            assert app_key.code(method, address, inputs=[text("hello")], **PREDICT) == gone


def test_a_private_app_of_another_looks_as_one_that_is_not_there(alice):
    private, absent = alice("GetApp", "bob/attic").status, alice("GetApp", "bob/atta").status
    assert private.code == absent.code == codes.CONN_DOES_NOT_EXIST
    assert private.details == absent.details.replace("atta", "attic")
    assert alice.code("ListApps", "bobb") == codes.CONN_DOES_NOT_EXIST
    assert alice.code("ListKeys", "bob") == codes.CONN_DOES_NOT_EXIST
    assert not alice("ListApps", "bob").apps


def test_a_public_app_is_for_reading_and_predicting(alice, text):
    output = alice("PostModelOutputs", "clarifai/main", inputs=[text("hello")], **PREDICT)
    assert output.outputs[0].data.concepts
    assert [app.id for app in alice("ListApps", "clarifai").apps] == ["main"]
    for method, fields in {"PostInputs": {"inputs": [text("x")]}, "DeleteApp": {}}.items():
        status = alice(method, "clarifai/main", **fields).status
        assert status.code == codes.CONN_INSUFFICIENT_SCOPES
    assert alice.code("PostApps", "clarifai", apps=[{"id": "x"}]) == codes.CONN_DOES_NOT_EXIST


@pytest.mark.parametrize("method", ["PostModelOutputs", "GenerateModelOutputs", "GetModel"])
def test_a_public_model_is_not_there_by_ones_own_ids(alice, app_key, text, method):
    inputs = {} if method == "GetModel" else {"inputs": [text("hello")]}
    for caller in (alice, app_key):
        status = caller(method, "alice/main", **PREDICT, **inputs).status
        assert status.code == codes.CONN_DOES_NOT_EXIST
        assert PREDICT["model_id"] in status.details
    assert alice.code(method, "clarifai/main", **PREDICT, **inputs) == codes.SUCCESS


def test_a_member_acts_for_the_organisation(alice, bob):
    assert [app.id for app in alice("ListApps", "acme").apps] == ["catalog", "press"]
    assert alice.code("PostConcepts", "acme/press", concepts=[{"id": "new"}]) == codes.SUCCESS
    assert bob.code("GetApp", "acme/press") == codes.CONN_DOES_NOT_EXIST


def test_a_collaborator_reaches_the_app(alice, bob):
    assert bob.code("ListInputs", "alice/recipes") == codes.CONN_DOES_NOT_EXIST
    invited = alice("PostCollaborators", "alice/recipes", collaborators=[{"user": {"id": "bob"}}])
    assert invited.app_owner.id == "alice"
    assert bob("ListInputs", "alice/recipes").inputs
    assert [c.app.id for c in bob("ListCollaborations", "me").collaborations] == ["recipes"]
    ids = [each.id for each in alice("ListCollaborators", "alice/recipes").collaborators]
    alice("DeleteCollaborators", "alice/recipes", collaborator_ids=ids)
    assert bob.code("ListInputs", "alice/recipes") == codes.CONN_DOES_NOT_EXIST


def test_a_new_key_opens_its_app_until_it_is_deleted(sandbox, client, alice):
    wanted = {"scopes": ["Inputs:Get", "Apps:Get"], "apps": [{"id": "recipes"}]}
    [made] = alice("PostKeys", "me", keys=[wanted]).keys
    new = client(sandbox, made.id)
    assert (made.type, new("MyScopes").app.id) == ("app_specific_key", "recipes")
    assert new.code("ListInputs") == codes.CONN_INSUFFICIENT_SCOPES
    endpoint = {"id": made.id, "endpoints": ["/clarifai.api.V2/ListInputs"]}
    alice("PatchKeys", "me", keys=[endpoint], action="merge")
    assert new("ListInputs").inputs
    assert [key.id for key in alice("ListAppKeys", "alice/recipes").keys] == [made.id]
    assert alice.code("DeleteKey", "me", key_id=made.id) == codes.SUCCESS
    assert new.code("MyScopes") == codes.CONN_KEY_NOT_FOUND
    assert made.id not in alice("DeleteKey", "me", key_id=made.id).status.details


def test_a_key_makes_no_key_that_may_do_more(sandbox, client, alice):
    [made] = alice("PostKeys", "me", keys=[{"scopes": ["Keys:Add", "Apps:Get"]}]).keys
    limited = client(sandbox, made.id)
    refused = limited.code("PostKeys", "me", keys=[{"scopes": ["All"]}])
    assert refused == codes.CONN_INSUFFICIENT_SCOPES
    assert limited.code("PostKeys", "me", keys=[{"scopes": ["Keys:Get"]}]) == codes.SUCCESS


def test_an_expired_key_is_unknown(sandbox, client, alice):
    past = {"scopes": ["All"], "expires_at": {"seconds": int(time.time()) - 1}}
    [made] = alice("PostKeys", "me", keys=[past]).keys
    assert client(sandbox, made.id).code("MyScopes") == codes.CONN_KEY_NOT_FOUND
