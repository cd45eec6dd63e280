"""Where the API is: its base URL, whether the way there is encrypted, and by whom trusted."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from clarifai_magic.errors import BaseURLError

PUBLIC_BASE = "https://api.clarifai.com"

_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost"}
_EXAMPLE = "Give it as https://HOST or https://HOST:PORT."


class Deployment(NamedTuple):
    """One place where the Clarifai API is served.

    Parameters
    ----------
    base : str
        ``scheme://host[:port]``, without a trailing slash: what REST clients and the SDK take.
    host : str
        Name or address, without brackets.
    port : int
        TCP port.
    secure : bool
        Whether TLS is spoken.
    root_certificates : str
        Path of a CA bundle in PEM; empty for gRPC's own roots.
    """

    base: str
    host: str
    port: int
    secure: bool
    root_certificates: str = ""

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() in _LOOPBACK_NAMES

    @property
    def in_the_clear(self) -> bool:
        """Whether a key sent there can be read on the way."""
        return not (self.secure or self.loopback)

    @property
    def netloc_host(self) -> str:
        """The host as it is written before ``:port``: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host


def find_deployment(base: str = "", root_certificates: str = "") -> Deployment:
    """The deployment that is named, else the environment's, else Clarifai's own.

    Parameters
    ----------
    base : str
        A URL, or a bare host with or without port, which means https. ``http://`` has to be
        spelled out. When empty, CLARIFAI_API_BASE counts, then CLARIFAI_GRPC_BASE.
    root_certificates : str
        Path of a CA bundle; when empty, CLARIFAI_ROOT_CERTIFICATES_PATH counts.

    Returns
    -------
    Deployment

    Raises
    ------
    BaseURLError
        If the URL has no usable host or port, a path, user information or another scheme, or
        the bundle cannot be read.
    """
    named = base or os.environ.get("CLARIFAI_API_BASE") or os.environ.get("CLARIFAI_GRPC_BASE")
    roots = root_certificates or os.environ.get("CLARIFAI_ROOT_CERTIFICATES_PATH", "")
    return _parsed((named or PUBLIC_BASE).strip(), _readable(roots))


def _parsed(text: str, roots: str) -> Deployment:
    url = text if "://" in text else f"https://{text}"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BaseURLError("The base URL has characters that no URL has.", _EXAMPLE)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BaseURLError(f"The base URL cannot be read: {error}.", _EXAMPLE) from None
    if parts.scheme not in {"http", "https"}:
        raise BaseURLError(f"The base URL's scheme is {parts.scheme}://.", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise BaseURLError("The base URL holds a user name or password.", _EXAMPLE)
    if not host:
        raise BaseURLError("The base URL names no host.", _EXAMPLE)
    if parts.path.rstrip("/") not in {"", "/v2"} or parts.query or parts.fragment:
        raise BaseURLError(
            "The base URL goes on after the host, and gRPC knows no paths.", _EXAMPLE
        )
    secure = parts.scheme == "https"
    netloc = parts.netloc
    return Deployment(
        base=f"{parts.scheme}://{netloc.lower()}",
        host=host,
        port=port or (443 if secure else 80),
        secure=secure,
        root_certificates=roots,
    )


def _readable(roots: str) -> str:
    path = Path(roots).expanduser() if roots else None
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise BaseURLError(
            f"The CA bundle {path} cannot be read: {error.strerror}.",
            "Check --root-certificates or CLARIFAI_ROOT_CERTIFICATES_PATH.",
        ) from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise BaseURLError(
            f"The CA bundle {path} holds no PEM certificate.",
            "It should have lines -----BEGIN CERTIFICATE-----; convert DER with openssl x509.",
        )
    return str(path)
