"""What stands between this machine and a deployment, found by trying; it sends no key.

gRPC says UNAVAILABLE both if the server says so and if it cannot connect, and gives the reason only
in words, which may be the server's. So this module repeats gRPC's steps: name, TCP, proxy, TLS,
HTTP/2.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import logging
import os
import socket
import ssl
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic.api.proxies import proxy_for, proxy_hint
from clarifai_magic.errors import (
    DeadlineError,
    ProxyError,
    RefusedConnectionError,
    TLSError,
    UnknownHostError,
    UnreachableError,
)

if TYPE_CHECKING:
    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.api.proxies import Proxy

_log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds for all steps together."""

_REUSED = 1.0  # seconds to reuse a result, because many calls may fail at once
_CHECK_BASE = "Check --base and CLARIFAI_API_BASE, and whether this machine is online{proxy}."

# RFC 9113, section 3.4: the client's preface with its empty SETTINGS frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_HEAD = 9
_SETTINGS = 4
_TLS_RECORDS = {0x14, 0x15, 0x16, 0x17}  # RFC 8446, section 5.1
_LONGEST_HEAD = 2**16
_LOGIN_WANTED = 407

# X509_V_ERR_… of OpenSSL's x509_vfy.h
_OTHER_HOST = {62, 64}
_NOT_YET_VALID = 9
_EXPIRED = 10


def trust(deployment: Deployment) -> ssl.SSLContext:
    """A context that trusts gRPC's certificate authorities and checks as gRPC does.

    Raises
    ------
    TLSError
        If the CA bundle cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    if not (deployment.root_certificates or _grpc_roots()):
        context.load_default_certs()
        return context
    roots = deployment.root_certificates or _grpc_roots()
    try:
        context.load_verify_locations(roots)
    except OSError:
        raise TLSError(
            f"The CA bundle {roots} cannot be used.",
            "Check --root-certificates and CLARIFAI_ROOT_CERTIFICATES_PATH.",
        ) from None
    return context


def _grpc_roots() -> str:
    """The file of gRPC's default roots; empty if it has none."""
    named = os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "")
    package = importlib.util.find_spec("grpc")
    own = Path((package and package.origin) or "").parent / "_cython/_credentials/roots.pem"
    return next((str(path) for path in (named, own) if path and Path(path).is_file()), "")


