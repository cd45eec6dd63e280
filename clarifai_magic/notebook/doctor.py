"""A report on everything between this notebook and the API, safe to paste into a bug report.

Each check runs separately, so that a failing or blocked one hides no other; no check asks the
user anything, and the report shows names of variables but never their values.
"""

from __future__ import annotations

import http.client
import importlib
import importlib.metadata
import logging
import os
import platform
import ssl
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, cast

from clarifai_magic.api import USER_AGENT
from clarifai_magic.api.connectivity import Attempt
from clarifai_magic.api.deployment import Deployment, find_deployment
from clarifai_magic.api.text import printable
from clarifai_magic.credentials.sources import SILENT
from clarifai_magic.credentials.sources.base import KeyNotHere, SourceContext
from clarifai_magic.environment import is_lent
from clarifai_magic.errors import ClarifaiMagicError
from clarifai_magic.notebook.hosts import current
from clarifai_magic.redaction import looking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from clarifai_magic.notebook.hosts import Host

_log = logging.getLogger(__name__)

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
_VARIABLES = ("CLARIFAI_", "OPENAI_", "GRPC_", "SSL_CERT_")
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY")
_AROUND = {
    "VSCODE_PID": "VS Code",
    "JPY_SESSION_NAME": "a Jupyter server",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "COLAB_RELEASE_TAG": "Google Colab",
}
_SLOW_TO_ASK = {"colab"}  # reading it opens a dialog in the browser


def report(base: str = "", root_certificates: str = "", host: Host | None = None) -> str:
    """Check everything and report the findings.

    Parameters
    ----------
    base, root_certificates : str
        As for `find_deployment`.
    host : Host, optional
        The notebook's; by default the current one.

    Returns
    -------
    str
        One line per finding; takes little more than `PATIENCE` seconds.
    """
    host = host or current()
    around = SourceContext(in_colab=host.in_colab, base=base, root_certificates=root_certificates)
    checks: dict[str, Callable[[], Iterable[str]]] = {
        "versions": _versions,
        "imports": _imports,
        "host": lambda: _host(host),
        "variables": _variables,
        "proxy": _proxy,
        "sources": lambda: _sources(around),
    }
    try:
        deployment = find_deployment(base, root_certificates or None)
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
            lines = _failed(error)
        else:
            lines = future.result()
        for line in lines:
            yield f"{name:10} {line}"
            name = ""  # noqa: PLW2901 - a check's name stands before its first line only


def _listed(check: Callable[[], Iterable[str]]) -> list[str]:
    return list(check())


def _failed(error: BaseException) -> list[str]:
    if isinstance(error, ClarifaiMagicError):
        return [f"failed: {error.message}", f"→ {error.hint}"]
    return [f"failed: {_said(error)}"]


def _said(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {error}")


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()} on {platform.platform()}"
    for package in _PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{package} is not installed"
    yield f"the guard searches for keys with {looking.means()}"


def _imports() -> Iterator[str]:
    """Whether the client can be imported: protobuf and grpcio may be too old for its code."""
    for module in ("google.protobuf", "grpc", "clarifai_grpc.grpc.api.service_pb2_grpc"):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - version conflicts raise all sorts
            yield f"{module} cannot be imported ({_said(error)})"
            yield "→ pip install --upgrade clarifai-grpc grpcio protobuf, then restart the kernel"
            return
    yield "grpc, protobuf and clarifai_grpc are compatible"


def _host(host: Host) -> Iterator[str]:
    told = [name for variable, name in _AROUND.items() if variable in os.environ]
    shell = "no shell" if host.shell is None else f"shell {type(host.shell).__module__}"
    yield f"{host.name}; asks {host.asks.value}"
    yield f"around it {', '.join(told) or 'nothing known'}; {shell}"


def _variables() -> Iterator[str]:
    names = sorted(name for name in os.environ if name.startswith(_VARIABLES))
    yield f"set: {', '.join(names) or 'none'}"
    if exported := ", ".join(filter(is_lent, names)):
        yield f"of these exported by a session: {exported}"


