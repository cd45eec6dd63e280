"""What the statuses in the API's responses mean, and what to do about each."""

from __future__ import annotations

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.errors import (
    AccountError,
    KeyRejectedError,
    RefusedError,
    ScopeError,
    ThrottledError,
)

SUCCESS = status_code_pb2.SUCCESS
KEY_STATUSES = frozenset(
    {
        status_code_pb2.CONN_ACCOUNT_ISSUES,
        status_code_pb2.CONN_TOKEN_INVALID,
        status_code_pb2.CONN_CREDENTIALS_INVALID,
        status_code_pb2.CONN_EXCEED_HOURLY_LIMIT,
        status_code_pb2.CONN_EXCEED_MONTHLY_LIMIT,
        status_code_pb2.CONN_THROTTLED,
        status_code_pb2.CONN_EXCEEDS_LIMITS,
        status_code_pb2.CONN_INSUFFICIENT_SCOPES,
        status_code_pb2.CONN_KEY_INVALID,
        status_code_pb2.CONN_KEY_NOT_FOUND,
        status_code_pb2.CONN_INVALID_REQUEST,
        status_code_pb2.CONN_NO_GDPR_CONSENT,
        status_code_pb2.CONN_AUTH_METHOD_DISABLED,
    }
)
"""The statuses of calls refused because of the key, its scopes, account or plan."""
ABSENT_STATUSES = frozenset(
    {
        status_code_pb2.CONN_DOES_NOT_EXIST,
        status_code_pb2.MODEL_DOES_NOT_EXIST,
        status_code_pb2.WORKFLOW_DOES_NOT_EXIST,
    }
)
"""The statuses of calls for a model or workflow that the key does not reach with these IDs."""
PUBLIC_IDS = "user_id='clarifai', app_id='main'"
"""Where Clarifai's own models and workflows are."""

_NEW_KEY = f"Copy the key again, or make a new one, at {SECRETS_PAGE}."
_WAIT = "Wait and try again; the limits belong to the account's plan."
CHECK_IDS = "Check the user, app and model IDs; %clarifai_auth status shows the session's."
_REQUEST = "Check the request against https://docs.clarifai.com/api-reference."

Words = tuple[type[RefusedError], str, str]

WORDS: dict[int, Words] = {
    status_code_pb2.ZERO: (
        RefusedError,
        "the response has no status",
        "Check that --base is the address of a Clarifai API.",
    ),
    status_code_pb2.CONN_ACCOUNT_ISSUES: (
        AccountError,
        "the account, its plan or an expired key does not allow it",
        "Look for a notice at https://clarifai.com/me/settings; check whether the key expired.",
    ),
    status_code_pb2.CONN_TOKEN_INVALID: (KeyRejectedError, "the token is not valid", _NEW_KEY),
    status_code_pb2.CONN_CREDENTIALS_INVALID: (
        KeyRejectedError,
        "the credentials are not valid",
        _NEW_KEY,
    ),
    status_code_pb2.CONN_EXCEED_HOURLY_LIMIT: (
        ThrottledError,
        "the hourly limit is reached",
        _WAIT,
    ),
    status_code_pb2.CONN_EXCEED_MONTHLY_LIMIT: (
        ThrottledError,
        "the monthly limit is reached",
        _WAIT,
    ),
    status_code_pb2.CONN_THROTTLED: (ThrottledError, "too many requests per second", _WAIT),
    status_code_pb2.CONN_EXCEEDS_LIMITS: (
        ThrottledError,
        "a limit of the account is reached",
        _WAIT,
    ),
    status_code_pb2.CONN_INSUFFICIENT_SCOPES: (
        ScopeError,
        "the key lacks a scope",
        f"Give the key that scope, or use another key, at {SECRETS_PAGE}.",
    ),
    status_code_pb2.CONN_KEY_INVALID: (
        KeyRejectedError,
        "the key is malformed, or a PAT was used without an app ID",
        f"{_NEW_KEY} With a PAT, give --app-id too.",
    ),
    status_code_pb2.CONN_KEY_NOT_FOUND: (
        KeyRejectedError,
        "the API does not know this key: it is mistyped, revoked or from another deployment",
        _NEW_KEY,
    ),
    status_code_pb2.CONN_BAD_REQUEST_FORMAT: (
        RefusedError,
        "the request cannot be read",
        _REQUEST,
    ),
    status_code_pb2.CONN_DOES_NOT_EXIST: (
        RefusedError,
        "it does not exist, or this key cannot reach it",
        f"{CHECK_IDS} Clarifai's own models need a PAT and {PUBLIC_IDS}.",
    ),
    status_code_pb2.CONN_INVALID_REQUEST: (
        KeyRejectedError,
        "the key is missing from the request",
        "Omit metadata=, or pass metadata=metadata; %clarifai_auth restores both names.",
    ),
    status_code_pb2.CONN_METHOD_NOT_ALLOWED: (
        RefusedError,
        "this address does not accept this kind of request",
        _REQUEST,
    ),
    status_code_pb2.CONN_NO_GDPR_CONSENT: (
        AccountError,
        "the account has not agreed to the terms",
        "Sign in at https://clarifai.com and accept them there.",
    ),
    status_code_pb2.CONN_INVALID_RANGE: (
        RefusedError,
        "the requested range does not exist",
        _REQUEST,
    ),
    status_code_pb2.CONN_AUTH_METHOD_DISABLED: (
        ScopeError,
        "this call does not accept this kind of key",
        f"Use a PAT instead of an API key (or the reverse); create either at {SECRETS_PAGE}.",
    ),
}
"""For each status about the connection, and for no status: the error, what is wrong, what to do."""


def named(code: int) -> str:
    """A status code with its name, such as ``11007 CONN_INSUFFICIENT_SCOPES``."""
    try:
        return f"{code} {status_code_pb2.StatusCode.Name(code)}"
    except ValueError:
        return str(code)


def error_from_status(status: Any, doing: str) -> RefusedError:
    """The error for a status that is not SUCCESS.

    Parameters
    ----------
    status : clarifai.api.status.Status
        From the response; only its code is trusted.
    doing : str
        The action that failed, such as "Signing in".

    Returns
    -------
    RefusedError
    """
    kind, wrong, remedy = words(status.code)
    return kind(f"{doing} failed: {wrong} ({named(status.code)}).", remedy, status_code=status.code)


def words(code: int) -> Words:
    """What a status means: from `WORDS`, else clarifai-grpc's comment on it."""
    if code in WORDS:
        return WORDS[code]
    number, _, name = named(code).partition(" ")
    wrong = _comments().get(code) or name.lower().replace("_", " ") or f"status {number}"
    return RefusedError, wrong, _REQUEST


@cache
def _comments() -> dict[int, str]:
    """The comments on the status codes, from clarifai-grpc's type stub."""
    stub = Path(status_code_pb2.__file__).with_suffix(".pyi")
    comments: dict[int, str] = {}
    try:
        body = ast.parse(stub.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError):
        return comments
    for declared, following in pairwise(body):
        if not (isinstance(declared, ast.AnnAssign) and isinstance(declared.target, ast.Name)):
            continue
        comment = getattr(getattr(following, "value", None), "value", None)
        code = getattr(status_code_pb2, declared.target.id, None)
        if isinstance(comment, str) and isinstance(code, int):
            comments[code] = _first_sentence(comment)
    return comments


def _first_sentence(comment: str) -> str:
    line = comment.strip().splitlines()[-1].partition("FIXME")[0].strip().rstrip(". ")
    return line[:1].lower() + line[1:] if line[1:2].islower() else line
