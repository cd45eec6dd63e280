"""The sandbox's sockets and lifetime: one loopback port for gRPC and REST, with or without TLS."""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from clarifai_magic.loopback import exchanges, rpc
from clarifai_magic.loopback.certificates import certified
from clarifai_magic.loopback.front import LOOPBACK, Front, relay
from clarifai_magic.loopback.pool import Pool
from clarifai_magic.loopback.thread import ServerThread
from clarifai_magic.sandbox import rest, seed
from clarifai_magic.sandbox.service import Faults, Service

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from typing_extensions import Self

_log = logging.getLogger(__name__)

_THREADS = 128  # more than calls in flight, so that latency does not queue them


class Sandbox:
    """A local server that speaks Clarifai's protocol, on loopback only.

    Parameters
    ----------
    port : int
        The port to serve on; 0 for any free port.
    tls : bool
        Whether to serve TLS, with a certificate for `localhost` (needs `clarifai-magic[tls]`).
    latency : float
        Seconds before each response.
    throttle : float
        The share of calls, from 0 to 1, that fail with 11005 and are not carried out.
    outage : float
        The share of calls, from 0 to 1, that end with UNAVAILABLE and are not carried out.
    rate : float
        Calls per second to carry out; further ones fail with 11005. 0 for no limit.

    Attributes
    ----------
    keys : Keys
        The keys that exist from the start, random for every sandbox.
    user_id, app_id : str
        The owner of `keys.pat`, and that user's first app.
    base : str
        The base URL, once started.
    faults : Faults
        `latency`, `throttle`, `outage` and `rate`, which may change while it serves.
    root_certificates : str or None
        The path of the certificate authority's PEM file while serving TLS.
    """

    user_id = seed.USER_ID
    app_id = seed.APP_ID

    def __init__(  # noqa: PLR0913 - a port, and what goes wrong
        self,
        port: int = 0,
        tls: bool = False,
        latency: float = 0.0,
        throttle: float = 0.0,
        outage: float = 0.0,
        rate: float = 0.0,
    ) -> None:
        self._wanted_port = port
        self._tls = tls
        self.faults = Faults(latency, throttle, outage, rate)
        store, self.keys = seed.planted()
        self._service = Service(store, self.faults)
        self._starting = threading.Lock()
        self._pool = Pool(_THREADS, "clarifai-sandbox")
        self._thread: ServerThread[tuple[str, str]] | None = None
        self.base = ""
        self.root_certificates: str | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.base or 'not serving'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Serve, from now until `close()`, or the end of the process.

        Raises
        ------
        OSError
            The port cannot be used.
        ModuleNotFoundError
            TLS is requested and `trustme` is not installed.
        RuntimeError
            The sandbox has been started before.
        """
        with self._starting:
            if self._thread is not None or self.faults.over.is_set():
                raise RuntimeError("This sandbox has already been started.\nMake another one.")
            serve = partial(_serve, self._wanted_port, self._tls, self._service, self._pool)
            thread = ServerThread(serve, "clarifai-sandbox-front", self, self._pool.threads)
            self.base, authority = thread.place
            self.root_certificates = authority or None
            self._thread = thread
        _log.debug("sandbox started at %s", self.base)
        if self.faults.over.is_set():  # closed meanwhile
            self.close()

    def close(self) -> None:
        """Stop serving, drop every connection and forget everything; may be called again.

        In a process forked since `start()` it does nothing: the server is the parent's.
        """
        self.faults.over.set()
        if self._thread is not None:
            self._thread.close()
            self.root_certificates = None


async def _serve(  # noqa: PLR0913 - what it is made of, then what a `ServerThread` gives
    port: int,
    tls: bool,
    service: Service,
    pool: Pool,
    place: Future[tuple[str, str]],
    stop: asyncio.Event,
) -> None:
    origin = "https://localhost" if tls else f"http://{LOOPBACK}"
    with pool, certified() if tls else nullcontext(("", None)) as (authority, context):

        def listening(found: int) -> None:
            place.set_result((f"{origin}:{found}", authority))

        server, inner = rpc.started(service.answer, pool)
        front = Front(
            http1=partial(exchanges.serve, partial(rest.answer, service), rest.unreadable, pool),
            http2=partial(relay, inner),
        )
        try:
            await front.serve(port, context, listening, stop)
            _log.debug("sandbox stopped at %s", place.result()[0])
        finally:
            service.faults.over.set()
            server.stop(None).wait()
