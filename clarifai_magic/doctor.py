"""A report on everything between this notebook and the API, fit to paste into a bug report.

Each check runs by itself, so that one which fails or waits hides no other; no check asks
anybody anything, and names of variables are shown but never their values.
"""

from __future__ import annotations

import http.client
import importlib
import importlib.metadata
import os
import platform
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, cast

from clarifai_magic.deployment import Deployment, find_deployment
from clarifai_magic.errors import ClarifaiMagicError
from clarifai_magic.sources import SILENT
from clarifai_magic.sources.place import Absent, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PATIENCE = 10.0
"""Seconds for all checks together."""

_PACKAGES = (
    "clarifai-magic",
    "clarifai-grpc",
    "grpcio",
    "protobuf",
    "ipython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
)
_VARIABLES = ("CLARIFAI_", "GRPC_", "SSL_CERT_")
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY")
_FRONT_ENDS = {
    "VSCODE_PID": "VS Code",
    "JPY_SESSION_NAME": "a Jupyter server",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "COLAB_RELEASE_TAG": "Google Colab",
}
_SLOW_TO_ASK = {"colab"}  # its questions open a dialog in the browser


def report(base: str = "", root_certificates: str = "", shell_module: str = "") -> str:
    """Check everything and say what was found.

    Parameters
    ----------
    base, root_certificates : str
        As for `find_deployment`.
    shell_module : str
        As in `Surroundings`.

    Returns
    -------
    str
        A line a finding; ready within `PATIENCE` seconds and a moment.
    """
    checks: dict[str, Callable[[], Iterable[str]]] = {
        "versions": _versions,
        "imports": _imports,
        "front end": lambda: _front_end(shell_module),
        "variables": _variables,
        "proxy": _proxy,
        "sources": lambda: _sources(shell_module),
    }
    try:
        deployment = find_deployment(base, root_certificates)
    except ClarifaiMagicError as error:
        words = [error.message, error.hint]
        checks["base"] = lambda: words
    else:
        checks |= {
            "base": lambda: _base(deployment),
            "DNS": lambda: _dns(deployment),
            "TCP": lambda: _tcp(deployment),
            "TLS": lambda: _tls(deployment),
            "REST": lambda: _rest(deployment),
            "gRPC": lambda: _grpc(deployment),
        }
    return "\n".join(_carried_out(checks))


def _carried_out(checks: dict[str, Callable[[], Iterable[str]]]) -> Iterator[str]:
    pool = ThreadPoolExecutor(len(checks), thread_name_prefix="clarifai-doctor")
    futures = {name: pool.submit(_listed, check) for name, check in checks.items()}
    wait(futures.values(), timeout=PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)
    for name, future in futures.items():
        if not future.done():
            lines = [f"no result within {PATIENCE:.0f} s"]
        elif error := future.exception():
            lines = [f"failed: {_said(error)}"]
        else:
            lines = future.result()
        for line in lines:
            yield f"{name:10} {line}"
            name = ""  # noqa: PLW2901 - a check's name stands before its first line only


def _listed(check: Callable[[], Iterable[str]]) -> list[str]:
    return list(check())


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()} on {platform.platform()}"
    for package in _PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{package} is not installed"


def _imports() -> Iterator[str]:
    """Whether the client can be imported: protobuf and grpcio may be too old for its code."""
    for module in ("google.protobuf", "grpc", "clarifai_grpc.grpc.api.service_pb2_grpc"):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - version conflicts raise all sorts
            yield f"{module} cannot be imported ({_said(error)})"
            yield "→ pip install --upgrade clarifai-grpc grpcio protobuf, then restart the kernel"
            return
    yield "grpc, protobuf and clarifai_grpc fit together"


def _front_end(shell_module: str) -> Iterator[str]:
    told = [name for variable, name in _FRONT_ENDS.items() if variable in os.environ]
    yield f"{', '.join(told) or 'not told'}; shell {shell_module or 'none'}"


def _variables() -> Iterator[str]:
    names = sorted(name for name in os.environ if name.startswith(_VARIABLES))
    yield f"set: {', '.join(names) or 'none'}"


