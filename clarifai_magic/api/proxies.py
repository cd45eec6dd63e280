"""The HTTP proxy that gRPC uses, by gRPC's rules."""

from __future__ import annotations

import base64
import ipaddress
import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from clarifai_magic.api.deployment import bracketed

if TYPE_CHECKING:
    from clarifai_magic.api.deployment import Deployment

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")
_DEFAULT_PORT = 443  # of whatever gRPC resolves


class Proxy(NamedTuple):
    """The HTTP proxy that gRPC uses.

    Parameters
    ----------
    variable : str
        The environment variable that names it.
    host, port : str and int
        Its address.
    login : str
        Its Proxy-Authorization; empty for none.
    """

    variable: str
    host: str
    port: int
    login: str = ""

    @property
    def base(self) -> str:
        """Its URL, without the login."""
        return f"http://{bracketed(self.host)}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the proxy only: the login, if there is one."""
        return {"Proxy-Authorization": f"Basic {self.login}"} if self.login else {}

    def __repr__(self) -> str:
        return f"Proxy({self.variable})"


def proxy_for(deployment: Deployment) -> Proxy | None:
    """The proxy to a deployment, by gRPC's rules; None for a direct connection."""
    variable = _first_set(_VARIABLES)
    if deployment.loopback or not variable:
        return None
    try:
        parts = urlsplit(os.environ[variable])
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        return None
    if parts.scheme != "http" or not host or _without_proxy(deployment.host):
        return None
    login = unquote(parts.netloc.rpartition("@")[0])
    return Proxy(variable, host, port, base64.b64encode(login.encode()).decode())


def _first_set(names: tuple[str, ...]) -> str:
    return next((name for name in names if name in os.environ), "")


def _without_proxy(host: str) -> bool:
    listed = os.environ.get(_first_set(_EXCEPTIONS), "")
    for entry in filter(None, map(str.strip, listed.split(","))):
        if host.lower().endswith(entry.lower()):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def proxy_hint(deployment: Deployment | None) -> str:
    """A hint about the proxy in use, or about one that gRPC ignores."""
    proxy = deployment and proxy_for(deployment)
    if proxy:
        return f"; gRPC goes through the proxy in {proxy.variable}, except to hosts in no_proxy"
    if os.environ.get("HTTPS_PROXY") and not os.environ.get("https_proxy"):
        return "; gRPC ignores HTTPS_PROXY in upper case: set https_proxy"
    return ""
