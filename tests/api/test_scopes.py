"""What each method needs, as the descriptors have it."""

from __future__ import annotations

from collections import Counter

import pytest
from clarifai_grpc.grpc.api import service_pb2_grpc

from clarifai_magic.api import scopes
from clarifai_magic.api.scopes import Auth, expand, missing_scopes, requirement


def test_every_method_of_the_generated_service_has_its_requirement():
    generated = {name for name in vars(service_pb2_grpc.V2Servicer) if not name.startswith("_")}
    assert set(scopes.methods()) == generated
    kinds = Counter(requirement(method).auth for method in scopes.methods())
    assert kinds.keys() == {Auth.NONE, Auth.KEY, Auth.PAT, Auth.SESSION}
    assert kinds[Auth.SESSION] == 2


def test_a_requirement_names_the_scopes_as_the_documentation_spells_them():
    need = requirement("PostInputs")
    assert (need.method, need.auth) == ("PostInputs", Auth.KEY)
    assert {"Inputs:Add", "Inputs:Get", "Predict"} < need.scopes
    assert requirement("/clarifai.api.V2/PostInputs") == need


def test_an_unknown_method_is_an_error_that_names_the_nearest():
    with pytest.raises(LookupError, match="'PostInputz'.\nDid you mean 'PostInputs'"):
        requirement("PostInputz")


def test_a_scope_brings_those_it_depends_on():
    assert expand(["Inputs_Delete"]) == {"Inputs:Delete", "Inputs:Add", "Inputs:Get"}
    assert expand(["Inputs:Delete"]) == expand(["Inputs_Delete"])
    assert expand(["Something:New"]) == {"Something:New"}
    assert expand(["All"]) >= {"All", "Predict", "Secrets:Delete"}


@pytest.mark.parametrize("method", list(scopes.methods()))
def test_all_and_the_endpoint_permission_each_open_any_method(method: str):
    permission = f"/clarifai.api.V2/{method}"
    assert not missing_scopes(method, ["All"])
    assert not missing_scopes(method, [], [permission])
    assert not missing_scopes(method, [permission])
    assert missing_scopes(method, []) in (requirement(method).scopes, {permission})


def test_missing_scopes_are_those_neither_held_nor_implied():
    held = ["Apps_Get", "Concepts_Get", "Models_Get", "Workflows_Get"]
    missing = missing_scopes("PostInputs", [*held, "Inputs:Add", "Annotations:Get"])
    assert missing == {"Annotations:Add", "Predict"}


def test_get_user_is_granted_by_endpoint_alone():
    everything_else = expand(["All"]) - {"All"}
    assert missing_scopes("GetUser", everything_else) == {"/clarifai.api.V2/GetUser"}


def test_routes_say_where_a_method_is_and_whether_its_path_names_an_app():
    assert scopes.names_app("ListInputs")
    assert not scopes.names_app("ListApps")
    first, *others = scopes.routes("ListModels")
    assert (first.verb, first.has_body, first.names_app) == ("GET", False, True)
    assert "/v2/models" in [route.path for route in others]
    assert scopes.routes("PostInputs")[1].has_body
