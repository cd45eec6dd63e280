"""What the statuses in the API's responses mean, and what to do about each."""

from __future__ import annotations

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.errors import (
    AccountError,
    KeyRejectedError,
    RefusedError,
    ScopeError,
    ThrottledError,
)
from clarifai_magic.keys import SECRETS_PAGE
from clarifai_magic.scopes import Auth, missing_scopes, requirement

if TYPE_CHECKING:
    from clarifai_magic.identity import Identity

SUCCESS = status_code_pb2.SUCCESS
FIRST, LAST = 11000, 11200
"""The statuses about the connection: key, account, limits, address (status_code.proto)."""

_NEW_KEY = f"Copy the key again, or make a new one, at {SECRETS_PAGE}."
_WAIT = "Wait and try again; the limits belong to the account's plan."
_IDS = "Check the user, app and model IDs; %clarifai_auth status shows those signed in with."
_REQUEST = "Check the request against https://docs.clarifai.com/api-reference."

Words = tuple[type[RefusedError], str, str]

WORDS: dict[int, Words] = {
    status_code_pb2.CONN_ACCOUNT_ISSUES: (
        AccountError,
        "the account, its plan or an expired key stands in the way",
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
        "the hourly limit is used up",
        _WAIT,
    ),
    status_code_pb2.CONN_EXCEED_MONTHLY_LIMIT: (
        ThrottledError,
        "the monthly limit is used up",
        _WAIT,
    ),
    status_code_pb2.CONN_THROTTLED: (ThrottledError, "too many requests a second", _WAIT),
    status_code_pb2.CONN_EXCEEDS_LIMITS: (
        ThrottledError,
        "a limit of the account is used up",
        _WAIT,
    ),
    status_code_pb2.CONN_INSUFFICIENT_SCOPES: (
        ScopeError,
        "the key lacks a scope",
        f"Give the key that scope, or take another key, at {SECRETS_PAGE}.",
    ),
    status_code_pb2.CONN_KEY_INVALID: (
        KeyRejectedError,
        "the key is malformed, or a PAT was used without an app ID",
        f"{_NEW_KEY} With a PAT, give --app-id too.",
    ),
    status_code_pb2.CONN_KEY_NOT_FOUND: (
        KeyRejectedError,
        "the API knows no such key: mistyped, revoked or of another deployment",
        _NEW_KEY,
    ),
    status_code_pb2.CONN_BAD_REQUEST_FORMAT: (
        RefusedError,
        "the request cannot be read",
        _REQUEST,
    ),
    status_code_pb2.CONN_DOES_NOT_EXIST: (
        RefusedError,
        "there is no such thing, or this key cannot reach it",
        _IDS,
    ),
    status_code_pb2.CONN_INVALID_REQUEST: (
        KeyRejectedError,
        "the key is missing from the request",
        "Leave metadata= away or pass metadata=metadata; %clarifai_auth puts both names back.",
    ),
    status_code_pb2.CONN_METHOD_NOT_ALLOWED: (
        RefusedError,
        "this address does not take that kind of request",
        _REQUEST,
    ),
    status_code_pb2.CONN_NO_GDPR_CONSENT: (
        AccountError,
        "the account has not agreed to the terms",
        "Sign in at https://clarifai.com and answer the notice there.",
    ),
    status_code_pb2.CONN_INVALID_RANGE: (
        RefusedError,
        "the range that was asked for is not there",
        _REQUEST,
    ),
    status_code_pb2.CONN_AUTH_METHOD_DISABLED: (
        ScopeError,
        "this kind of key may not make this call",
        f"Use a PAT instead of an API key (or the reverse); both are made at {SECRETS_PAGE}.",
    ),
}
"""For each status about the connection: the error, what is wrong, what to do."""


def named(code: int) -> str:
    """A status code with its name, such as ``11007 CONN_INSUFFICIENT_SCOPES``."""
    try:
        return f"{code} {status_code_pb2.StatusCode.Name(code)}"
    except ValueError:
        return str(code)


def refused(status: Any, doing: str) -> RefusedError:
    """The error for a status that is not SUCCESS.

    Parameters
    ----------
    status : clarifai.api.status.Status
        From the response; only its code is trusted.
    doing : str
        What was being done, as in "Signing in".

    Returns
    -------
    RefusedError
    """
    kind, wrong, remedy = words(status.code)
    return kind(f"{doing} failed: {wrong} ({named(status.code)}).", remedy, status_code=status.code)


def words(code: int) -> Words:
    """What a status means: from `WORDS`, else the comment that clarifai-grpc has on it."""
    if code in WORDS:
        return WORDS[code]
    number, _, name = named(code).partition(" ")
    wrong = _comments().get(code) or name.lower().replace("_", " ") or f"status {number}"
    return RefusedError, wrong, _REQUEST


def concerning(method: str, code: int, identity: Identity) -> tuple[str, str]:
    """What a refused call means for the key that made it.

    Parameters
    ----------
    method : str
        Bare name, such as ``PostInputs``.
    code : int
        The status code of the response.
    identity : Identity
        Of the key.

    Returns
    -------
    wrong, remedy : str
        As in `WORDS`, but naming the scopes that are missing or the kind of key that is needed.
    """
    _, wrong, remedy = words(code)
    need = requirement(method)
    if need.auth is Auth.PAT and identity.kind == "API key":
        return (
            f"{method} takes a PAT, and this is an API key",
            f"Sign in with a PAT; they are made at {SECRETS_PAGE}.",
        )
    if code == status_code_pb2.CONN_INSUFFICIENT_SCOPES and identity.scopes:
        missing = missing_scopes(method, identity.scopes, identity.endpoints)
        if missing:
            return f"the key lacks {', '.join(sorted(missing))}", remedy
        return "the key may do this only with its own user's and app's resources", _IDS
    if code == status_code_pb2.CONN_KEY_INVALID and identity.kind == "PAT" and not identity.app_id:
        return (
            "a PAT needs an app ID here, and no app was chosen",
            "Run %clarifai_auth --app-id ID, or set user_app_id in the request.",
        )
    return wrong, remedy


@cache
def _comments() -> dict[int, str]:
    """The comments on the status codes, from the type stub that clarifai-grpc ships."""
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
