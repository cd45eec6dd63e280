"""The key for HTTP clients of this process: only on requests to the session's deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from clarifai_magic.credentials.secret import Secret, Unpicklable
from clarifai_magic.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import Any, Protocol

    from clarifai_magic.api.deployment import Deployment

    class Request(Protocol):
        """A request of requests, httpx or httpx2."""

        url: Any
        headers: MutableMapping[str, str]


R = TypeVar("R", bound="Request")

# Other vendors' protocols, whose clients say Bearer.
_EXTENSIONS = "/v2/ext/"
_PORTS = {"http": 80, "https": 443}


class Auth(Unpicklable):
    """For ``auth=`` of requests and httpx, synchronous and async.

    Parameters
    ----------
    deployment : Deployment
        The only allowed destination of the key.
    key : callable
        Returns the key.
    """

    __slots__ = ("_header",)

    def __init__(self, deployment: Deployment, key: Callable[[], str]) -> None:
        # A closure, so that no attribute leads to the key.
        def header(url: str, before: str) -> Secret:
            _require_same_origin(url, deployment)
            _require_no_proxy(deployment)
            return Secret(f"{_word(url, before)} " + key())

        self._header = header

    def __call__(self, request: R) -> R:
        """Put the Authorization header into a request.

        Raises
        ------
        CallError
            If the request goes to another host, port or scheme, or through a proxy that would
            see it on its way to this machine.
        """
        before = request.headers.get("Authorization", "")
        request.headers["Authorization"] = self._header(str(request.url), before)
        return request

    def __repr__(self) -> str:
        return "<Auth>"


def _word(url: str, before: str) -> str:
    """Key or Bearer: the client's choice, else the one for the address."""
    word = before.partition(" ")[0]
    if word in {"Key", "Bearer"}:
        return word
    return "Bearer" if urlsplit(url).path.startswith(_EXTENSIONS) else "Key"


def _require_same_origin(url: str, deployment: Deployment) -> None:
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    scheme = "https" if deployment.secure else "http"
    if (parts.scheme, parts.hostname, port) != (scheme, deployment.host, deployment.port):
        raise CallError(
            f"This request goes to {parts.scheme}://{parts.netloc.rpartition('@')[2]}, "
            f"but the session's key is only for {deployment.base}.",
            "Omit auth= for it, or sign in with --base.",
        )


def _require_no_proxy(deployment: Deployment) -> None:
    """Refuse an environment's proxy for this machine, where requests are not encrypted."""
    reads_along = deployment.loopback and not deployment.secure
    if reads_along and {"http", "all"} & {*getproxies()} and not proxy_bypass(deployment.host):
        raise CallError(
            f"A proxy is set for requests to {deployment.host}, and would see the session's key.",
            f"Add {deployment.host} to no_proxy in the environment.",
        )
