"""What a session gives to other clients, and that it ends with the session."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import httpx
import pytest
import requests
from clarifai_grpc.grpc.api import service_pb2, service_pb2_grpc
from peers import PATIENCE, channel_to, connect, key_of

from clarifai_magic import Credentials
from clarifai_magic import connect as sign_in
from clarifai_magic.client.registry import registry
from clarifai_magic.errors import NotSignedInError


@pytest.fixture
def session(sandbox):
    own = Credentials(sandbox.keys.pat, app_id="main", base=sandbox.base)
    with sign_in(own) as session:
        yield session


def test_the_brokers_base_and_token_stand_for_the_session(session):
    broker = session.broker
    assert session.broker is broker
    key = {"Authorization": f"Key {broker.token}"}
    found = requests.get(f"{broker.base}/v2/users/me", headers=key, timeout=PATIENCE)
    assert found.json()["user"]["id"] == session.identity.owner
    with channel_to(broker) as channel:
        assert channel.unary_unary("/clarifai.api.V2/MyScopes")(
            b"", metadata=key_of(broker), timeout=PATIENCE
        )
    assert broker.carried == 2


def test_sessions_side_by_side_do_not_take_each_others_token(session, sandbox):
    with sign_in(Credentials(sandbox.keys.other_pat, base=sandbox.base)) as other:
        for mine, theirs in ((session.broker, other.broker), (other.broker, session.broker)):
            key = {"Authorization": f"Key {theirs.token}"}
            found = requests.get(f"{mine.base}/v2/users/me", headers=key, timeout=PATIENCE)
            assert found.status_code == 401


def test_sessions_about_other_ids_share_the_broker_of_their_sign_in(session):
    child = session.with_ids(app_id="")
    grandchild = child.with_ids(user_id="somebody")
    base = grandchild.broker.base
    assert {each.broker for each in (session, child, grandchild)} == {session.broker}
    child.close()
    with pytest.raises(NotSignedInError):
        _ = child.broker
    key = {"Authorization": f"Key {session.broker.token}"}
    assert requests.get(f"{base}/v2/users/me", headers=key, timeout=PATIENCE).ok
    session.close()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(base, timeout=PATIENCE)


def test_after_the_end_nothing_is_given_any_more(session):
    auth, broker, client = session.auth, session.broker, session.openai(max_retries=0)
    assert broker.base
    session.close()
    with pytest.raises(NotSignedInError):
        httpx.get(f"{session.base}/v2/users/me", auth=auth)
    with pytest.raises(NotSignedInError):
        _ = broker.base
    with pytest.raises(NotSignedInError):
        _ = session.broker
    with pytest.raises(Exception) as error:  # noqa: PT011 - openai's, of whatever version
        client.models.list()
    assert isinstance(error.value.__cause__ or error.value, NotSignedInError)


@pytest.mark.parametrize("get", [requests.get, httpx.get])
def test_auth_signs_requests_to_the_sessions_deployment(session, get):
    found = get(f"{session.base}/v2/users/me", auth=session.auth, timeout=PATIENCE)
    assert found.json()["user"]["id"] == session.identity.owner


def test_openais_clients_call_the_sessions_deployment(session):
    assert str(session.openai().base_url) == f"{session.base}/v2/ext/openai/v1/"
    assert str(session.async_openai().base_url) == f"{session.base}/v2/ext/openai/v1/"


def test_a_session_that_is_forgotten_takes_its_broker_along(sandbox):
    session = sign_in(Credentials(sandbox.keys.pat, base=sandbox.base))
    heard, gone = connect(session.broker), weakref.ref(session)
    heard.send(b"GET / HTTP/1.1")
    del session
    gc.collect()
    assert gone() is None
    assert heard.rest() == b""


def test_no_broker_begins_unasked(session):
    assert not any(thread.name == "clarifai-broker" for thread in threading.enumerate())
    assert session.broker.token
    assert not session.broker.is_open


def test_a_sign_in_has_a_token_of_its_own(session, sandbox):
    token = session.broker.token
    with sign_in(Credentials(sandbox.keys.pat, base=sandbox.base)) as other:
        assert other.broker.token != token
    assert len(token) == 32
    assert int(token, 16)


@pytest.mark.parametrize("kind", [str, str.encode])
@pytest.mark.parametrize("word", ["Key", "Bearer"])
def test_the_sessions_own_channels_take_the_token_for_its_key(session, word, kind):
    metadata = (("authorization", kind(f"{word} {session.broker.token}")), ("x-mine", "1"))
    request = service_pb2.ListModelsRequest()  # whose IDs are filled in, as for the session's key
    assert (
        session.stub.ListModels(request, metadata=metadata, timeout=PATIENCE).status.code == 10000
    )
    stub = service_pb2_grpc.V2Stub(session.channel)
    assert stub.ListModels(request, metadata=metadata, timeout=PATIENCE).status.code == 10000

    async def awaited():
        return await session.aio_stub.ListModels(request, metadata=metadata, timeout=PATIENCE)

    assert asyncio.run(awaited()).status.code == 10000
    assert not session.broker.is_open  # there was no detour


def test_the_token_of_another_session_is_no_key(session, sandbox):
    with sign_in(Credentials(sandbox.keys.other_pat, base=sandbox.base)) as other:
        metadata = (("authorization", f"Key {other.broker.token}"),)
        request = service_pb2.ListModelsRequest(user_app_id=session.userDataObject)
        found = session.stub.ListModels(request, metadata=metadata, timeout=PATIENCE)
        assert found.status.code == 11009


def test_the_guard_knows_the_token(session):
    assert session.broker.token in registry.secrets()
    session.close()
    assert registry.secrets() == set()
