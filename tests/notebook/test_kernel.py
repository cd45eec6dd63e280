"""The extension in a real kernel, driven as unattended runs are."""

from __future__ import annotations

import socket

import pytest
from kernel import FRAGMENTS, LOAD, run
from support import CANARY

pytestmark = pytest.mark.slow


def test_with_the_key_in_the_environment_documented_fragments_run(environment, sandbox):
    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="main")
    signed_in, *results = run(f"{LOAD}\n%clarifai_auth", *FRAGMENTS)
    assert signed_in.startswith("Signed in as alice · PAT from CLARIFAI_PAT")
    assert results == ["puppy\n", "SUCCESS Charlie\n", "main\n"]


def test_an_api_key_runs_the_same_fragments(environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    signed_in, *results = run(f"{LOAD}\n%clarifai_auth", *FRAGMENTS[::2])
    assert "API key from CLARIFAI_API_KEY" in signed_in
    assert results == ["puppy\n", "main\n"]


def test_unattended_without_a_key_is_one_short_error_that_fails_the_run():
    (_, error, placeless) = run(LOAD, "%clarifai_auth", "stub", allow_errors=True)
    assert "NoCredentialsError: No Clarifai key was found" in error
    assert "CLARIFAI_PAT" in error
    assert len(error.splitlines()) <= 6
    assert "NameError" in placeless


@pytest.mark.parametrize("xmode", ["Plain", "Context", "Verbose"])
def test_no_error_in_a_kernel_shows_the_key_or_a_traceback(environment, xmode):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        environment(PAT=CANARY, API_BASE=dead)
        *_, error, from_python = run(
            f"%xmode {xmode}\n{LOAD}",
            "%clarifai_auth",
            "import clarifai_magic; clarifai_magic.connect()",
            allow_errors=True,
        )
    for text in (error, from_python):
        assert f"Nothing answers at {dead}." in text
        assert len(text.splitlines()) <= 6
        assert CANARY not in text
