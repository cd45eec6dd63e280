"""Where keys are found, in which order, and what is said when there is none."""

from __future__ import annotations

import getpass

import pytest
from support import CANARY

from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import Skipped, find_credentials
from clarifai_magic.credentials.sources.base import SourceContext
from clarifai_magic.errors import BaseURLError, KeyFormatError, NoCredentialsError, SourceError

ALONE = SourceContext({}, may_ask=False)
ATTENDED = SourceContext({}, may_ask=True)
OTHER = "0" * 32


def test_a_pat_in_the_environment_goes_before_an_api_key_which_is_said_to_be_shadowed(monkeypatch):
    monkeypatch.setenv("CLARIFAI_API_KEY", OTHER)
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    monkeypatch.setenv("CLARIFAI_USER_ID", "alice")
    found = find_credentials(around=ALONE)
    assert found.credentials == Credentials(
        CANARY, user_id="alice", source=Provenance("env", "CLARIFAI_PAT")
    )
    assert found.skipped == (
        Skipped("CLARIFAI_API_KEY", "shadowed by CLARIFAI_PAT in the environment"),
    )


def test_a_named_variable_of_the_environment_is_taken_alone(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", OTHER)
    monkeypatch.setenv("TEAM_PAT", CANARY)
    assert find_credentials("env:TEAM_PAT", ALONE).credentials.key == CANARY
    with pytest.raises(SourceError, match="no NOT_THERE"):
        find_credentials("env:NOT_THERE", ALONE)


def test_a_notebook_variable_gives_a_key_and_no_ids(monkeypatch):
    monkeypatch.setenv("CLARIFAI_USER_ID", "somebody-else")
    around = SourceContext({"mine": f"'{CANARY}'"}, may_ask=False)
    assert find_credentials("var:mine", around).credentials == Credentials(
        CANARY, source=Provenance("var", "mine")
    )
    with pytest.raises(SourceError, match="no variable 'yours'"):
        find_credentials("var:yours", around)


def test_the_prompt_is_asked_last_through_the_function_of_the_moment(monkeypatch):
    asked = []
    monkeypatch.setattr(getpass, "getpass", lambda words: asked.append(words) or CANARY)
    assert find_credentials(around=ATTENDED).credentials.key == CANARY
    assert asked == ["Clarifai PAT or API key: "]
    monkeypatch.setenv("CLARIFAI_PAT", OTHER)
    assert find_credentials(around=ATTENDED).credentials.key == OTHER
    assert len(asked) == 1


@pytest.mark.parametrize("refusal", [EOFError, NotImplementedError])
def test_a_prompt_that_nobody_answers_names_every_place(monkeypatch, refusal):
    def nobody(_words: str) -> str:
        raise refusal

    monkeypatch.setattr(getpass, "getpass", nobody)
    with pytest.raises(NoCredentialsError) as caught:
        find_credentials(around=ATTENDED)
    for words in ("CLARIFAI_PAT", "CLARIFAI_API_KEY", "the prompt", "--from sandbox"):
        assert words in str(caught.value)


def test_a_broken_key_says_where_it_was_found(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", f"{CANARY[:9]} {CANARY[9:]}")
    with pytest.raises(KeyFormatError, match="found in the environment"):
        find_credentials(around=ALONE)


@pytest.mark.parametrize("variable", ["CLARIFAI_USER_ID", "CLARIFAI_APP_ID"])
@pytest.mark.parametrize("other", [CANARY, OTHER], ids=["the key itself", "another key"])
def test_a_key_in_an_ids_variable_is_refused_without_being_repeated(monkeypatch, variable, other):
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    monkeypatch.setenv("CLARIFAI_API_KEY", OTHER)
    monkeypatch.setenv(variable, other)
    with pytest.raises(KeyFormatError, match="ID is .* key") as caught:
        find_credentials(around=ALONE)
    assert "found in the environment" in caught.value.hint
    assert other not in str(caught.value)


@pytest.mark.parametrize("bad", ["ftp://example.com", "http://example.com"])
def test_a_base_that_is_asked_for_counts_instead_of_an_unusable_one(monkeypatch, bad):
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    monkeypatch.setenv("CLARIFAI_API_BASE", bad)
    with pytest.raises(BaseURLError, match=r"(?s)CLARIFAI_API_BASE"):
        find_credentials(around=ALONE)
    found = find_credentials(around=SourceContext(base="https://private.example.com"))
    assert found.credentials.base == "https://private.example.com"
    plain = find_credentials(around=SourceContext(base="http://example.com")).credentials
    assert plain.deployment.is_plaintext
    signed_in = SourceContext(base="https://private.example.com", signed_in=plain)
    monkeypatch.delenv("CLARIFAI_PAT")
    assert find_credentials(around=signed_in).credentials == plain.replaced(base=signed_in.base)


def test_an_unusable_base_that_is_asked_for_is_told_before_anybody_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(getpass, "getpass", asked.append)
    for wrong in ({"base": "ftp://example.com"}, {"root_certificates": "/no/such"}):
        with pytest.raises(BaseURLError):
            find_credentials(around=SourceContext(may_ask=True, **wrong))
    assert not asked


def test_the_prompt_names_the_host_unless_it_is_clarifais_own(monkeypatch):
    asked = []
    monkeypatch.setattr(getpass, "getpass", lambda words: asked.append(words) or CANARY)
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://private.example.com")
    find_credentials("prompt", ATTENDED)
    find_credentials("prompt", SourceContext(may_ask=True, base="http://example.com"))
    assert asked[0] == "Clarifai PAT or API key (at private.example.com): "
    assert "http://example.com is not encrypted" in asked[1]


@pytest.mark.parametrize("kind", ["form", "prompt", "sandbox"])
def test_a_name_where_a_source_has_none_is_refused(kind):
    for _ in range(2):
        with pytest.raises(SourceError, match=f"The source {kind} takes no name"):
            find_credentials(f"{kind}:alice", SourceContext(may_ask=True, answers_later=True))


def test_the_sandbox_is_nowhere_else():
    with pytest.raises(SourceError, match="its own base URL"):
        find_credentials("sandbox", SourceContext(base="https://example.com"))


def test_another_variables_name_is_not_taken_for_a_longer_one(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", OTHER)
    monkeypatch.setenv("CLARIFAI_PAT_OF_MINE", CANARY)
    found = find_credentials("env:CLARIFAI_PAT_OF_MINE", ALONE).credentials
    assert found.source == Provenance("env", "CLARIFAI_PAT_OF_MINE")


@pytest.mark.parametrize(
    ("source", "hint"), [("nowhere", "env"), ("var", "--from var:NAME"), (CANARY, "env")]
)
def test_an_impossible_source_says_what_there_is_without_echo(source, hint):
    with pytest.raises(SourceError) as caught:
        find_credentials(source, ALONE)
    assert hint in caught.value.hint
    assert CANARY not in str(caught.value)
