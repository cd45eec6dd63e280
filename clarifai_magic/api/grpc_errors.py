"""What gRPC's failures mean, and what to do about each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.api.connectivity import find_obstacle
from clarifai_magic.api.proxies import proxy_hint
from clarifai_magic.errors import CallError, DeadlineError, UnreachableError

if TYPE_CHECKING:
    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.errors import ClarifaiMagicError

_OTHERS: dict[str, tuple[type[ClarifaiMagicError], str, str]] = {
    "CANCELLED": (
        CallError,
        "The call was cancelled, by an interrupted cell or by closing the session.",
        "Run the cell again; if the session is closed, run %clarifai_auth first.",
    ),
    "INTERNAL": (
        CallError,
        "The call failed with gRPC's INTERNAL: it could not send or read a header or message.",
        "Omit metadata=, or pass metadata=metadata from %clarifai_auth; then try again.",
    ),
    "RESOURCE_EXHAUSTED": (
        CallError,
        "The call exceeds a gRPC limit, most often the maximum message size.",
        "Send fewer or smaller inputs in one call, or send URLs instead of bytes.",
    ),
    "UNIMPLEMENTED": (
        UnreachableError,
        "{base} answers, but does not serve this method of the Clarifai API.",
        "Check --base; if it is right, the deployment is older or newer than clarifai-grpc.",
    ),
}


def is_connection_failure(error: Any, deployment: Deployment) -> bool:
    """Whether a call failed because a connection fails, which a retry rarely fixes.

    Tries to connect: it blocks as `find_obstacle` does.

    Parameters
    ----------
    error : grpc.RpcError
        As raised by a call.
    deployment : Deployment
        The call's destination.
    """
    return error.code().name == "UNAVAILABLE" and find_obstacle(deployment) is not None


def error_from_rpc(error: Any, deployment: Deployment | None = None) -> ClarifaiMagicError:
    """The error for a gRPC call that got no response.

    Tries to connect to find the reason: it blocks as `find_obstacle` does.

    Parameters
    ----------
    error : grpc.RpcError
        As raised by a call.
    deployment : Deployment, optional
        The call's destination. Without it, nothing is tried.

    Returns
    -------
    ClarifaiMagicError
        An `UnreachableError`, or a `CallError` if the call itself is at fault.
    """
    code, base = error.code().name, deployment.base if deployment else "the API"
    if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
        obstacle = find_obstacle(deployment) if deployment else None
        return obstacle or _no_answer(code, deployment)
    if code in _OTHERS:
        kind, wrong, remedy = _OTHERS[code]
        return kind(_sentence(wrong.format(base=base)), remedy)
    return UnreachableError(
        f"The call to {base} failed with gRPC's {code}.",
        "Try again; if it keeps failing, check --base.",
    )


def _no_answer(code: str, deployment: Deployment | None) -> UnreachableError:
    """The error for a server that is reachable, or may be."""
    base = deployment.base if deployment else "the API"
    if code == "DEADLINE_EXCEEDED":
        return DeadlineError(
            f"No answer from {base} in time.",
            f"Check the base URL and the network{proxy_hint(deployment)}; "
            "--timeout SECONDS allows more time.",
        )
    if deployment is None:
        return UnreachableError(
            "The API is out of service, or cannot be reached.",
            "Run %clarifai_auth doctor to test every step of the connection.",
        )
    return UnreachableError(f"{base} is out of service.", "Try again in a minute.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