def _proxy() -> Iterator[str]:
    names = [name for name in _PROXIES if os.environ.get(name)]
    yield f"set: {', '.join(names) or 'none'}"
    if "HTTPS_PROXY" in names and not {"grpc_proxy", "https_proxy"} & set(names):
        yield "→ gRPC ignores HTTPS_PROXY in upper case; set https_proxy too"


def _sources(around: SourceContext) -> Iterator[str]:
    for kind, (place, find) in SILENT.items():
        if kind in _SLOW_TO_ASK and around.in_colab:
            yield f"{place}: not asked"
            continue
        try:
            yield f"{place}: a key ({find('', around).source})"
        except KeyNotHere as absent:
            yield f"{place}: {absent}"
        except ClarifaiMagicError as error:
            yield f"{place}: {error.message}"


def _base(deployment: Deployment) -> Iterator[str]:
    yield deployment.base
    if deployment.is_plaintext:
        yield "→ not encrypted: the key can be read on the way"
    if deployment.root_certificates:
        yield f"CA bundle {deployment.root_certificates}"


def _dns(deployment: Deployment) -> Iterator[str]:
    attempt = _attempt(deployment)
    found = dict.fromkeys(str(address[4][0]) for address in attempt.resolve())
    yield f"{', '.join(found)}{_by_proxy(attempt)}"


def _tcp(deployment: Deployment) -> Iterator[str]:
    attempt, started = _attempt(deployment), time.monotonic()
    with closing(attempt.connect()):
        yield f"connected in {_milliseconds(started)}{_by_proxy(attempt)}"


def _tls(deployment: Deployment) -> Iterator[str]:
    if not deployment.secure:
        yield "not used"
        return
    attempt = _attempt(deployment)
    with closing(attempt.connect()) as plain, closing(attempt.encrypt(plain)) as secured:
        certificate = secured.getpeercert() or {}
        issuer: dict[str, str] = {}
        for group in cast("Iterable[Iterable[tuple[str, str]]]", certificate.get("issuer", ())):
            issuer.update(group)
        name = issuer.get("organizationName") or issuer.get("commonName") or "unknown"
        until = certificate.get("notAfter")
        yield printable(f"{secured.version()}, issued by {name}, until {until}")


def _rest(deployment: Deployment) -> Iterator[str]:
    started = time.monotonic()
    connection = http.client.HTTPConnection(deployment.host, deployment.port)
    with closing(_attempt(deployment).connect()) as plain, closing(connection):
        connection.sock = plain
        if deployment.secure:
            # With Python's authorities, which clients other than gRPC use.
            context = ssl.create_default_context(cafile=deployment.root_certificates or None)
            connection.sock = context.wrap_socket(plain, server_hostname=deployment.host)
        connection.sock.settimeout(PATIENCE - 1)
        _log.debug("GET /v2/auth/methods from %s", deployment.base)
        connection.request("GET", "/v2/auth/methods", headers={"User-Agent": USER_AGENT})
        response = connection.getresponse()
        yield f"HTTP {response.status} in {_milliseconds(started)}"
        if date := response.getheader("Date"):
            skew = datetime.now(timezone.utc) - parsedate_to_datetime(date)
            yield f"this machine's clock is {abs(skew.total_seconds()):.0f} s off the server's"


def _grpc(deployment: Deployment) -> Iterator[str]:
    import grpc
    from clarifai_grpc.grpc.api import service_pb2

    from clarifai_magic.api.grpc_errors import error_from_rpc
    from clarifai_magic.client.stub import make_stub
    from clarifai_magic.client.transport import Connection

    started = time.monotonic()
    with closing(Connection(deployment, retries=False)) as connection:
        try:
            # It needs no key (NoAuth), so it tests only the connection.
            make_stub(connection.channel).ListStatusCodes(
                service_pb2.ListStatusCodesRequest(), timeout=PATIENCE / 2
            )
        except grpc.RpcError as error:
            failure = error_from_rpc(error, deployment)
            yield failure.message
            yield f"→ {failure.hint}"
        else:
            yield f"answered in {_milliseconds(started)}"


def _attempt(deployment: Deployment) -> Attempt:
    return Attempt(deployment, PATIENCE - 1)


def _by_proxy(attempt: Attempt) -> str:
    return f" (the proxy in {attempt.proxy.variable})" if attempt.proxy else ""


def _milliseconds(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.0f} ms"
