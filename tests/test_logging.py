"""What the package tells who asks: which key is looked for where, what is sent, never what it says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import pkgutil
import sys
from importlib import import_module

import grpc
import pytest
from clarifai_grpc.grpc.api import service_pb2
from support import prediction

import clarifai_magic
from clarifai_magic import Credentials, Sandbox, connect, find_credentials
from clarifai_magic.errors import KeyFormatError
from clarifai_magic.notebook import doctor
from clarifai_magic.notebook.form import choice

ROOT = logging.getLogger("clarifai_magic")


@pytest.fixture
def log(caplog):
    """What has been said so far, each line once."""
    caplog.set_level(logging.DEBUG, logger=ROOT.name)

    def said() -> list[str]:
        lines = list(caplog.messages)
        caplog.clear()
        return lines

    return said


def test_each_place_that_was_looked_at_is_named_with_the_reason_why_it_had_no_key(
    log, environment, sandbox
):
    with pytest.raises(clarifai_magic.NoCredentialsError) as caught:
        find_credentials()
    said = log()
    for reason in caught.value.message.partition("(")[2].removesuffix(").").split("; "):
        place, _, why = reason.partition(": ")
        assert f"no key from {place}: {why}" in said
    environment(PAT=sandbox.keys.pat)
    find_credentials()
    assert log() == ["key from the environment"]
    find_credentials("env")
    assert log() == ["key from the environment only"]
    environment(PAT="not a key")
    with pytest.raises(KeyFormatError):
        find_credentials()
    assert log() == ["no usable key from the environment: key-format"]


def test_signing_in_says_what_is_sent_where_and_when_the_session_opens_and_closes(log, sandbox):
    session = connect(Credentials(sandbox.keys.pat, app_id="main", base=sandbox.base))
    said = log()
    assert f"channel to {sandbox.base.removeprefix('http://')}, not encrypted" in said
    assert {f"{each} to {sandbox.base}" for each in ("MyScopes", "GetUser", "GetApp")} < set(said)
    assert said[-1] == f"session {id(session):x} opened: PAT at {sandbox.base}"
    session.close()
    session.close()
    assert log() == [f"session {id(session):x} closed"]


def test_a_sandbox_says_where_it_starts_and_stops(log):
    with Sandbox() as sandbox:
        assert log() == [f"sandbox started at {sandbox.base}"]
    sandbox.close()
    assert log() == [f"sandbox stopped at {sandbox.base}"]


def test_a_retry_says_why_and_a_refusal_what_was_refused(log, sandbox):
    with Sandbox() as busy, connect(Credentials(busy.keys.scoped_pat, base=busy.base)) as session:
        log()
        request = service_pb2.MyScopesRequest()
        for fault, why in (
            ("throttle", "11005 CONN_THROTTLED"),
            ("outage", "StatusCode.UNAVAILABLE"),
        ):
            setattr(busy.faults, fault, 1.0)
            with contextlib.suppress(grpc.RpcError):
                session.stub.MyScopes(request, timeout=0.5)
            setattr(busy.faults, fault, 0.0)
            said = log()
            assert said[0].startswith("retrying MyScopes in ")
            assert said[0].endswith(f" s: {why}")
        with pytest.warns(clarifai_magic.errors.ClarifaiAuthWarning):
            session.stub.PostInputs(service_pb2.PostInputsRequest())
        assert [line.partition(":")[0] for line in log()] == ["PostInputs refused"]


def test_a_call_that_is_answered_says_nothing(log, sandbox):
    async def awaited():
        await session.aio_stub.MyScopes(service_pb2.MyScopesRequest())

    with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as session:
        asyncio.run(awaited())
        log()
        session.stub.MyScopes(service_pb2.MyScopesRequest())
        assert log() == []


def test_neither_keys_nor_ids_nor_what_is_sent_can_be_read_in_it(
    log, environment, shell, sandbox, monkeypatch
):
    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="recipes")
    monkeypatch.setenv("TEAM_PAT", sandbox.keys.other_pat)
    shell.names["mine"] = sandbox.keys.api_key
    shell.names["prediction"] = prediction
    shell.run("%clarifai_auth --export-env")
    shell.run("_ = stub.PostModelOutputs(prediction())")
    shell.run("_ = clarifai_session.map('PostModelOutputs', [prediction()], progress=False)")
    shell.run("%clarifai_auth --from env:TEAM_PAT --as bob --user-id bob --app-id attic")
    shell.run("%clarifai_auth --from var:mine --as app")
    shell.fail("%clarifai_auth --from var:nothere")
    shell.fail("%clarifai_auth --from config:nowhere")
    shell.fail("%clarifai_auth --app-id mian")
    shell.fail(f"%clarifai_auth {sandbox.keys.pat}")
    choice.organisations(shell.names["clarifai_session"])
    doctor.report(sandbox.base)
    shell.run("%clarifai_auth logout")
    said = "\n".join(log())
    assert f"GET organizations from {sandbox.base}" in said
    assert f"GET /v2/auth/methods from {sandbox.base}" in said
    assert "map of PostModelOutputs: 0 items answered" in said
    users = {
        "a cat and",
        "alice",
        "bob",
        "recipes",
        "attic",
        "mian",
        "TEAM_PAT",
        "nothere",
        "nowhere",
    }
    assert [word for word in users if word in said] == []
    keys = dataclasses.asdict(sandbox.keys).values()
    assert [key for key in keys for at in range(25) if key[at : at + 8] in said] == []


def test_all_of_it_comes_from_one_logger_and_its_children_and_goes_nowhere_by_itself(shell):
    for module in pkgutil.walk_packages(clarifai_magic.__path__, f"{ROOT.name}."):
        if not module.name.endswith("__main__"):
            try:
                import_module(module.name)
            except ModuleNotFoundError as error:  # of a host's that is not installed here
                if error.name != "marimo":
                    raise
    loggers = {
        name: value
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == ROOT.name
        for value in vars(module).values()
        if isinstance(value, logging.Logger)
    }
    assert {name: logger.name for name, logger in loggers.items()} == {
        name: name for name in loggers
    }
    shell.run("%reload_ext clarifai_magic")
    assert [type(each) for each in ROOT.handlers] == [logging.NullHandler]
