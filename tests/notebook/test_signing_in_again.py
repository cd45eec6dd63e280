"""%clarifai_auth run again: it asks again, and what stands stays until the new session does."""

from __future__ import annotations

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from support import CANARY, SECRETS

from clarifai_magic import Credentials, connect
from clarifai_magic.client.internals import internals
from clarifai_magic.sandbox import Sandbox

SIGNED_IN = (
    "Signed in as alice · PAT from CLARIFAI_PAT in the environment · app main · scopes All · "
    "at 127.0.0.1"
)
LIST_MODELS = "print(stub.ListModels(service_pb2.ListModelsRequest()).models[0].app_id)"


@pytest.fixture
def with_pat(environment, sandbox):
    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="main")


@pytest.fixture
def short_lived(sandbox):
    """An API key of alice's app, and what revokes it."""
    with connect(Credentials(sandbox.keys.pat, "alice", "main", base=sandbox.base)) as session:
        ids = session.userDataObject
        key = resources_pb2.Key(scopes=["All"], apps=[resources_pb2.App(id="main")])
        posted = session.stub.PostKeys(service_pb2.PostKeysRequest(user_app_id=ids, keys=[key]))
        made = posted.keys[0].id
        SECRETS.add(made)

        def revoke():
            gone = session.stub.DeleteKey(
                service_pb2.DeleteKeyRequest(user_app_id=ids, key_id=made)
            )
            assert gone.status.code == 10000

        yield made, revoke


@pytest.mark.usefixtures("with_pat")
def test_the_names_are_put_back_and_the_session_before_is_closed(shell):
    shell.run("%clarifai_auth")
    first = shell.names["clarifai_session"]
    shell.run("metadata = {'the': 'vision sample did this'}; del stub")
    said = shell.run("%clarifai_auth").splitlines()
    assert said == ["Note: replaced your own metadata.", SIGNED_IN]
    assert internals(first).closed
    assert shell.run(LIST_MODELS).strip() == "main"


def test_a_key_that_was_revoked_meanwhile_is_noticed_and_the_session_stays(
    shell, environment, short_lived
):
    key, revoke = short_lived
    environment(API_KEY=key)
    shell.run("%clarifai_auth")
    session = shell.names["clarifai_session"]
    revoke()
    assert "KeyRejectedError" in shell.fail("%clarifai_auth")
    assert shell.names["clarifai_session"] is session
    assert not internals(session).closed
    assert "* clarifai_session: alice" in shell.run("%clarifai_auth status")


@pytest.mark.usefixtures("with_pat")
def test_after_a_sign_in_without_verification_a_plain_one_verifies(shell):
    assert "unverified key" in shell.run("%clarifai_auth --no-verify")
    assert shell.run("%clarifai_auth").strip() == SIGNED_IN
    assert "unverified key" in shell.run("%clarifai_auth --no-verify")


@pytest.mark.usefixtures("with_pat")
def test_options_that_changed_take_effect(shell):
    shell.run("%clarifai_auth")
    assert internals(shell.names["clarifai_session"]).retries.wanted
    shell.run("%clarifai_auth --no-retries")
    assert not internals(shell.names["clarifai_session"]).retries.wanted
    shell.run("%clarifai_auth --app-id recipes")
    assert shell.run("print(APP_ID)").strip() == "recipes"
    assert shell.run(LIST_MODELS).strip() == "recipes"
    shell.run("%clarifai_auth")
    assert shell.run("print(APP_ID)").strip() == "main"


@pytest.mark.usefixtures("with_pat")
def test_a_base_that_changed_in_the_environment_takes_effect(shell, monkeypatch):
    shell.run("%clarifai_auth")
    with Sandbox() as other:
        SECRETS.add(other.keys.pat)
        monkeypatch.setenv("CLARIFAI_API_BASE", other.base)
        monkeypatch.setenv("CLARIFAI_PAT", other.keys.pat)
        shell.run("%clarifai_auth")
        assert shell.names["clarifai_session"].base == other.base
        shell.run("%clarifai_auth logout")


