"""The connection to the session's own deployment: its TLS, its CA, and the configured proxy."""

from __future__ import annotations

import asyncio
import os
import pkgutil
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clarifai_magic.api.proxies import proxy_for
from clarifai_magic.bridge.admission import unavailable
from clarifai_magic.loopback.forks import keep_from_children
from clarifai_magic.loopback.front import CHUNK

if TYPE_CHECKING:
    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.api.proxies import Proxy

_PATIENCE = 20  # seconds to connect
_EYEBALLS = 0.25  # seconds before also trying a host's next address (RFC 8305)
_LONGEST_ANSWER = 2**14  # bytes of a proxy's response


class Upstream:
    """Connects to one deployment, and nowhere else.

    Parameters
    ----------
    deployment : Deployment
        The deployment.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.base = deployment.base
        self.scheme = b"https" if deployment.secure else b"http"
        self.host = urlsplit(deployment.base).netloc.encode()
        self._deployment = deployment
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def connect(self, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection for a protocol, given by its ALPN name.

        Raises
        ------
        Refusal
            If that fails; it says why.
        """
        try:
            reader, writer = await asyncio.wait_for(self._open(protocol), _PATIENCE)
        except socket.gaierror:
            raise unavailable(f"The host of {self.base} was not found.") from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or error
            words = f"No trusted connection to {self.base}: {reason}."
            raise unavailable(words) from None
        except asyncio.TimeoutError:
            raise unavailable(f"{self.base} did not answer in {_PATIENCE} seconds.") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            words = f"No connection to {self.base}: {reason}."
            raise unavailable(words) from None
        keep_from_children(writer)
        _keep_alive(writer.get_extra_info("socket"))
        spoken = writer.get_extra_info("ssl_object")
        if protocol == "h2" and spoken and spoken.selected_alpn_protocol() != "h2":
            writer.transport.abort()
            raise unavailable(f"{self.base} does not speak HTTP/2, which gRPC needs.")
        return reader, writer

    async def _open(self, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        at = self._deployment
        context = self._tls(protocol) if at.secure else None
        name = at.host if context else None
        if (proxy := proxy_for(at)) is None:
            return await asyncio.open_connection(
                at.host,
                at.port,
                limit=CHUNK,
                ssl=context,
                server_hostname=name,
                happy_eyeballs_delay=_EYEBALLS,
            )
        tunnel = await _tunnel(proxy, f"{at.netloc_host}:{at.port}")
        return await asyncio.open_connection(
            sock=tunnel, limit=CHUNK, ssl=context, server_hostname=name
        )

    def _tls(self, protocol: str) -> ssl.SSLContext:
        if protocol not in self._contexts:
            self._contexts[protocol] = tls(self._deployment, protocol)
        return self._contexts[protocol]


def tls(deployment: Deployment, protocol: str) -> ssl.SSLContext:
    """The TLS context of a deployment: its own CA, else gRPC's."""
    roots = os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "")
    path = deployment.root_certificates or roots
    context = ssl.create_default_context(cafile=path or None)
    if not path and (brought := _roots_of_grpc()):
        context.load_verify_locations(cadata=brought)
    context.set_alpn_protocols([protocol])
    return context


def _roots_of_grpc() -> str:
    """The roots of grpcio, for a machine without its own (macOS)."""
    with suppress(OSError):
        return (pkgutil.get_data("grpc._cython", "_credentials/roots.pem") or b"").decode()
    return ""


async def _tunnel(proxy: Proxy, target: str) -> socket.socket:
    """Make a proxy connect to a target."""
    loop = asyncio.get_running_loop()
    address = (proxy.host, proxy.port)
    tunnel = await loop.run_in_executor(None, socket.create_connection, address, _PATIENCE)
    try:
        tunnel.setblocking(False)
        await loop.sock_sendall(tunnel, _connect_request(proxy, target))
        answer = b""
        # One by one: bytes after the empty line are the target's.
        while not answer.endswith(b"\r\n\r\n") and len(answer) < _LONGEST_ANSWER:
            if not (byte := await loop.sock_recv(tunnel, 1)):
                break
            answer += byte
    except BaseException:
        tunnel.close()
        raise
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        tunnel.close()
        line = answer.partition(b"\r\n")[0].decode("latin-1")
        raise OSError(f"the proxy {proxy.host} answered {line!r}")
    return tunnel


def _connect_request(proxy: Proxy, target: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _keep_alive(connection: socket.socket) -> None:
    """Detect a peer that vanished; does nothing where it cannot be set."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
