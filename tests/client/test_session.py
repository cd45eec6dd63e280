"""A session as an object: what it holds, shows and gives back."""

from __future__ import annotations

import json
import pickle
import socket
import warnings
from urllib.request import Request, urlopen

import pytest
import requests
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2

import clarifai_magic
from clarifai_magic import Credentials, connect
from clarifai_magic.client.internals import summary
from clarifai_magic.client.registry import registry
from clarifai_magic.errors import (
    ClarifaiAuthWarning,
    KeyFormatError,
    NoCredentialsError,
    NotSignedInError,
    SecretError,
)
from clarifai_magic.notebook.names import DEFAULT_NAMES


def signed_in(sandbox, **ids):
    return connect(Credentials(sandbox.keys.pat, base=sandbox.base, **ids))


def test_connect_takes_the_environments_key(environment, sandbox):
    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="main")
    with connect() as session:
        assert session.source == "CLARIFAI_PAT in the environment"
        assert session.base == sandbox.base
        assert session.stub.ListModels(service_pb2.ListModelsRequest()).models


def test_connect_without_a_key_says_where_it_looked():
    with pytest.raises(NoCredentialsError, match="CLARIFAI_PAT"):
        connect()


def test_the_namespace_is_what_the_documentation_uses(sandbox):
    with signed_in(sandbox, app_id="main") as session:
        names = session.namespace()
    assert tuple(names) == DEFAULT_NAMES
    assert names["userDataObject"].user_id == names["USER_ID"] == "alice"
    assert names["userDataObject"].app_id == names["APP_ID"] == "main"


def test_the_summary_tells_everything_but_the_key(sandbox):
    with signed_in(sandbox, app_id="main") as session:
        assert summary(session) == "alice · PAT from Python · app main · scopes All · at 127.0.0.1"
    with signed_in(sandbox, user_id="clarifai", app_id="main") as session:
        assert "app clarifai/main" in summary(session)
    with signed_in(sandbox) as session:
        assert "no app chosen of main, recipes (--app-id)" in summary(session)


def test_a_key_that_travels_in_the_clear_is_said_to():
    credentials = Credentials("k" * 32, base="http://clarifai.example.com")
    with (
        pytest.warns(ClarifaiAuthWarning, match=r"http://clarifai.example.com is not encrypted"),
        connect(credentials, verified=False) as session,
    ):
        assert "http://clarifai.example.com is not encrypted" in summary(session)


def test_before_a_key_travels_in_the_clear_there_is_a_warning_that_can_prevent_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        base = f"http://0.0.0.0:{server.getsockname()[1]}"  # no loopback address, but this machine
        with warnings.catch_warnings():
            warnings.simplefilter("error", ClarifaiAuthWarning)
            with pytest.raises(ClarifaiAuthWarning, match="not encrypted"):
                connect(Credentials("k" * 32, base=base), timeout=0.5)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_summary_is_silent_about_clarifais_own_host_alone():
    for base, words in (("", "unverified key from Python"), ("api.example.com", "example.com")):
        with connect(Credentials("k" * 32, user_id="alice", base=base), verified=False) as session:
            assert words in summary(session)
            assert ("at api" in summary(session)) is bool(base)


def test_other_ids_share_the_sign_in(sandbox):
    with signed_in(sandbox, app_id="main") as session:
        other = session.with_ids(app_id="recipes")
        assert (other.userDataObject.user_id, other.userDataObject.app_id) == ("alice", "recipes")
        assert other.stub.ListModels(service_pb2.ListModelsRequest()).status.code == (
            status_code_pb2.SUCCESS
        )
        other.close()
        assert session.stub.ListModels(service_pb2.ListModelsRequest()).models


@pytest.mark.parametrize("name", ["user_id", "app_id"])
def test_a_key_in_an_ids_place_is_refused_without_being_repeated(sandbox, name):
    with signed_in(sandbox, app_id="main") as session:
        with pytest.raises(KeyFormatError, match="is the key itself") as refused:
            session.with_ids(**{name: f" {sandbox.keys.pat.upper()} "})
        assert sandbox.keys.pat not in str(refused.value).lower()


def test_headers_serve_rest_calls_and_are_masked(sandbox):
    with signed_in(sandbox) as session:
        assert sandbox.keys.pat not in repr(session.headers)
        found = requests.get(f"{session.base}/v2/users/me", headers=session.headers, timeout=10)
        request = Request(f"{session.base}/v2/users/me", headers=session.headers)
        assert found.json()["user"]["id"] == json.load(urlopen(request))["user"]["id"] == "alice"


def test_a_json_channel_made_by_somebody_else_does_no_harm(sandbox):
    with signed_in(sandbox, app_id="main") as session:
        ClarifaiChannel.get_json_channel("https://nosuch.invalid")
        assert session.stub.ListModels(service_pb2.ListModelsRequest()).models


def test_closing_ends_the_channel_and_the_registration_and_may_be_repeated(sandbox):
    session = signed_in(sandbox)
    stub = session.stub
    assert session in registry
    session.close()
    session.close()
    assert session not in registry
    with pytest.raises(NotSignedInError, match="closed"):
        stub.ListModels(service_pb2.ListModelsRequest())


def test_logout_closes_every_session(sandbox):
    sessions = [signed_in(sandbox), signed_in(sandbox)]
    clarifai_magic.logout()
    assert not set(sessions) & set(registry)


def test_a_refused_sign_in_leaves_nothing_open(sandbox):
    before = len(registry)
    with pytest.raises(clarifai_magic.ClarifaiMagicError):
        connect(Credentials(sandbox.keys.revoked_key, base=sandbox.base))
    assert len(registry) == before


def test_pickling_a_session_is_refused_with_the_reason(sandbox):
    with signed_in(sandbox) as session, pytest.raises(SecretError, match="hold a key"):
        pickle.dumps(session)


@pytest.mark.parametrize("show", [str, repr, lambda s: repr(s.__dict__)])
def test_a_session_never_shows_the_key(sandbox, show):
    with signed_in(sandbox) as session:
        assert sandbox.keys.pat not in show(session)
