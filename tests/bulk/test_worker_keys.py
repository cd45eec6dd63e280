"""Keys for workers: an API key of their own, with few scopes and an end, which ends at logout."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import warnings

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from support import SECRETS, sandbox_process

from clarifai_magic import Credentials, connect
from clarifai_magic.client.internals import internals
from clarifai_magic.client.registry import registry
from clarifai_magic.errors import (
    CallError,
    ClarifaiAuthWarning,
    NotSignedInError,
    RefusedError,
    ScopeError,
)
from clarifai_magic.sandbox import Sandbox

SCOPES = service_pb2.MyScopesRequest()
PREDICTING = ["Predict", "Apps_Get", "Models:Get", "Concepts_Get"]
ALICE = resources_pb2.UserAppIDSet(user_id="alice")


@pytest.fixture
def session(sandbox):
    credentials = Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    with connect(credentials) as session:
        yield session


def key_of(session):
    key = str.__str__(internals(session).found.credentials.key)
    SECRETS.add(key)
    return key


def keys_at(session):
    """The keys that the user has, as the API lists them."""
    request = service_pb2.ListKeysRequest(user_app_id=ALICE, per_page=1000)
    return {key.id: key for key in session.stub.ListKeys(request).keys}


def test_workers_get_a_key_of_the_app_with_these_scopes_and_that_end(session):
    before = time.time()
    workers = session.for_workers(scopes=PREDICTING, expires=600)
    made = keys_at(session)[key_of(workers)]
    assert made.type == "app_specific_key"
    assert [app.id for app in made.apps] == ["main"]
    assert list(made.scopes) == ["Predict", "Apps:Get", "Models:Get", "Concepts:Get"]
    assert before + 599 < made.expires_at.seconds < time.time() + 601
    answer = workers.stub.MyScopes(SCOPES)
    assert (answer.app.id, list(answer.scopes)) == ("main", list(made.scopes))
    with pytest.warns(ClarifaiAuthWarning, match="lacks .*Inputs:Get"):
        refused = workers.stub.ListInputs(service_pb2.ListInputsRequest())
    assert refused.status.code == codes.CONN_INSUFFICIENT_SCOPES


def test_neither_the_pat_nor_what_stands_for_it_is_in_what_is_handed_over(session):
    workers = session.for_workers(scopes=PREDICTING)
    given = pickle.dumps(workers)
    assert key_of(session).encode() not in given
    assert key_of(workers).encode() in given
    assert internals(session).token.encode() not in given
    assert workers.broker.token != session.broker.token
    assert pickle.loads(given) is workers
    assert key_of(workers) not in repr(workers) + repr(workers.metadata)
    assert "API key" in repr(workers)


def test_the_guard_knows_the_key_while_it_works(session):
    workers = session.for_workers(scopes=PREDICTING)
    key = key_of(workers)
    assert key in registry.secrets()
    session.close()
    assert key not in registry.secrets()


def test_it_ends_after_a_day_where_nothing_else_is_said(session):
    workers = session.for_workers(scopes=PREDICTING)
    end = keys_at(session)[key_of(workers)].expires_at.seconds
    assert 86_000 < end - time.time() < 86_500


def test_at_logout_the_last_made_is_deleted_first_and_the_rest_after_it(sandbox, session):
    first, last = (session.for_workers(scopes=PREDICTING) for _ in range(2))
    keys = [key_of(first), key_of(last)]
    ended = []
    for each in (first, last):
        internals(each).on_close(lambda each=each: ended.append(each))
    with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as other:
        assert keys_at(other).keys() >= set(keys)
        session.close()
        assert not keys_at(other).keys() & set(keys)
    assert ended == [last, first]
    with pytest.raises(NotSignedInError):
        last.stub.MyScopes(SCOPES)


def test_closing_it_deletes_its_key_alone(session):
    one, other = (session.for_workers(scopes=PREDICTING) for _ in range(2))
    one.close()
    one.close()
    assert key_of(one) not in keys_at(session)
    assert other.stub.MyScopes(SCOPES).status.code == codes.SUCCESS
    assert session.stub.MyScopes(SCOPES).status.code == codes.SUCCESS


def test_it_is_of_the_app_that_the_session_is_about(session):
    recipes = session.with_ids(app_id="recipes")
    workers = recipes.for_workers(scopes=PREDICTING)
    assert [app.id for app in keys_at(session)[key_of(workers)].apps] == ["recipes"]
    assert workers.userDataObject == recipes.userDataObject


def test_a_key_that_has_ended_is_unknown_to_the_api(session):
    workers = session.for_workers(scopes=PREDICTING, expires=0.3)
    deadline = time.monotonic() + 20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClarifaiAuthWarning)
        while (code := workers.stub.MyScopes(SCOPES).status.code) == codes.SUCCESS:
            assert time.monotonic() < deadline
    assert code == codes.CONN_KEY_NOT_FOUND


def test_workers_that_still_have_it_after_logout_are_refused(session):
    """What another process has, which opened the session from its pickled form."""
    given = pickle.dumps(session.for_workers(scopes=PREDICTING))
    program = (
        "import pickle, sys, warnings\n"
        "from clarifai_grpc.grpc.api import service_pb2\n"
        "workers = pickle.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))\n"
        "warnings.simplefilter('ignore')\n"
        "for line in iter(sys.stdin.buffer.readline, b''):\n"
        "    answers = workers.map('MyScopes', [service_pb2.MyScopesRequest()], progress=False)\n"
        "    print(*(each.code for each in answers.failures.values()), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        worker.stdin.write(b"%d\n%b\n" % (len(given), given))
        worker.stdin.flush()
        assert worker.stdout.readline() == b"\n"
        session.close()
        worker.stdin.write(b"\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == b"key-rejected\n"
        worker.stdin.close()


@pytest.mark.parametrize(
    ("key", "ids", "error", "words"),
    [
        ("api_key", {}, ScopeError, "Only a PAT makes keys"),
        ("scoped_pat", {"user_id": "alice", "app_id": "main"}, ScopeError, "lacks Keys:Add"),
        ("pat", {"user_id": "alice"}, CallError, "this session has none"),
    ],
)
def test_one_line_says_why_there_is_none(sandbox, key, ids, error, words):
    credentials = Credentials(getattr(sandbox.keys, key), base=sandbox.base, **ids)
    with connect(credentials) as session, pytest.raises(error, match=words) as refused:
        session.for_workers(scopes=PREDICTING)
    assert refused.value.hint
    assert "\n" not in refused.value.message


def test_what_the_api_refuses_is_told_as_that(session):
    elsewhere = session.with_ids(app_id="no-such-app")
    with pytest.raises(RefusedError, match="Making a key for workers failed"):
        elsewhere.for_workers(scopes=PREDICTING)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scopes": ["Predcit"]}, "no scope 'Predcit'"),
        ({"scopes": []}, "must not be empty"),
        ({"scopes": "Predict"}, "is a list"),
        ({"expires": 60}, "made with scopes="),
        *[
            ({"scopes": ["Predict"], "expires": value}, "expires= is the number of seconds")
            for value in (0, -1, float("nan"), float("inf"), True, "60", 1e12)
        ],
    ],
    ids=str,
)
def test_scopes_and_ends_that_cannot_be_are_refused_before_a_key_is_made(session, options, words):
    before = keys_at(session)
    with pytest.raises(CallError, match=words):
        session.for_workers(**options)
    assert keys_at(session) == before


def test_a_key_that_cannot_be_deleted_is_told_with_where_to(monkeypatch):
    sandbox = Sandbox()
    sandbox.start()
    SECRETS.add(sandbox.keys.pat)
    credentials = Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    session = connect(credentials)
    key = key_of(session.for_workers(scopes=PREDICTING))
    sandbox.close()
    with pytest.warns(ClarifaiAuthWarning, match="could not be deleted") as told:
        session.close()
    words = str(told[0].message)
    assert "clarifai.com/me/settings/secrets" in words
    assert key not in words
    assert session not in registry


def test_the_end_of_the_process_deletes_it():
    program = (
        "import clarifai_magic\n"
        "session = clarifai_magic.connect()\n"
        f"print(session.for_workers(scopes={PREDICTING!r}).identity.kind)"
    )
    with sandbox_process() as variables:
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **variables, "CLARIFAI_APP_ID": "main"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert (ran.stdout, ran.stderr) == ("API key\n", "")
        credentials = Credentials(variables["CLARIFAI_PAT"], base=variables["CLARIFAI_API_BASE"])
        with connect(credentials) as session:
            keys = keys_at(session).values()
    assert not [key for key in keys if key.description]
