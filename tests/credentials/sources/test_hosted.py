"""Secrets of hosted notebooks: asked for once, and every refusal told apart."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
from support import CANARY

from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import find_credentials
from clarifai_magic.credentials.sources.base import SourceContext
from clarifai_magic.errors import NoCredentialsError, SourceError

STANDIN = Path(__file__).parents[2] / "colab" / "standin"


class Colab:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.around = SourceContext(in_colab=True, denied=set())

    def holds(self, **secrets: str | list[str]) -> None:
        self.file.write_text(json.dumps(secrets))

    def asked(self) -> list[str]:
        asked = self.file.with_suffix(".asked")
        questions = asked.read_text().split() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return questions


@pytest.fixture
def colab(monkeypatch, tmp_path):
    import google

    monkeypatch.setattr(google, "__path__", [*google.__path__, str(STANDIN / "google")])
    monkeypatch.setenv("COLAB_STANDIN", str(tmp_path / "secrets.json"))
    yield Colab(tmp_path / "secrets.json")
    for name in [name for name in sys.modules if name.startswith("google.colab")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_pat_among_colabs_secrets_comes_with_its_ids_each_asked_for_once(colab):
    colab.holds(CLARIFAI_PAT=CANARY, CLARIFAI_USER_ID="alice", CLARIFAI_APP_ID="main")
    assert find_credentials(around=colab.around).credentials == Credentials(
        CANARY, user_id="alice", app_id="main", source=Provenance("colab", "CLARIFAI_PAT")
    )
    assert colab.asked() == ["CLARIFAI_PAT", "CLARIFAI_USER_ID", "CLARIFAI_APP_ID"]


def test_an_api_key_is_taken_where_there_is_no_pat(colab):
    colab.holds(CLARIFAI_API_KEY=CANARY)
    found = find_credentials(around=colab.around).credentials
    assert str(found.source) == "CLARIFAI_API_KEY in Colab's secrets"


def test_another_secret_may_be_named(colab):
    colab.holds(TEAM=CANARY, CLARIFAI_PAT="0" * 32)
    assert find_credentials("colab:TEAM", colab.around).credentials.key == CANARY


def test_a_denial_is_remembered_until_colab_is_named(colab):
    colab.holds(CLARIFAI_PAT=["NotebookAccessError"])
    for _ in range(2):
        with pytest.raises(NoCredentialsError, match="no access to CLARIFAI_PAT: see the key icon"):
            find_credentials(around=colab.around)
    assert colab.asked().count("CLARIFAI_PAT") == 1
    colab.holds(CLARIFAI_PAT=CANARY)
    assert find_credentials("colab", colab.around).credentials.key == CANARY


@pytest.mark.parametrize("failure", ["TimeoutException", "MessageError"])
def test_a_browser_that_does_not_answer_is_said_and_asked_again_next_time(colab, failure):
    colab.holds(CLARIFAI_PAT=[failure])
    with pytest.raises(NoCredentialsError, match=f"Colab did not answer .{failure}."):
        find_credentials(around=colab.around)
    assert colab.asked() == ["CLARIFAI_PAT"]
    colab.holds(CLARIFAI_PAT=CANARY)
    assert find_credentials(around=colab.around).credentials.key == CANARY


def test_the_package_alone_is_not_colab(colab):
    colab.holds(CLARIFAI_PAT=CANARY)
    with pytest.raises(NoCredentialsError, match="not Google Colab"):
        find_credentials(around=SourceContext())
    assert colab.asked() == []


def test_colab_enterprise_is_passed_over(colab, monkeypatch):
    monkeypatch.setenv("VERTEX_PRODUCT", "COLAB_ENTERPRISE")
    with pytest.raises(NoCredentialsError, match="Colab Enterprise has no secrets"):
        find_credentials(around=colab.around)
    assert colab.asked() == []


@pytest.fixture
def kaggle(monkeypatch):
    """The `kaggle_secrets` module with the names of the real one, on a machine of Kaggle's."""
    module = types.ModuleType("kaggle_secrets")
    secrets: dict[str, str] = {}

    class BackendError(Exception):
        pass

    class UserSecretsClient:
        def get_secret(self, label: str) -> str:
            if label not in secrets:
                raise BackendError(label)
            return secrets[label]

    module.BackendError = BackendError  # type: ignore[attr-defined]
    module.UserSecretsClient = UserSecretsClient  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kaggle_secrets", module)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    return secrets


def test_kaggles_secrets_are_read_on_kaggle_alone(kaggle, monkeypatch):
    kaggle.update(CLARIFAI_PAT=CANARY, CLARIFAI_USER_ID="alice")
    found = find_credentials(around=SourceContext()).credentials
    assert (found.source, found.user_id) == (Provenance("kaggle", "CLARIFAI_PAT"), "alice")
    assert str(found.source) == "CLARIFAI_PAT in Kaggle's secrets"
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE")
    with pytest.raises(SourceError, match="not Kaggle"):
        find_credentials("kaggle", SourceContext())


def test_a_secret_that_is_not_attached_is_told(kaggle):
    assert not kaggle
    with pytest.raises(SourceError, match="no CLARIFAI_PAT or CLARIFAI_API_KEY"):
        find_credentials("kaggle", SourceContext())
