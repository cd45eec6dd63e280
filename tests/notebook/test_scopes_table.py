"""%clarifai_scopes: what a key may do, and what a method needs."""

from __future__ import annotations

import re

import pytest

from clarifai_magic.api.scopes import methods
from clarifai_magic.client.identity import Identity
from clarifai_magic.notebook.scopes_table import Table, of_key, of_methods

SCOPED = Identity("PAT", "alice", scopes=("Predict", "Apps_Get", "Models:Get", "Concepts_Get"))


def row(table: Table, name: str) -> tuple[str, ...]:
    return next(row for row in table.rows if row[0] == name)


def test_a_key_for_everything_opens_every_method_but_clarifais_own():
    table = of_key(Identity("PAT", "alice", scopes=("All",)))
    assert table.caption == "This PAT of alice has: All"
    closed = [row for row in table.rows if row[2] != "-"]
    assert [row[2] for row in closed] == ["ListScopes", "PostValidatePassword"]
    assert sum(int(row[1].split()[-1]) for row in table.rows) == len(methods())


def test_both_spellings_count_and_what_is_missing_is_named():
    table = of_methods(["PostModelOutputs", "PostInputs"], SCOPED)
    assert row(table, "PostModelOutputs")[-1] == "yes"
    assert "Inputs:Add" in row(table, "PostInputs")[-1]
    assert "Predict" not in row(table, "PostInputs")[-1]
    assert "Apps:Get" in table.caption


def test_an_endpoint_permission_opens_its_method():
    key = Identity("PAT", endpoints=("/clarifai.api.V2/ListModels",))
    assert row(of_methods(["ListModels"], key), "ListModels")[-1] == "yes"


def test_an_api_key_is_told_what_only_a_pat_may_do():
    key = Identity("API key", "alice", "alice", "main", scopes=("All",))
    table = of_methods(["PostApps", "ListStatusCodes"], key)
    assert row(table, "PostApps")[1:2] == ("only a PAT",)
    assert row(table, "PostApps")[-1] == "no: only a PAT"
    assert row(table, "ListStatusCodes")[1] == "no key"


def test_unknown_scopes_are_said_to_be_unknown():
    assert "unknown" in row(of_methods(["PostInputs"], Identity("PAT")), "PostInputs")[-1]


def test_html_and_text_say_the_same_and_markup_is_escaped():
    table = Table("a & b", ("x",), (("<img src=x onerror=alert(1)>",),))
    assert "<img" not in table._repr_html_()
    assert re.sub(r"\s+", " ", repr(table)) == "a & b x <img src=x onerror=alert(1)>"


def test_the_magic_shows_suggests_and_completes(shell):
    assert "Run %clarifai_auth first." in shell.fail("%clarifai_scopes")
    shell.run("%clarifai_auth --from sandbox")
    assert "This PAT of alice has: All" in shell.run("%clarifai_scopes")
    assert "yes" in shell.run("%clarifai_scopes PostInputs")
    assert "Did you mean 'PostInputs'?" in shell.fail("%clarifai_scopes PostInputz")


@pytest.mark.filterwarnings("ignore:.*Completer.complete:PendingDeprecationWarning")
def test_every_method_is_offered(shell):
    line = "%clarifai_scopes PostModelO"
    assert shell.ip.complete("PostModelO", line, len(line))[1] == ["PostModelOutputs"]
