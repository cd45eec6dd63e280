"""What gRPC's failures mean, and what to do about each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clarifai_magic.errors import (
    CallError,
    DeadlineError,
    RefusedConnectionError,
    TLSError,
    UnknownHostError,
    UnreachableError,
)

if TYPE_CHECKING:
    from clarifai_magic.errors import ClarifaiMagicError

_CHECK_BASE = "Check --base and CLARIFAI_API_BASE, and whether this machine is online{proxy}."

_CONNECTION: list[tuple[tuple[str, ...], type[UnreachableError], str, str]] = [
    (
        ("peer name", "hostname verification"),
        TLSError,
        "The certificate at {base} is for another host name.",
        "Use the name that is in the certificate as --base.",
    ),
    (
        ("wrong_version_number",),
        TLSError,
        "{base} does not speak TLS.",
        "If it is meant to be unencrypted, spell out http:// in --base.",
    ),
    (
        ("handshake", "ssl", "certificate"),
        TLSError,
        "The certificate at {base} is not trusted.",
        "For a private deployment give its CA with --root-certificates PATH{proxy}.",
    ),
    (
        ("resolv", "lookup", "name or service", "domain name"),
        UnknownHostError,
        "The host of {base} was not found.",
        _CHECK_BASE,
    ),
    (
        ("http1", "expected settings"),
        RefusedConnectionError,
        "{base} answers, but does not speak gRPC.",
        "Check the port, and whether it should be https:// rather than http://{proxy}.",
    ),
    (
        ("proxy", "connect handshake"),
        RefusedConnectionError,
        "The proxy on the way to {base} did not let the call through.",
        "Check the proxy{proxy}.",
    ),
    (
        ("refused", "failed to connect", "unreachable"),
        RefusedConnectionError,
        "Nothing answers at {base}.",
        _CHECK_BASE,
    ),
]
"""gRPC says UNAVAILABLE for all of these; only words in its details tell them apart."""

_OTHERS: list[tuple[str, str, str, str]] = [
    (
        "CANCELLED",
        "",
        "The call was cancelled, by an interrupted cell or by closing the session.",
        "Run the cell again; %clarifai_auth signs in again if need be.",
    ),
    (
        "INTERNAL",
        "invalid metadata",
        "The metadata has a character that no header can have.",
        "Leave metadata= away, or pass metadata=metadata as %clarifai_auth made it.",
    ),
    (
        "RESOURCE_EXHAUSTED",
        "larger than max",
        "The message is larger than the client or the API takes.",
        "Send fewer or smaller inputs in one call, or their URLs instead of their bytes.",
    ),
]


def is_connection_failure(error: Any) -> bool:
    """Whether a gRPC error says that no connection could be made, which waiting seldom mends."""
    return _connection_failure(error) is not None


def failed(error: Any, base: str) -> ClarifaiMagicError:
    """The error for a gRPC call that got no answer.

    Parameters
    ----------
    error : grpc.RpcError
        As raised by a call.
    base : str
        The API's base URL.

    Returns
    -------
    ClarifaiMagicError
        An `UnreachableError`, or a `CallError` where the call itself is at fault.
    """
    code, details = error.code().name, (error.details() or "").lower()
    if code == "DEADLINE_EXCEEDED":
        return DeadlineError(
            f"No answer from {base} in time.",
            f"Check the base URL and the network{_proxy()}; --timeout SECONDS gives it longer.",
        )
    if code == "UNAVAILABLE":
        failure = _connection_failure(error)
        if failure is None:
            return UnreachableError(f"{base} is out of service.", "Try again in a minute.")
        kind, wrong, remedy = failure
        return kind(wrong.format(base=base), remedy.format(proxy=_proxy()))
    for other, part, wrong, remedy in _OTHERS:
        if code == other and part in details:
            return CallError(wrong, remedy)
    return UnreachableError(
        f"The call to {base} failed with gRPC's {code}.", "Try again; if it stays, check --base."
    )


def _connection_failure(error: Any) -> tuple[type[UnreachableError], str, str] | None:
    details = (error.details() or "").lower()
    for parts, kind, wrong, remedy in _CONNECTION:
        if any(part in details for part in parts):
            return kind, wrong, remedy
    return None


def _proxy() -> str:
    """What to know about the proxy that is in force, or that only seems to be."""
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        if os.environ.get(name):
            return f"; gRPC goes through the proxy in {name}, except to hosts in no_proxy"
    if os.environ.get("HTTPS_PROXY"):
        return "; gRPC ignores HTTPS_PROXY in upper case: set https_proxy"
    return ""
