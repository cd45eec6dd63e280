"""Where the API is: its base URL, whether the connection is encrypted, and which CA it trusts."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.api.text import printable
from clarifai_magic.environment import own
from clarifai_magic.errors import BaseURLError

_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost"}
_HOST = r"[\w.-]+"
_EXAMPLE = "Give it as https://HOST or https://HOST:PORT."
_BASES = ("CLARIFAI_API_BASE", "CLARIFAI_GRPC_BASE")
_ROOTS = "CLARIFAI_ROOT_CERTIFICATES_PATH"


class Deployment(NamedTuple):
    """One place where the Clarifai API is served.

    Parameters
    ----------
    base : str
        ``scheme://host[:port]`` in its canonical form, which REST clients and the SDK take.
    host : str
        Name or address, without brackets.
    port : int
        TCP port.
    secure : bool
        Whether the connection uses TLS.
    root_certificates : str
        Absolute path of a CA bundle in PEM; empty for gRPC's own roots.
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
    def is_plaintext(self) -> bool:
        """Whether others can read a key on its way there."""
        return not (self.secure or self.loopback)

    @property
    def netloc_host(self) -> str:
        """The host as written before ``:port``: an IPv6 address in brackets."""
        return bracketed(self.host)

    @property
    def words(self) -> str:
        """Where the key goes, for the user; empty for Clarifai's own."""
        if self.is_plaintext:
            return f"{self.base} is not encrypted: the key can be read on the way"
        return "" if self.base == PUBLIC_BASE else f"at {self.netloc_host}"


def find_deployment(base: str = "", root_certificates: str | None = None) -> Deployment:
    """The named deployment, else the environment's, else Clarifai's own.

    Parameters
    ----------
    base : str
        A URL, or a bare host with or without a port, which means https. ``http://`` must be
        spelled out. If empty, CLARIFAI_API_BASE applies, then CLARIFAI_GRPC_BASE.
    root_certificates : str, optional
        Path of a CA bundle; if None, CLARIFAI_ROOT_CERTIFICATES_PATH applies.

    Returns
    -------
    Deployment

    Raises
    ------
    BaseURLError
        If the URL has no usable host or port, a path, user information or another scheme; if the
        environment's is unencrypted, which needs an explicit base; or if the bundle is unreadable.
    """
    found = deployment_at(base) if base.strip() else (_environments() or deployment_at(PUBLIC_BASE))
    if root_certificates is None:
        root_certificates = own(_ROOTS) if found.secure else ""
    return found._replace(root_certificates=_readable(root_certificates))


def deployment_at(base: str, root_certificates: str = "") -> Deployment:
    """The deployment at a base URL, regardless of the environment.

    Parameters
    ----------
    base : str
        As for `find_deployment`, but not empty.
    root_certificates : str
        Path of a CA bundle; empty for gRPC's own roots.

    Raises
    ------
    BaseURLError
        If the URL cannot be used, or the bundle cannot be read.
    """
    text = base.strip()
    scheme, host, port = _parts(text if "://" in text else f"https://{text}")
    usual = 443 if scheme == "https" else 80
    return Deployment(
        base=f"{scheme}://{bracketed(host)}{'' if port in {None, usual} else f':{port}'}",
        host=host,
        port=port or usual,
        secure=scheme == "https",
        root_certificates=_readable(root_certificates),
    )


def environment_roots(base: str) -> str:
    """The environment's CA bundle, for a base URL from elsewhere.

    Empty if the environment names another base URL: the bundle belongs to that one.
    """
    try:
        named = _environments()
    except BaseURLError:
        return ""
    fits = named is None or named.base == deployment_at(base).base
    return own(_ROOTS) if fits else ""


def _environments() -> Deployment | None:
    """The deployment that the environment names, without its CA bundle."""
    for variable in _BASES:
        if named := own(variable).strip():
            break
    else:
        return None
    try:
        found = deployment_at(named)
    except BaseURLError as error:
        error.hint = f"It is the value of {variable}. {error.hint}"
        raise
    if found.is_plaintext:
        raise BaseURLError(
            f"{found.base}, the value of {variable}, is not encrypted: the key could be read on "
            "the way.",
            f"Make it https://, or ask for it with --base {found.base}.",
        )
    return found


def _parts(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a base URL."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BaseURLError(
            "The base URL contains characters that are not allowed in a URL.", _EXAMPLE
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # whose message repeats what may be a key
        raise BaseURLError("The base URL's host or port cannot be read.", _EXAMPLE) from None
    if parts.scheme not in {"http", "https"}:
        raise BaseURLError(f"The base URL's scheme is {parts.scheme}://.", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise BaseURLError("The base URL contains a user name or password.", _EXAMPLE)
    if not host:
        raise BaseURLError("The base URL has no host.", _EXAMPLE)
    if not (re.fullmatch(_HOST, host) or "[" in parts.netloc):
        # gRPC would decode a percent sign; the named host must be the one that gRPC contacts.
        raise BaseURLError(
            "The base URL's host contains characters that are not allowed in a host name.", _EXAMPLE
        )
    if port == 0:
        raise BaseURLError("The base URL's port is 0, which is not a valid port.", _EXAMPLE)
    if parts.path.rstrip("/") not in {"", "/v2"} or parts.query or parts.fragment:
        raise BaseURLError(
            "The base URL has a path, query or fragment, which gRPC cannot use.", _EXAMPLE
        )
    return parts.scheme, _one_way(host), port


def _one_way(host: str) -> str:
    """A host in its canonical form."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def bracketed(host: str) -> str:
    """A host as written before ``:port``."""
    return f"[{host}]" if ":" in host else host


def _readable(roots: str) -> str:
    """The absolute path of a usable CA bundle; empty stays empty."""
    if not roots:
        return ""
    shown = printable(roots)
    try:
        # Absolute, because the working directory may change before the next read.
        path = Path(roots).expanduser().absolute()
        special = path.exists() and not (path.is_file() or path.is_dir())  # reading it may block
        text = None if special else path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise _unusable(shown, str(error.strerror)) from None
    except (RuntimeError, ValueError):  # an unknown user's home; a null character
        raise _unusable(shown, "the path is not valid") from None
    if text is None:
        raise _unusable(shown, "it is not a regular file")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise BaseURLError(
            f"The CA bundle {shown} contains no PEM certificate.",
            "It should contain -----BEGIN CERTIFICATE----- lines; convert DER with openssl x509.",
        )
    return str(path)


def _unusable(shown: str, reason: str) -> BaseURLError:
    return BaseURLError(
        f"The CA bundle {shown} cannot be read: {reason}.",
        f"Check --root-certificates or {_ROOTS}.",
    )
