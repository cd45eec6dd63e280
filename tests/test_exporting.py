"""--export-env: the SDK, its CLI and shell cells find the session, until it is closed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

NAMES = ("PAT", "API_KEY", "USER_ID", "APP_ID", "API_BASE")


CURL = """%%bash
curl --silent --header "Authorization: Key $CLARIFAI_PAT" \\
    "$CLARIFAI_API_BASE/v2/users/$CLARIFAI_USER_ID/apps"
"""


def clarifai_variables():
    return {name: os.environ.get(f"CLARIFAI_{name}") for name in NAMES}


def test_the_session_is_in_the_environment_until_logout(shell, sandbox):
    shell.run("%clarifai_auth --from sandbox --export-env")
    server = shell.names["clarifai_session"].found.credentials.server
    assert clarifai_variables() == {
        "PAT": server.keys.pat,
        "API_KEY": None,
        "USER_ID": "alice",
        "APP_ID": "main",
        "API_BASE": server.base,
    }
    shell.run("%clarifai_auth logout")
    assert set(clarifai_variables().values()) == {None}


def test_what_was_there_comes_back_and_what_the_user_set_since_stays(
    shell, sandbox, environment, monkeypatch
):
    environment(PAT="0" * 32, USER_ID="somebody")
    shell.names["app_key"] = sandbox.keys.api_key
    before = clarifai_variables()
    shell.run("%clarifai_auth --from var:app_key --export-env")
    shell.run("%clarifai_auth --from var:app_key --export-env")
    assert clarifai_variables()["PAT"] is None
    assert clarifai_variables()["API_KEY"] == sandbox.keys.api_key
    monkeypatch.setenv("CLARIFAI_APP_ID", "mine")
    shell.run("%clarifai_auth logout")
    assert clarifai_variables() == {**before, "APP_ID": "mine"}


@pytest.mark.parametrize(
    "cell",
    [
        "from clarifai.client.user import User\nprint([a.id for a in User().list_apps()])",
        CURL,
        f"!{Path(sys.executable).parent}/clarifai app list",
    ],
    ids=["SDK", "curl", "CLI"],
)
def test_other_clients_find_it(cell):
    from test_kernel import LOAD, run

    *_, shown = run(f"{LOAD}\n%clarifai_auth --from sandbox --export-env", cell)
    assert "main" in shown
    assert "recipes" in shown
