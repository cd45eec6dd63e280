"""%clarifai_auth in a shell: what a user types, reads and finds in the notebook."""

from __future__ import annotations

import getpass
import sys

import pytest
from support import CANARY

from clarifai_magic import Credentials, connect
from clarifai_magic.credentials.sources import cli_config
from clarifai_magic.errors import RefusedConnectionError
from clarifai_magic.notebook.names import DEFAULT_NAMES

SIGNED_IN = (
    "Signed in as alice · PAT from CLARIFAI_PAT in the environment · app main · scopes All · "
    "at 127.0.0.1"
)
FRAGMENT = """
response = stub.PostModelOutputs(
    service_pb2.PostModelOutputsRequest(
        user_app_id=userDataObject,
        model_id=stub.ListModels(service_pb2.ListModelsRequest()).models[0].id,
        inputs=[resources_pb2.Input(data=resources_pb2.Data(text=resources_pb2.Text(raw="a cat")))],
    ),
    metadata=metadata,
)
if response.status.code != status_code_pb2.SUCCESS:
    raise Exception(response.status.description)
print(response.outputs[0].data.concepts[0].name)
"""


@pytest.fixture
def with_pat(environment, sandbox):
    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="main")


@pytest.mark.usefixtures("with_pat")
def test_one_line_signs_in_and_a_documented_fragment_runs(shell):
    assert shell.run("%clarifai_auth").strip() == SIGNED_IN
    assert shell.run(FRAGMENT).strip()


@pytest.mark.usefixtures("with_pat")
def test_logout_takes_away_exactly_what_was_put_there(shell):
    before = {name for name in shell.names if not name.startswith("_")}
    shell.run("%clarifai_auth")
    shell.run("USER_ID = 'mine now'; unrelated = 1")
    assert shell.run("%clarifai_auth logout").splitlines() == [
        "Signed out.",
        "CLARIFAI_PAT is still set in the environment.",
    ]
    after = {name for name in shell.names if not name.startswith("_")}
    assert after - before == {"USER_ID", "unrelated"}


@pytest.mark.usefixtures("with_pat")
def test_names_of_the_users_own_are_noted_when_replaced_and_modules_are_shared(shell):
    shell.run("from clarifai_grpc.grpc.api import service_pb2\nstub = 'mine'")
    assert "replaced your own stub." in shell.run("%clarifai_auth")
    shell.run("%clarifai_auth logout")
    assert "service_pb2" in shell.names
    assert not set(DEFAULT_NAMES) - {"service_pb2"} & set(shell.names)


@pytest.mark.usefixtures("with_pat")
def test_unload_signs_out(shell):
    shell.run("%clarifai_auth")
    shell.run("%unload_ext clarifai_magic")
    assert not set(DEFAULT_NAMES) & set(shell.names)
    shell.run("%load_ext clarifai_magic")


def test_two_accounts_side_by_side(shell, environment, sandbox, monkeypatch):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    monkeypatch.setenv("BOBS", sandbox.keys.other_pat)
    monkeypatch.delenv("CLARIFAI_APP_ID")
    shell.run("%clarifai_auth --app-id main")
    shell.run("%clarifai_auth --from env:BOBS --as work")
    assert shell.run("print(USER_ID, work.identity.owner)").strip() == "alice bob"
    status = shell.run("%clarifai_auth status")
    assert "* clarifai_session: alice" in status
    assert "  work: bob" in status
    assert shell.run("%clarifai_auth use work").startswith("Using bob")
    assert shell.run("print(USER_ID, APP_ID)").strip() == "bob attic"
    shell.run("work.close()")
    assert "USER_ID" not in shell.names
    assert "work" not in shell.names
    shell.run("%clarifai_auth use clarifai_session")
    assert shell.run("print(USER_ID, APP_ID)").strip() == "alice main"


def test_use_of_an_unknown_name_says_what_there_is(shell):
    assert "Signed in: none yet." in shell.fail("%clarifai_auth use work")


def test_status_tells_what_was_passed_over(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, API_KEY=CANARY, APP_ID="main")
    shell.run("%clarifai_auth")
    status = shell.run("%clarifai_auth status")
    assert f"base {sandbox.base}" in status
    assert "skipped CLARIFAI_API_KEY: shadowed by CLARIFAI_PAT" in status


def test_status_and_logout_before_any_sign_in(shell):
    assert shell.run("%clarifai_auth status").startswith("Not signed in.")
    assert shell.run("%clarifai_auth logout").strip() == "Not signed in."


def test_the_sandbox_needs_no_account_and_outlives_run_all(shell):
    first = shell.run("%clarifai_auth --from sandbox")
    assert first.strip() == (
        "Signed in as alice · PAT from the sandbox · app main · scopes All · at 127.0.0.1"
    )
    assert shell.run(FRAGMENT).strip()
    assert shell.run("%clarifai_auth --from sandbox") == first
    assert shell.run("%clarifai_auth") == first
    base = shell.names["clarifai_session"].base
    shell.run("%clarifai_auth logout")
    with pytest.raises(RefusedConnectionError):
        connect(Credentials(CANARY, base=base))


def test_a_hidden_prompt_asks_where_somebody_answers(shell, environment, sandbox, monkeypatch):
    environment()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda _words: f" Key {sandbox.keys.api_key}\n")
    assert "API key from the prompt · app main" in shell.run("%clarifai_auth")
    monkeypatch.setattr(getpass, "getpass", lambda _words: pytest.fail("asked twice"))
    shell.run("%clarifai_auth")
    shell.run("%clarifai_auth logout")
    assert "nobody can answer" in shell.fail("%clarifai_auth --no-input")


