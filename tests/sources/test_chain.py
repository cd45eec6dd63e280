"""Where keys are found, in which order, and what is said when there is none."""

from __future__ import annotations

import getpass

import pytest
from support import CANARY

from clarifai_magic.credentials import Credentials
from clarifai_magic.errors import KeyFormatError, NoCredentialsError, SourceError
from clarifai_magic.sources import PassedOver, find_credentials
from clarifai_magic.sources.place import Surroundings

ALONE = Surroundings({}, may_ask=False)
ATTENDED = Surroundings({}, may_ask=True)
OTHER = "0" * 32


def test_a_pat_in_the_environment_goes_before_an_api_key_which_is_said_to_be_shadowed(monkeypatch):
    monkeypatch.setenv("CLARIFAI_API_KEY", OTHER)
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    monkeypatch.setenv("CLARIFAI_USER_ID", "alice")
    found = find_credentials(around=ALONE)
    assert found.credentials == Credentials(
        CANARY, user_id="alice", source="CLARIFAI_PAT in the environment"
    )
    assert found.passed_over == (
        PassedOver("CLARIFAI_API_KEY", "shadowed by CLARIFAI_PAT in the environment"),
    )


def test_a_named_variable_of_the_environment_is_taken_alone(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", OTHER)
    monkeypatch.setenv("TEAM_PAT", CANARY)
    assert find_credentials("env:TEAM_PAT", ALONE).credentials.key == CANARY
    with pytest.raises(SourceError, match="no NOT_THERE"):
        find_credentials("env:NOT_THERE", ALONE)


def test_a_notebook_variable_gives_a_key_and_no_ids(monkeypatch):
    monkeypatch.setenv("CLARIFAI_USER_ID", "somebody-else")
    around = Surroundings({"mine": f"'{CANARY}'"}, may_ask=False)
    assert find_credentials("var:mine", around).credentials == Credentials(
        CANARY, source="the notebook variable mine"
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


@pytest.mark.parametrize(
    ("source", "hint"), [("nowhere", "env"), ("var", "--from var:NAME"), (CANARY, "env")]
)
def test_an_impossible_source_says_what_there_is_without_echo(source, hint):
    with pytest.raises(SourceError) as caught:
        find_credentials(source, ALONE)
    assert hint in caught.value.hint
    assert CANARY not in str(caught.value)
