"""%clarifai_snippet for other people's clients: each program is run for real."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from support import SECRETS

from clarifai_magic import Credentials, connect
from clarifai_magic.credentials.secret import Secret
from clarifai_magic.notebook.environment import openai_variables, variables
from clarifai_magic.notebook.snippets.languages import CLARIFAI, LANGUAGES, MCP
from clarifai_magic.notebook.snippets.program import program
from clarifai_magic.sandbox import Sandbox

CHAT = "This is the sandbox, not a language model. Your input has 8 words; "
TOOL = "predict: Computed by the sandbox from the input alone; no model was run."
PREDICT = "PostModelOutputs"

each_client = pytest.mark.parametrize(
    "client", [name for name, about in LANGUAGES.items() if about.protocol != CLARIFAI]
)


@pytest.fixture(scope="module")
def tls_sandbox():
    with Sandbox(tls=True) as running:
        SECRETS.update(dataclasses.asdict(running.keys).values())
        yield running


@pytest.fixture
def write(tmp_path):
    """Writes a session's program into a folder of its own."""

    def written(session, client):
        path = tmp_path / LANGUAGES[client].filename
        path.write_text(program(session, client, PREDICT), encoding="utf-8")
        return path

    return written


def run(path, *arguments, **added):
    """What a program does that has nothing but what is added to its environment."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(path.parent), "LC_ALL": "C.UTF-8"}
    environment = {**kept, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **added}
    done = subprocess.run(
        [sys.executable, path, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)
    return done


def expected(client):
    return TOOL if LANGUAGES[client].protocol == MCP else CHAT


def _pat(sandbox):
    roots = sandbox.root_certificates or ""
    return Credentials(sandbox.keys.pat, app_id="main", base=sandbox.base, root_certificates=roots)


@each_client
def test_it_runs_as_it_is_with_a_pat_or_with_what_a_session_exports(client, write, tls_sandbox):
    with connect(_pat(tls_sandbox)) as session:
        path = write(session, client)
        exported = variables(session) | openai_variables(session)
        done = run(path, **{name: value for name, value in exported.items() if value})
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(expected(client))
        assert session.broker.carried > 0
    done = run(path, CLARIFAI_PAT=Secret(tls_sandbox.keys.pat))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(expected(client))


@each_client
def test_what_is_wrong_is_told_and_it_fails(client, write, tls_sandbox):
    with connect(_pat(tls_sandbox)) as session:
        path = write(session, client)
    refused = run(path, CLARIFAI_PAT=Secret(tls_sandbox.keys.revoked_key))
    assert refused.returncode != 0
    assert "API key not found: invalid key" in refused.stderr
    without = run(path)
    assert without.returncode != 0
    assert without.stderr == "Set CLARIFAI_PAT to your PAT first.\n"


@each_client
def test_an_api_keys_program_is_about_a_model_of_its_app_whatever_its_id(client, write):
    model_id = 'it\'s-"$HOME"-`id`-é😀'
    kind = "mcp" if LANGUAGES[client].protocol == MCP else "text-to-text"
    with Sandbox() as own, connect(Credentials(own.keys.api_key, base=own.base)) as session:
        model = resources_pb2.Model(id=model_id, model_type_id=kind)
        session.stub.PostModels(service_pb2.PostModelsRequest(models=[model]))
        done = run(write(session, client), CLARIFAI_API_KEY=Secret(own.keys.api_key))
        assert own.keys.api_key not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(expected(client))


def test_the_program_for_mcp_calls_a_tool_that_is_named(write, sandbox):
    with connect(_pat(sandbox)) as session:
        path = write(session, "mcp")
    key = Secret(sandbox.keys.pat)
    done = run(path, "predict", '{"text": "a red dog"}', CLARIFAI_PAT=key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("strongest features: red, dog.\n")
