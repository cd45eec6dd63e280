"""What a key is found to be, and what is said when key, user and app do not fit."""

from __future__ import annotations

import socket
import time

import pytest

from clarifai_magic import Credentials, connect
from clarifai_magic.errors import (
    AppMismatchError,
    AppNotFoundError,
    BaseURLError,
    DeadlineError,
    KeyRejectedError,
    RefusedConnectionError,
    ThrottledError,
    TLSError,
    UnknownHostError,
    UnreachableError,
    UserNotFoundError,
)
from clarifai_magic.sandbox import Sandbox


def identity(sandbox, key, **ids):
    with connect(Credentials(getattr(sandbox.keys, key), base=sandbox.base, **ids)) as session:
        return session.identity


def test_a_pat_is_told_by_its_user_and_a_choice_of_apps_is_left_open(sandbox):
    found = identity(sandbox, "pat")
    assert (found.kind, found.owner, found.user_id, found.app_id) == ("PAT", "alice", "alice", "")
    assert {"main", "recipes"} <= set(found.apps)
    assert "All" in found.scopes


def test_the_only_app_of_a_user_is_taken(sandbox):
    assert identity(sandbox, "other_pat").app_id == "attic"


def test_an_api_key_needs_no_ids(sandbox):
    found = identity(sandbox, "api_key")
    assert (found.kind, found.user_id, found.app_id) == ("API key", "alice", "main")


def test_a_restricted_pat_is_accepted_though_its_user_is_unknown(sandbox):
    found = identity(sandbox, "scoped_pat", user_id="alice", app_id="main")
    assert (found.kind, found.owner, found.user_id) == ("PAT", "", "alice")
    assert "Predict" in found.scopes


@pytest.mark.parametrize(
    "ids",
    [
        {"user_id": "me", "app_id": "main"},
        {"app_id": "recipes"},
        {"user_id": "clarifai", "app_id": "main"},
        {"user_id": "acme", "app_id": "catalog"},
    ],
)
def test_the_apps_a_pat_reaches_are_accepted(sandbox, ids):
    assert identity(sandbox, "pat", **ids).app_id == ids["app_id"]


@pytest.mark.parametrize(
    ("key", "ids", "error", "wrong", "remedy"),
    [
        ("revoked_key", {}, KeyRejectedError, "knows no such key", "Copy the key again"),
        ("pat", {"app_id": "mian"}, AppNotFoundError, "one of alice's apps", "mean 'main'?"),
        ("pat", {"user_id": "zoe"}, UserNotFoundError, "'zoe'", "Check --user-id"),
        ("pat", {"user_id": "zoe", "app_id": "a"}, UserNotFoundError, "'zoe'", "--user-id"),
        ("pat", {"user_id": "bob", "app_id": "attic"}, AppNotFoundError, "not shared", "--app-id"),
        ("api_key", {"app_id": "recipes"}, AppMismatchError, "'main' of alice", "Leave"),
        (
            "api_key",
            {"user_id": "clarifai", "app_id": "main"},
            AppMismatchError,
            "not to app 'main' of clarifai",
            "Leave",
        ),
    ],
)
def test_what_does_not_fit_names_the_fix(sandbox, key, ids, error, wrong, remedy):
    with pytest.raises(error) as caught:
        identity(sandbox, key, **ids)
    assert wrong in caught.value.message
    assert remedy in caught.value.hint


def test_a_malformed_key_is_rejected_by_the_api_too(sandbox):
    with pytest.raises(KeyRejectedError):
        connect(Credentials("not-a-hex-key", base=sandbox.base))


def test_a_dead_host_is_an_error_that_names_the_base():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(RefusedConnectionError, match=base):
            connect(Credentials("k" * 32, base=base))
    assert time.monotonic() - started < 12


def test_a_host_that_never_answers_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(DeadlineError, match=base):
            connect(Credentials("k" * 32, base=base), timeout=1)
    assert time.monotonic() - started < 3


def test_an_unknown_host_is_told_from_a_dead_one():
    with pytest.raises(UnknownHostError, match="nosuch.invalid"):
        connect(Credentials("k" * 32, base="https://nosuch.invalid"))


def test_tls_is_trusted_with_the_ca_and_refused_without():
    with Sandbox(tls=True) as secure:
        key = secure.keys.pat
        with connect(
            Credentials(key, base=secure.base, root_certificates=secure.root_certificates)
        ) as session:
            assert session.identity.owner == "alice"
        with pytest.raises(TLSError, match=secure.base):
            connect(Credentials(key, base=secure.base))
        plain = secure.base.replace("https://", "http://")
        with pytest.raises(UnreachableError):
            connect(Credentials(key, base=plain), timeout=2)


def test_plaintext_is_never_tried_where_tls_was_asked_for(sandbox):
    with pytest.raises(TLSError):
        connect(Credentials(sandbox.keys.pat, base=sandbox.base.removeprefix("http://")))


def test_a_missing_ca_bundle_is_told_before_any_call(sandbox, tmp_path):
    with pytest.raises(BaseURLError, match="cannot be read"):
        connect(
            Credentials(
                sandbox.keys.pat, base=sandbox.base, root_certificates=str(tmp_path / "none.pem")
            )
        )


def test_a_busy_or_failing_api_is_waited_out_within_the_deadline():
    with (
        Sandbox(throttle=0.3, outage=0.2) as busy,
        connect(Credentials(busy.keys.pat, base=busy.base), timeout=60) as session,
    ):
        assert session.identity.owner == "alice"


def test_an_api_that_stays_busy_is_told_as_such():
    with Sandbox(throttle=1.0) as busy, pytest.raises(ThrottledError, match="too many requests"):
        connect(Credentials(busy.keys.pat, base=busy.base), timeout=1)


def test_without_verification_no_call_is_made_and_nothing_is_claimed():
    with connect(Credentials("k" * 32, base="http://127.0.0.1:1"), verified=False) as session:
        assert session.identity.kind == ""
        assert "unverified key" in repr(session)