def _proxy() -> Iterator[str]:
    names = [name for name in _PROXIES if os.environ.get(name)]
    yield f"set: {', '.join(names) or 'none'}"
    if "HTTPS_PROXY" in names and not {"grpc_proxy", "https_proxy"} & set(names):
        yield "→ gRPC ignores HTTPS_PROXY in upper case; set https_proxy too"


def _sources(shell_module: str) -> Iterator[str]:
    around = Surroundings(shell_module=shell_module)
    for kind, (place, find) in SILENT.items():
        if kind in _SLOW_TO_ASK and shell_module.startswith("google.colab"):
            yield f"{place}: not asked"
            continue
        try:
            yield f"{place}: a key ({find('', around).source})"
        except Absent as absent:
            yield f"{place}: {absent}"
        except ClarifaiMagicError as error:
            yield f"{place}: {error.message}"


def _base(deployment: Deployment) -> Iterator[str]:
    yield deployment.base
    if deployment.in_the_clear:
        yield "→ not encrypted: the key can be read on the way"
    if deployment.root_certificates:
        yield f"CA bundle {deployment.root_certificates}"


def _dns(deployment: Deployment) -> Iterator[str]:
    found = socket.getaddrinfo(deployment.host, deployment.port, type=socket.SOCK_STREAM)
    yield ", ".join(dict.fromkeys(str(address[4][0]) for address in found))


def _tcp(deployment: Deployment) -> Iterator[str]:
    started = time.monotonic()
    with _connected(deployment):
        yield f"connected in {_milliseconds(started)}"


def _tls(deployment: Deployment) -> Iterator[str]:
    if not deployment.secure:
        yield "not used"
        return
    with (
        _connected(deployment) as plain,
        _context(deployment).wrap_socket(plain, server_hostname=deployment.host) as secured,
    ):
        certificate = secured.getpeercert() or {}
        issuer: dict[str, str] = {}
        for group in cast("Iterable[Iterable[tuple[str, str]]]", certificate.get("issuer", ())):
            issuer.update(group)
        name = issuer.get("organizationName") or issuer.get("commonName") or "unknown"
        yield f"{secured.version()}, issued by {name}, until {certificate.get('notAfter')}"


def _rest(deployment: Deployment) -> Iterator[str]:
    started = time.monotonic()
    connection = (
        http.client.HTTPSConnection(
            deployment.host, deployment.port, timeout=PATIENCE, context=_context(deployment)
        )
        if deployment.secure
        else http.client.HTTPConnection(deployment.host, deployment.port, timeout=PATIENCE)
    )
    try:
        connection.request("GET", "/v2/auth/methods")
        response = connection.getresponse()
        yield f"HTTP {response.status} in {_milliseconds(started)}"
        if date := response.getheader("Date"):
            skew = datetime.now(timezone.utc) - parsedate_to_datetime(date)
            yield f"this machine's clock is {abs(skew.total_seconds()):.0f} s off the server's"
    finally:
        connection.close()


def _grpc(deployment: Deployment) -> Iterator[str]:
    import grpc
    from clarifai_grpc.grpc.api import service_pb2

    from clarifai_magic.connection import Connection
    from clarifai_magic.failures import failed
    from clarifai_magic.session import make_stub

    started = time.monotonic()
    with closing(Connection(deployment, retries=False)) as connection:
        try:
            # It needs no key (NoAuth), so that only the way there is tested.
            make_stub(connection.channel).ListStatusCodes(
                service_pb2.ListStatusCodesRequest(), timeout=PATIENCE - 1
            )
        except grpc.RpcError as error:
            failure = failed(error, deployment.base)
            yield failure.message
            yield f"→ {failure.hint}"
        else:
            yield f"answered in {_milliseconds(started)}"


def _connected(deployment: Deployment) -> socket.socket:
    return socket.create_connection((deployment.host, deployment.port), timeout=PATIENCE - 1)


def _context(deployment: Deployment) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=deployment.root_certificates or None)


def _milliseconds(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.0f} ms"
