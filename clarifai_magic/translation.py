"""Refusals of the API and failures of gRPC, translated into errors that say what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.credentials import SECRETS_PAGE
from clarifai_magic.errors import (
    AccountError,
    DeadlineError,
    KeyRejectedError,
    RefusedConnectionError,
    RefusedError,
    ScopeError,
    ThrottledError,
    TLSError,
    UnknownHostError,
    UnreachableError,
)

if TYPE_CHECKING:
    from clarifai_magic.deployment import Deployment

_NEW_KEY = f"Copy the key again, or make a new one, at {SECRETS_PAGE}."
_WAIT = "Wait and try again; the limits belong to the account's plan."

REFUSALS: dict[int, tuple[type[RefusedError], str, str]] = {
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
    status_code_pb2.CONN_AUTH_METHOD_DISABLED: (
        ScopeError,
        "this kind of key may not make this call",
        f"Use a PAT instead of an API key (or the reverse); both are made at {SECRETS_PAGE}.",
    ),
    status_code_pb2.CONN_NO_GDPR_CONSENT: (
        AccountError,
        "the account has not agreed to the terms",
        "Sign in at https://clarifai.com and answer the notice there.",
    ),
}
"""What each authorisation status means: the error, what is wrong, what to do."""


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
    kind, wrong, remedy = REFUSALS.get(
        status.code,
        (RefusedError, "the API refused", "See https://docs.clarifai.com, or try again later."),
    )
    name = _code_name(status.code)
    return kind(f"{doing} failed: {wrong} ({name}).", remedy, status_code=status.code)


def _code_name(code: int) -> str:
    try:
        return f"{code} {status_code_pb2.StatusCode.Name(code)}"
    except ValueError:
        return str(code)


_CONNECTION_FAILURES: list[tuple[tuple[str, ...], type[UnreachableError], str, str]] = [
    (
        ("handshake", "ssl", "certificate", "peer name"),
        TLSError,
        "No trusted encrypted connection could be made to {base}.",
        "For a private deployment give its CA with --root-certificates PATH.",
    ),
    (
        ("resolv", "lookup", "name or service", "domain name"),
        UnknownHostError,
        "The host of {base} was not found.",
        "Check --base and CLARIFAI_API_BASE, and whether this machine is online.",
    ),
    (
        ("http1", "expected settings"),
        RefusedConnectionError,
        "{base} answers, but does not speak gRPC.",
        "Check the port, and whether it should be https:// rather than http://.",
    ),
    (
        ("refused", "failed to connect", "unreachable"),
        RefusedConnectionError,
        "Nothing answers at {base}.",
        "Check --base and CLARIFAI_API_BASE, and whether this machine is online.",
    ),
]
"""gRPC says UNAVAILABLE for all of these; only words in its details tell them apart."""


def _connection_failure(error: Any) -> tuple[type[UnreachableError], str, str] | None:
    details = (error.details() or "").lower()
    for words, kind, wrong, remedy in _CONNECTION_FAILURES:
        if any(word in details for word in words):
            return kind, wrong, remedy
    return None


def is_connection_failure(error: Any) -> bool:
    """Whether a gRPC error says that no connection could be made, which waiting seldom mends."""
    return _connection_failure(error) is not None


def unreachable(error: Any, deployment: Deployment) -> UnreachableError:
    """The error for a gRPC call that got no answer.

    Parameters
    ----------
    error : grpc.RpcError
        As raised by a call.
    deployment : Deployment
        Where the call went.

    Returns
    -------
    UnreachableError
    """
    code, base = error.code().name, deployment.base
    if code == "DEADLINE_EXCEEDED":
        return DeadlineError(
            f"No answer from {base} in time.",
            f"Check the base URL and the network{_proxy()}; --timeout SECONDS gives it longer.",
        )
    if code == "UNAVAILABLE" and (failure := _connection_failure(error)):
        kind, wrong, remedy = failure
        return kind(wrong.format(base=base), remedy)
    if code == "UNAVAILABLE":
        return UnreachableError(f"{base} is out of service.", "Try again in a minute.")
    return UnreachableError(
        f"The call to {base} failed with gRPC's {code}.", "Try again; if it stays, check --base."
    )


def _proxy() -> str:
    for name in ("grpc_proxy", "https_proxy"):
        if os.environ.get(name):
            return f" (gRPC goes through the proxy in {name})"
    return ""
