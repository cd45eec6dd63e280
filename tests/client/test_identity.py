"""What a key is found to be, and what is said when key, user and app do not fit."""

from __future__ import annotations

import socket

import grpc
import pytest
from answering import (
    SUCCESS,
    Api,
    answers_to_a_pat,
    answers_to_an_api_key,
    refusal,
)
from clarifai_grpc.grpc.api.status import status_code_pb2
from support import CANARY

from clarifai_magic import Credentials, connect
from clarifai_magic.errors import (
    AppMismatchError,
    AppNotFoundError,
    BaseURLError,
    ClarifaiMagicError,
    DeadlineError,
    KeyRejectedError,
    RefusedConnectionError,
    RefusedError,
    ThrottledError,
    TLSError,
    UnknownHostError,
    UserNotFoundError,
)
from clarifai_magic.sandbox import Sandbox

EVERY_CODE = [value.number for value in status_code_pb2.StatusCode.DESCRIPTOR.values]
OF_CALLS_AND_KEYS = range(10_000, 12_000)
WRONG_KIND = status_code_pb2.CONN_AUTH_METHOD_DISABLED
OTHER_KEY = "0ddba11" * 4 + "cafe"
BUSY = {status_code_pb2.CONN_THROTTLED, status_code_pb2.TRY_AGAIN}
CODES = sorted(
    {code for code in EVERY_CODE if code in OF_CALLS_AND_KEYS}
    | BUSY
    | {
        min(code for code in EVERY_CODE if code // 100 == group)
        for group in {c // 100 for c in EVERY_CODE}
    }
)
"""All that are about keys, and of what they are not told apart by, the first of each group."""


@pytest.fixture(scope="module")
def api():
    with Api().serving() as api:
        yield api


def found(api, answers, **ids):
    """The identity that some answers make, or the error."""
    api.answers = answers
    timeout = 0.3 if any(map(_is_waited_out, answers.values())) else 10
    try:
        with connect(Credentials(CANARY, base=api.base, **ids), timeout=timeout) as session:
            return session.identity
    except ClarifaiMagicError as caught:
        error = caught
    assert "\n" not in error.message + error.hint
    assert CANARY not in str(error)
    return error


def _is_waited_out(answer):
    if hasattr(answer, "status"):
        return answer.status.code in BUSY
    return answer[0] is grpc.StatusCode.UNAVAILABLE if answer else False


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
        ("revoked_key", {}, KeyRejectedError, "does not know this key", "Copy the key again"),
        ("pat", {"app_id": "mian"}, AppNotFoundError, "one of alice's apps", "mean 'main'?"),
        ("pat", {"user_id": "zoe"}, UserNotFoundError, "'zoe'", "Check --user-id"),
        ("pat", {"user_id": "zoe", "app_id": "a"}, UserNotFoundError, "'zoe'", "--user-id"),
        ("pat", {"user_id": "bob", "app_id": "attic"}, AppNotFoundError, "not shared", "--app-id"),
        ("api_key", {"app_id": "recipes"}, AppMismatchError, "'main' of alice", "Omit"),
        (
            "api_key",
            {"user_id": "clarifai", "app_id": "main"},
            AppMismatchError,
            "not to app 'main' of clarifai",
            "Omit",
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
        with pytest.raises(RefusedConnectionError, match=base):
            connect(Credentials("k" * 32, base=base))


@pytest.mark.slow
def test_a_host_that_never_answers_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DeadlineError, match=base):
            connect(Credentials("k" * 32, base=base), timeout=1)


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
        with pytest.raises(TLSError, match="speaks TLS") as caught:
            connect(Credentials(key, base=plain), timeout=2)
        assert "https://" in caught.value.hint


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


KINDS = {"PAT": answers_to_a_pat, "API key": answers_to_an_api_key}


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_question_is_answered_the_key_is_not_taken_for_another(api, kind, code):
    for method, ids in [
        ("GetUser", {}),
        ("GetUser", {"app_id": "main"}),
        ("MyScopes", {}),
        ("ListApps", {}),
        ("ListApps", {"user_id": "alice"}),
        ("GetApp", {"app_id": "main"}),
    ]:
        # These two alone say that a method does take the key, or that it does not.
        if method == "GetUser" and code == {"PAT": WRONG_KIND, "API key": SUCCESS}[kind]:
            continue
        who = found(api, {**KINDS[kind](), method: refusal(method, code)}, **ids)
        if isinstance(who, ClarifaiMagicError):
            assert isinstance(who, RefusedError), (method, who)
            assert who.status_code == code
            continue
        assert who.kind in {"", kind}, method
        assert who.owner in {"", "alice"}
        assert who.user_id in {"", "alice"}
        assert who.app_id in {"", "main"}


@pytest.mark.parametrize("code", [11000, 11003, 11005, 10020, 99009, 21200, 0])
def test_what_says_nothing_of_the_kind_of_key_is_an_error(api, code):
    for answers in (answers_to_a_pat(), answers_to_an_api_key()):
        error = found(api, {**answers, "GetUser": refusal("GetUser", code)})
        assert isinstance(error, RefusedError)
        assert error.status_code == code


@pytest.mark.parametrize(
    "answer",
    [b"", b"\xff\xff", *[(code, "no") for code in grpc.StatusCode if code.name != "OK"]],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_answer_tells_nothing(api, kind, answer):
    for method in ("GetUser", "MyScopes", "GetApp", "ListApps"):
        ids = {"app_id": "main"} if method == "GetApp" else {}
        who = found(api, {**KINDS[kind](), method: answer}, **ids)
        assert isinstance(who, ClarifaiMagicError) or who.kind == kind
        if method == "GetUser":
            assert isinstance(who, ClarifaiMagicError)


def test_a_key_that_single_endpoints_are_granted_to_may_be_of_unknown_kind(api):
    lacking = status_code_pb2.CONN_INSUFFICIENT_SCOPES
    answers = answers_to_a_pat()
    for method in ("GetUser", "MyScopes", "ListApps", "GetApp"):
        answers[method] = refusal(method, lacking)
    who = found(api, answers, user_id="alice", app_id="main")
    assert (who.kind, who.owner, who.user_id, who.app_id) == ("", "", "alice", "main")


@pytest.mark.parametrize("code", [11007, 11008, 11009, 11101, 11102, 11200])
def test_a_key_that_belongs_to_an_app_is_an_api_key_however_getuser_turns_it_away(api, code):
    who = found(api, {**answers_to_an_api_key(), "GetUser": refusal("GetUser", code)})
    assert (who.kind, who.owner, who.app_id) == ("API key", "alice", "main")


def test_throttling_is_told_though_the_last_attempt_runs_out_of_time(api):
    answers = answers_to_a_pat()
    answers["GetUser"] = refusal("GetUser", status_code_pb2.CONN_THROTTLED)
    assert isinstance(found(api, answers), ThrottledError)


def test_an_api_key_without_the_owner_of_its_app_takes_the_one_that_is_named(api):
    answers = answers_to_an_api_key(user_id="")
    who = found(api, answers, user_id="alice")
    assert (who.kind, who.user_id, who.app_id) == ("API key", "alice", "main")


@pytest.mark.parametrize(
    ("key", "ids", "words"),
    [
        ("pat", {"user_id": "alcie"}, ["'alcie'", "the key is alice's", "mean 'alice'?"]),
        ("pat", {"user_id": "zoe", "app_id": "main"}, ["'zoe'", "the key is alice's"]),
        ("pat", {"app_id": "mian"}, ["'mian'", "the key is alice's"]),
        ("pat", {"user_id": "bob", "app_id": "attic"}, ["alice's key", "bob's app 'attic'"]),
        ("other_pat", {"user_id": "alice", "app_id": "main"}, ["bob's key", "alice's app 'main'"]),
        ("scoped_pat", {"user_id": "bob", "app_id": "attic"}, ["This PAT", "bob's app 'attic'"]),
        ("api_key", {"app_id": "attic"}, ["'main' of alice", "'attic' of alice"]),
        ("api_key", {"user_id": "bob"}, ["'main' of alice", "'main' of bob"]),
    ],
)
def test_what_does_not_fit_names_whose_key_it_is(sandbox, key, ids, words):
    with pytest.raises(RefusedError) as caught:
        identity(sandbox, key, **ids)
    for word in words:
        assert word in str(caught.value)


def test_apps_are_suggested_only_where_they_could_be_listed(api):
    answers = answers_to_a_pat()
    answers["GetApp"] = refusal("GetApp", status_code_pb2.CONN_DOES_NOT_EXIST)
    assert "mean 'main'?" in found(api, answers, app_id="mian").hint
    for failed in (refusal("ListApps", 11007), (grpc.StatusCode.INTERNAL, "")):
        error = found(api, {**answers, "ListApps": failed}, app_id="mian")
        assert isinstance(error, AppNotFoundError)
        assert error.hint == "Check --app-id and --user-id."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", [{"user_id": OTHER_KEY}, {"app_id": OTHER_KEY}], ids=str)
def test_a_key_in_the_place_of_an_id_is_not_repeated(api, kind, ids):
    answers = KINDS[kind]()
    for method in ("GetApp", "ListApps"):
        answers[method] = refusal(method, status_code_pb2.CONN_DOES_NOT_EXIST)
    error = found(api, answers, **ids)
    assert isinstance(error, ClarifaiMagicError)
    assert OTHER_KEY not in str(error)


HOSTILE = "a\x1b]52;c;ZXZpbA==\x07\nroot\u202e\u200b"


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_server_calls_things_obeys_nobody(api, kind, shell, environment):
    answers = KINDS[kind](user_id=HOSTILE, app_id=HOSTILE)
    answers["MyScopes"].scopes.append(HOSTILE)
    answers["MyScopes"].endpoints.append(HOSTILE)
    who = found(api, answers)
    for text in [who.owner, who.user_id, who.app_id, *who.apps, *who.scopes, *who.endpoints]:
        assert text.isprintable()
    environment(API_BASE=api.base, PAT=CANARY)
    for line in ("%clarifai_auth", "%clarifai_auth status", "%clarifai_scopes"):
        shown = shell.run(line)
        assert all(each.isprintable() or each == "\n" for each in shown)
    assert not shell.run("%clarifai_auth status").count("\nroot")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", [{}, {"app_id": "mian"}, {"user_id": "alcie", "app_id": "main"}])
def test_a_server_that_sends_the_key_back_has_it_shown_nowhere(api, kind, ids):
    answers = KINDS[kind](user_id=CANARY, app_id=CANARY.upper())
    answers["MyScopes"].scopes.append(f"scope of {CANARY}")
    answers["MyScopes"].endpoints.append(CANARY)
    for missing in (False, True):
        if missing:
            answers["GetApp"] = refusal("GetApp", status_code_pb2.CONN_DOES_NOT_EXIST)
        assert CANARY not in str(found(api, answers, **ids)).lower()