class Attempt:
    """One attempt to reach a deployment, step by step; each raises the error that says what failed.

    Parameters
    ----------
    deployment : Deployment
        What to reach.
    patience : float
        Seconds for all steps together.

    Attributes
    ----------
    proxy : Proxy or None
        What the connection goes through.
    """

    def __init__(self, deployment: Deployment, patience: float = PATIENCE) -> None:
        self.deployment = deployment
        self.proxy = proxy_for(deployment)
        self._deadline = time.monotonic() + patience

    def resolve(self) -> list[Any]:
        """The addresses of the deployment's host or, if there is one, of its proxy."""
        place = self.proxy or self.deployment
        found: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()

        def ask() -> None:
            try:
                found.set_result(
                    socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
                )
            except (OSError, UnicodeError) as error:
                found.set_exception(error)

        # In a thread: a name server that does not answer would block forever.
        threading.Thread(target=ask, name="clarifai-resolve", daemon=True).start()
        try:
            return found.result(self._remaining())
        except (OSError, UnicodeError, concurrent.futures.TimeoutError):
            if self.proxy:
                raise self._proxy_error("was not found") from None
            raise self._error(
                UnknownHostError, "The host of {base} was not found.", _CHECK_BASE
            ) from None

    def connect(self) -> socket.socket:
        """A TCP connection, through the proxy if there is one."""
        connection = self._connected(self.resolve())
        try:
            if self.proxy:
                self._tunnel(connection, self.proxy)
        except BaseException:
            connection.close()
            raise
        return connection

    def encrypt(self, connection: socket.socket) -> ssl.SSLSocket:
        """TLS on a connection, with the certificate checked."""
        context = trust(self.deployment)
        connection.settimeout(self._remaining())
        try:
            return context.wrap_socket(connection, server_hostname=self.deployment.host)
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(error.verify_code) from None
        except TimeoutError:
            raise self._silence() from None
        except OSError:
            raise self._no_tls() from None

    def greet(self, connection: socket.socket) -> None:
        """HTTP/2 on a connection, as gRPC speaks it."""
        try:
            answer = self._answer(connection)
        except TimeoutError:
            raise self._silence() from None
        if len(answer) == _FRAME_HEAD and answer[3] == _SETTINGS and not any(answer[5:]):
            return
        if not self.deployment.secure and self._speaks_tls():
            raise self._error(
                TLSError,
                "{base} speaks TLS, but the base URL begins with http://.",
                "Use https:// in --base.",
            )
        raise self._no_grpc() if answer else self._hung_up()

    def reach(self) -> None:
        """All steps, in order."""
        with closing(self.connect()) as connection:
            if not self.deployment.secure:
                self.greet(connection)
                return
            with closing(self.encrypt(connection)) as encrypted:
                if encrypted.selected_alpn_protocol() != "h2":
                    raise self._no_grpc()
                self.greet(encrypted)

    def _remaining(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def _connected(self, addresses: list[Any]) -> socket.socket:
        failure: OSError = ConnectionRefusedError()
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(self._remaining() / (len(addresses) - tried))
            try:
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise self._no_connection(failure)

    def _tunnel(self, connection: socket.socket, proxy: Proxy) -> None:
        """Ask a proxy for a connection to the deployment."""
        target = f"{self.deployment.netloc_host}:{self.deployment.port}"
        login = f"Proxy-Authorization: Basic {proxy.login}\r\n" if proxy.login else ""
        connection.settimeout(self._remaining())
        head = b""
        try:
            connection.sendall(
                f"CONNECT {target} HTTP/1.0\r\nHost: {target}\r\n{login}\r\n".encode()
            )
            # One by one: bytes after the head are the deployment's.
            while not head.endswith(b"\r\n\r\n") and len(head) < _LONGEST_HEAD:
                connection.settimeout(self._remaining())
                if not (byte := connection.recv(1)):
                    break
                head += byte
        except OSError:
            raise self._proxy_error("does not answer") from None
        word, _, rest = head.partition(b" ")
        status = rest[:3].decode("latin-1")
        if not (word.startswith(b"HTTP/1.") and status.isdecimal()):
            raise self._proxy_error("does not answer like an HTTP proxy")
        if int(status) == _LOGIN_WANTED:
            raise self._proxy_error(
                "refused the login in its URL" if proxy.login else "requires a login",
                f"Put it into {proxy.variable} as http://USER:PASSWORD@HOST:PORT.",
            )
        if not status.startswith("2"):
            raise self._proxy_error(f"rejected the call (HTTP {status})")

    def _answer(self, connection: socket.socket) -> bytes:
        """The server's first bytes after a client's preface; none if the server hangs up."""
        answer = b""
        try:
            connection.settimeout(self._remaining())
            connection.sendall(_PREFACE)
            while len(answer) < _FRAME_HEAD:
                connection.settimeout(self._remaining())
                if not (more := connection.recv(_FRAME_HEAD - len(answer))):
                    break
                answer += more
        except TimeoutError:
            raise
        except OSError:
            pass
        return answer

    def _speaks_tls(self) -> bool:
        context = ssl.create_default_context()
        try:
            with closing(self.connect()) as connection:
                connection.settimeout(self._remaining())
                context.wrap_socket(connection, server_hostname=self.deployment.host).close()
        except ssl.SSLCertVerificationError:
            return True
        except (OSError, UnreachableError):
            return False
        return True

    def _error(self, kind: type[UnreachableError], wrong: str, remedy: str) -> UnreachableError:
        return kind(
            wrong.format(base=self.deployment.base),
            remedy.format(proxy=proxy_hint(self.deployment)),
        )

    def _proxy_error(self, wrong: str, remedy: str = "") -> ProxyError:
        variable = self.proxy.variable if self.proxy else ""
        return ProxyError(
            f"The proxy in {variable} {wrong}.",
            remedy or f"Check {variable}; gRPC reaches hosts in no_proxy without a proxy.",
        )

    def _no_connection(self, failure: OSError) -> UnreachableError:
        if self.proxy:
            return self._proxy_error("does not answer")
        if isinstance(failure, TimeoutError):
            wrong = "Connecting to {base} timed out."
            return self._error(DeadlineError, wrong, _CHECK_BASE)
        if isinstance(failure, ConnectionRefusedError):
            return self._error(RefusedConnectionError, "Nothing answers at {base}.", _CHECK_BASE)
        return self._error(
            UnreachableError, "{base} cannot be reached from this machine's network.", _CHECK_BASE
        )

    def _silence(self) -> UnreachableError:
        return self._error(
            DeadlineError,
            "{base} accepts connections, but does not answer in time.",
            "Check the host and port in --base{proxy}; --timeout SECONDS allows more time.",
        )

    def _no_grpc(self) -> UnreachableError:
        return self._error(
            RefusedConnectionError,
            "{base} answers, but does not speak gRPC.",
            "Check the host and port in --base{proxy}.",
        )

    def _hung_up(self) -> UnreachableError:
        certificate = (
            "; the server may require a client certificate" if self.deployment.secure else ""
        )
        return self._error(
            RefusedConnectionError,
            "{base} accepts connections and closes them at once.",
            f"Check the host and port in --base{{proxy}}{certificate}.",
        )

    def _distrust(self, verify_code: int) -> UnreachableError:
        if verify_code in _OTHER_HOST:
            wrong = "The certificate at {base} is for another host name."
            return self._error(TLSError, wrong, "Use the name in the certificate as --base.")
        if verify_code in {_EXPIRED, _NOT_YET_VALID}:
            state = "has expired" if verify_code == _EXPIRED else "is not valid yet"
            remedy = "Check this machine's clock; if it is right, the server needs a new one."
            return self._error(TLSError, f"The certificate at {{base}} {state}.", remedy)
        return self._error(
            TLSError,
            "The certificate at {base} is not trusted.",
            "For a private deployment, give its CA with --root-certificates PATH{proxy}.",
        )

    def _no_tls(self) -> UnreachableError:
        """The error for a server that failed at TLS; depends on whether it answers without TLS."""
        try:
            with closing(self.connect()) as connection:
                answer = self._answer(connection)
        except OSError:  # an UnreachableError too
            answer = b""
        if answer and answer[0] not in _TLS_RECORDS:
            wrong = "{base} does not speak TLS."
            remedy = "If it is deliberately unencrypted, spell out http:// in --base."
        else:
            wrong = "The TLS handshake with {base} failed."
            remedy = "Check the port in --base{proxy}; the server may require a client certificate."
        return self._error(TLSError, wrong, remedy)


class _Finding(NamedTuple):
    tried: tuple[Deployment, Proxy | None]
    when: float
    error: UnreachableError | None


_latest: list[_Finding] = []


def find_obstacle(deployment: Deployment) -> UnreachableError | None:
    """Why a connection fails; None if it succeeds.

    Blocks for up to `PATIENCE` seconds: in an event loop, call it in a thread.

    Parameters
    ----------
    deployment : Deployment
        What to reach.
    """
    tried = deployment, proxy_for(deployment)
    found = next(iter(_latest), None)
    if not found or found.tried != tried or time.monotonic() - found.when > _REUSED:
        try:
            Attempt(deployment).reach()
            error = None
        except UnreachableError as obstacle:
            error = _anew(obstacle)
        _log.debug("the way to %s: %s", deployment.base, error.code if error else "open")
        found = _Finding(tried, time.monotonic(), error)
        _latest[:] = [found]
    return found.error and _anew(found.error)


def _anew(error: UnreachableError) -> UnreachableError:
    """The error without its traceback, whose frames hold callers' objects."""
    return type(error)(error.message, error.hint)
