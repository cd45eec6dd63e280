"""The broker: a server on this machine that accepts the session's token and adds its key."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.bridge import http1, http2
from clarifai_magic.bridge.admission import Gate
from clarifai_magic.bridge.route import Route
from clarifai_magic.bridge.upstream import Upstream
from clarifai_magic.concurrency import Lock
from clarifai_magic.credentials.secret import Unpicklable
from clarifai_magic.errors import NotSignedInError
from clarifai_magic.loopback.front import LOOPBACK, Front
from clarifai_magic.loopback.thread import ServerThread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Future

    from clarifai_magic.api.deployment import Deployment

_MOST_UNKNOWN = 128
_FIRST_PORT = 20_000  # below the ephemeral ports
_GROUPS, _PORTS = 1_250, 8


class _Serving(NamedTuple):
    thread: ServerThread[int]
    route: Route

    @property
    def base(self) -> str:
        return f"http://{LOOPBACK}:{self.thread.place}"


class Broker(Unpicklable):
    """Accepts other clients' requests that have the token, and forwards them with the key.

    It starts on the first use of its `base`; a forked process has its own port. It also ends when
    it is garbage-collected.

    Parameters
    ----------
    deployment : Deployment
        The only destination of requests.
    token : str
        Replaces the key until `close()`.
    key : callable
        Returns the key; called for each request, and stored nowhere.
    """

    def __init__(self, deployment: Deployment, token: str, key: Callable[[], str]) -> None:
        self.token = token
        self._upstream = Upstream(deployment)
        self._gate = Gate(self.token, key)
        self._last: _Serving | None = None
        self._closed = False
        self._lock = Lock()

    @property
    def base(self) -> str:
        """The base URL, for gRPC without TLS and for REST.

        Raises
        ------
        NotSignedInError
            If the session is closed.
        """
        with self._lock:
            if self._closed:
                raise NotSignedInError(
                    "This session is closed.",
                    "Run %clarifai_auth, or clarifai_magic.connect(), again.",
                )
            serving = self._serving or self._begin()
            return serving.base

    @property
    def is_open(self) -> bool:
        """Whether this process serves."""
        return self._serving is not None

    @property
    def carried(self) -> int:
        """The number of forwarded requests."""
        return self._serving.route.carried if self._serving else 0

    def close(self) -> None:
        """Drop every connection and close the port; afterwards the token is worthless."""
        with self._lock:
            self._closed = True
            last, self._last = self._last, None
        self._gate.close()
        if last is not None:
            last.thread.close()

    @property
    def _serving(self) -> _Serving | None:
        last = self._last
        return last if last is not None and last.thread.is_here else None

    def _begin(self) -> _Serving:
        route = Route(self._gate, self._upstream)

        def know(writer: asyncio.StreamWriter) -> None:
            front.know(writer)

        front = Front(
            partial(http1.serve, route, know), partial(http2.serve, route, know), _MOST_UNKNOWN
        )
        thread = ServerThread(partial(_serve, front), "clarifai-broker", self)
        self._last = _Serving(thread, route)
        return self._last

    def __repr__(self) -> str:
        return f"<Broker {self._serving.base if self._serving else 'not serving'}>"


async def _serve(front: Front, port: Future[int], stop: asyncio.Event) -> None:
    """Serve on the first free one of the usual ports, else on any port."""
    for wanted in _usual_ports():
        try:
            return await front.serve(wanted, None, port.set_result, stop)
        except OSError:
            if port.done():
                raise
    return await front.serve(0, None, port.set_result, stop)


def _usual_ports() -> range:
    """The same for every broker of a process, so that a broker reuses the previous address.

    The Clarifai SDK reads the base URL once, on import.
    """
    first = _FIRST_PORT + os.getpid() % _GROUPS * _PORTS
    return range(first, first + _PORTS)
