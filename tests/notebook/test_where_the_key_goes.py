"""Which host gets the key: named before and after, never another than the key's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import CANARY

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.credentials.sources import cli_config
from clarifai_magic.errors import ClarifaiAuthWarning
from clarifai_magic.sandbox import Sandbox

LIST_APPS = (
    "requests = [service_pb2.ListAppsRequest()]\n"
    "print(len(clarifai_session.map('ListApps', requests, progress=False)))"
)


def test_a_context_without_a_base_does_not_go_where_the_environment_points(shell, environment):
    cli_config.save(CANARY, {"CLARIFAI_USER_ID": "alice"}, "home")
    environment(GRPC_BASE="https://mallory.example.com")
    said = shell.run("%clarifai_auth --from config --no-verify")
    assert "at " not in said.partition("unverified key")[2]
    assert f"base {PUBLIC_BASE}" in shell.run("%clarifai_auth status")
    assert shell.names["clarifai_session"].base == PUBLIC_BASE


def test_what_was_saved_goes_back_to_where_it_came_from(shell, environment, sandbox, monkeypatch):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth --save config")
    shell.run("%clarifai_auth logout")
    monkeypatch.delenv("CLARIFAI_PAT")
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://mallory.example.com")
    assert "alice · PAT from the context alice" in shell.run("%clarifai_auth")
    assert f"base {sandbox.base}" in shell.run("%clarifai_auth status")


def test_status_names_the_host_of_every_session_but_clarifais_own(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat)
    shell.run("%clarifai_auth")
    shell.run("%clarifai_auth --base private.example.com --no-verify --as private")
    shell.run(f"%clarifai_auth --base {PUBLIC_BASE} --no-verify --as own")
    status = dict(
        line[2:].split(": ", 1)
        for line in shell.run("%clarifai_auth status").splitlines()
        if line[2] != " "
    )
    assert status["clarifai_session"].endswith(" · at 127.0.0.1")
    assert status["private"].endswith(" · at private.example.com")
    assert "at" not in status["own"].split()


def test_without_encryption_the_environment_cannot_send_a_key_and_the_line_can(shell, monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    monkeypatch.setenv("CLARIFAI_API_BASE", "http://example.com")
    told = shell.fail("%clarifai_auth --no-verify")
    assert "not encrypted" in told
    assert "--base http://example.com" in told
    assert "Not signed in" in shell.run("%clarifai_auth status")
    words = "http://example.com is not encrypted"
    with pytest.warns(ClarifaiAuthWarning, match=words):
        assert words in shell.run("%clarifai_auth --base http://example.com --no-verify")
    assert words in shell.run("%clarifai_auth status")


@pytest.mark.parametrize("variable", ["CLARIFAI_USER_ID", "CLARIFAI_APP_ID"])
def test_a_key_in_an_ids_variable_or_option_is_not_shown(shell, environment, sandbox, variable):
    environment(PAT=sandbox.keys.pat, **{variable.removeprefix("CLARIFAI_"): sandbox.keys.pat})
    assert "is the key itself" in shell.fail("%clarifai_auth")


def test_a_relative_ca_bundle_serves_from_any_folder(shell, environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Sandbox(tls=True) as sandbox:
        shutil.copy(sandbox.root_certificates, "ca.pem")
        environment(PAT=sandbox.keys.pat, API_BASE=sandbox.base)
        shell.run("%clarifai_auth --root-certificates ca.pem --save config")
        shell.run("%cd -q /")
        assert shell.run(LIST_APPS).strip() == "1"
        monkeypatch.delenv("CLARIFAI_PAT")
        monkeypatch.delenv("CLARIFAI_API_BASE")
        assert "from the context" in shell.run("%clarifai_auth --from config --as saved")
        shell.run("%clarifai_auth logout")
    assert str(Path(tmp_path, "ca.pem")) in cli_config.path().read_text()