@pytest.mark.usefixtures("with_pat")
@pytest.mark.parametrize(
    "line", ["--app-id mian", "--user-id zoe", "--base http://127.0.0.1:9", "--from env:NOTHING"]
)
def test_a_sign_in_that_fails_leaves_everything_as_it_was(shell, line):
    shell.run("%clarifai_auth --export-env")
    before = shell.names["clarifai_session"], shell.names["stub"]
    shell.fail(f"%clarifai_auth {line}")
    assert (shell.names["clarifai_session"], shell.names["stub"]) == before
    assert shell.run(LIST_MODELS).strip() == "main"


def test_the_sandbox_lasts_through_other_apps_and_failures(shell):
    shell.run("%clarifai_auth --from sandbox")
    base = shell.names["clarifai_session"].base
    for line in ("--from sandbox --app-id recipes", "--app-id main", "--from sandbox"):
        shell.run(f"%clarifai_auth {line}")
        assert shell.names["clarifai_session"].base == base
        assert shell.run(LIST_MODELS).strip() == shell.names["APP_ID"]
    shell.fail("%clarifai_auth --from sandbox --app-id mian")
    assert shell.run(LIST_MODELS).strip() == "main"
    shell.run("%clarifai_auth --from sandbox --as other --app-id recipes")
    shell.run("%clarifai_auth logout clarifai_session")
    shell.run("%clarifai_auth use other")
    assert shell.run(LIST_MODELS).strip() == "recipes"


@pytest.mark.usefixtures("with_pat")
def test_a_named_session_in_use_keeps_the_default_names(shell):
    shell.run("%clarifai_auth --as work")
    shell.run("%clarifai_auth use work")
    first = shell.names["work"]
    shell.run("%clarifai_auth --as work --app-id recipes")
    assert shell.names["work"] is shell.names["clarifai_session"] is not first
    assert shell.run("print(APP_ID)").strip() == "recipes"
    assert shell.run(LIST_MODELS).strip() == "recipes"
    assert "* work: alice" in shell.run("%clarifai_auth status")


@pytest.mark.usefixtures("with_pat")
def test_within_its_own_block_too(shell):
    shell.run("%clarifai_auth --as work")
    cell = "with work:\n    %clarifai_auth --as work --app-id recipes\nprint('stub' in globals(), work.identity.app_id)"
    assert shell.run(cell).splitlines()[-1] == "False recipes"


def test_what_was_typed_at_the_prompt_is_not_asked_for_again(
    shell, environment, sandbox, monkeypatch
):
    environment()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _words: sandbox.keys.pat)
    shell.run("%clarifai_auth --app-id recipes")
    monkeypatch.setattr("getpass.getpass", lambda _words: pytest.fail("asked twice"))
    assert "app recipes" in shell.run("%clarifai_auth")
    assert "app main" in shell.run("%clarifai_auth --app-id main")


@pytest.mark.usefixtures("with_pat")
def test_exports_follow_the_session_that_stands(shell):
    shell.run("%clarifai_auth --export-env --app-id recipes")
    shell.run("%clarifai_auth --export-env --app-id main")
    assert shell.run("import os; print(os.environ['CLARIFAI_APP_ID'])").strip() == "main"
    shell.run("%clarifai_auth logout")
    assert shell.run("print(os.environ['CLARIFAI_APP_ID'])").strip() == "main"


@pytest.mark.usefixtures("with_pat")
def test_results_of_before_stay_where_the_same_key_goes_on(shell):
    shell.run("%clarifai_auth")
    shell.run("[model.id for model in stub.ListModels(service_pb2.ListModelsRequest()).models]")
    shell.run("clarifai_session")
    shell.run("%clarifai_auth")
    assert 3 in shell.names["Out"]
    assert 4 not in shell.names["Out"]
    assert CANARY not in repr(shell.names["Out"])