def test_an_interrupted_prompt_leaves_no_half_signed_in_state(shell, monkeypatch):
    def interrupted(_words: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", interrupted)
    shell.fail("%clarifai_auth")
    assert not set(DEFAULT_NAMES) & set(shell.names)
    assert shell.run("%clarifai_auth status").startswith("Not signed in.")


def test_without_verification_a_wrong_key_connects(shell, environment):
    environment(PAT=CANARY, APP_ID="main")
    assert "unverified key" in shell.run("%clarifai_auth --no-verify")


@pytest.mark.parametrize(
    "line", ["--bogus", "frobnicate", "--timeout soon", "--from", "ca9a470123456789", "--as 1x"]
)
def test_grammar_errors_show_the_way_and_repeat_nothing(shell, line):
    error = shell.fail(f"%clarifai_auth {line}")
    assert "%clarifai_auth" in error or "--as NAME" in error
    assert len(error.splitlines()) <= 6
    assert line.split()[-1] not in error.replace("--as NAME", "").replace("--from SOURCE", "")


@pytest.mark.parametrize(
    "setup",
    ["--base https://nosuch.invalid", "--from nowhere", "--app-id mian", "--user-id zoe", ""],
)
def test_every_error_is_short_and_a_real_error(shell, environment, sandbox, setup):
    environment(PAT=sandbox.keys.pat if setup else sandbox.keys.revoked_key)
    error = shell.fail(f"%clarifai_auth {setup}")
    assert 1 < len(error.splitlines()) <= 6
    assert "→ " in error


def test_use_leaves_the_users_own_names_but_those_of_samples_which_it_tells(
    shell, environment, sandbox
):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth --as work")
    shell.run("work = channel = 'mine'")
    said = shell.run("%clarifai_auth use work")
    assert said.splitlines()[0] == "Note: replaced your own channel."
    assert shell.names["work"] == "mine"
    assert shell.names["channel"] is shell.names["clarifai_session"].channel


def test_a_cell_can_borrow_another_account(shell, environment, sandbox, monkeypatch):
    environment(PAT=sandbox.keys.pat)
    monkeypatch.setenv("BOBS", sandbox.keys.other_pat)
    shell.run("%clarifai_auth --app-id main")
    shell.run("%clarifai_auth --from env:BOBS --as work")
    borrowed = """
with work:
    request = service_pb2.ListAppsRequest(user_app_id=userDataObject)
    print(USER_ID, [app.id for app in stub.ListApps(request, metadata=metadata).apps])
"""
    assert shell.run(borrowed).strip() == "bob ['attic']"
    assert shell.run("print(USER_ID, clarifai_session.identity.owner)").strip() == "alice alice"
    shell.fail("with work:\n    1 / 0")
    assert shell.run("print(USER_ID)").strip() == "alice"
    assert shell.run(borrowed).strip() == "bob ['attic']"


def test_a_borrowed_account_leaves_no_name_where_there_was_none(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth --as work")
    shell.run("APP_ID = 'mine'\nwith work:\n    assert APP_ID == 'main'")
    assert shell.run("print(APP_ID)").strip() == "mine"
    assert not set(DEFAULT_NAMES) - {"APP_ID"} & set(shell.names)


def test_closing_one_account_leaves_the_others_alive(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth --as one\n%clarifai_auth --as two --app-id recipes")
    shell.run("one.close()")
    assert "one" not in shell.names
    fragment = "print(len(stub.ListModels(service_pb2.ListModelsRequest()).models), APP_ID)"
    assert shell.run(f"with two:\n    {fragment}").strip().endswith("recipes")


def test_a_key_is_saved_where_the_user_says_and_found_there_again(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    assert not cli_config.path().exists()
    saved = shell.run("%clarifai_auth --save config").splitlines()[-1]
    assert saved == (
        "Saved in the context alice of ~/.config/clarifai/config; "
        "`clarifai config delete-context alice` removes it."
    )
    assert saved in shell.run("%clarifai_auth logout")
    signed_in = shell.run("%clarifai_auth --from config:alice")
    assert "PAT from the context alice of ~/.config/clarifai/config · app main" in signed_in
    cli_config.path().chmod(0o644)
    shell.run("%clarifai_auth logout")
    assert "Note: Others on this machine can read" in shell.run("%clarifai_auth --from config")
    assert "The PAT stays in ~/.config" in shell.run("%clarifai_auth logout")


def test_an_api_key_is_not_put_into_the_file_for_pats(shell, environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    assert "holds PATs, but this is an API key" in shell.fail("%clarifai_auth --save config")
    assert not cli_config.path().exists()


@pytest.mark.parametrize("line", ["help", "-h", "--help", "status --help"])
def test_help_is_given_in_whatever_way_it_is_asked_for(shell, line):
    shown = shell.run(f"%clarifai_auth {line}")
    assert shown.startswith("%clarifai_auth ")
    for words in ("--from", "logout", "--from sandbox", "No option takes the key"):
        assert words in shown
    assert "Not signed in" not in shown


def test_who_tries_the_command_that_is_not_there_is_shown_the_one_that_is(shell):
    assert "%clarifai_auth signs in; " in shell.fail("%clarifai_login")
    assert "help shows more" in shell.fail("%clarifai_auth signin")
