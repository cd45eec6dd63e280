"""A server with its own thread, for as long as it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

_PATIENCE = 10  # seconds to wait for the end, which takes some hundredths

Place = TypeVar("Place")


class ServerThread(Generic[Place]):
    """Runs a server, from now until `close()` or the end of the process.

    At exit the process leaves it running. Ending it first would end calls that the same process
    waits for, and gRPC waits forever if a call ends while Python shuts down.

    Parameters
    ----------
    serve : coroutine function
        The server. It takes a future, to set to its place once clients can connect, and an event
        that ends it.
    name : str
        The thread's name.
    owner : object
        Who needs it: the server also ends with the owner.
    helpers : collection of threads, optional
        Those that the server's end waits for, and which therefore do not wait for that end.

    Attributes
    ----------
    place
        Where the server is.
    """

    def __init__(
        self,
        serve: Callable[[Future[Place], asyncio.Event], Awaitable[None]],
        name: str,
        owner: object,
        helpers: Collection[threading.Thread] = (),
    ) -> None:
        self._process = os.getpid()
        self._helpers = helpers
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        place: Future[Place] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(serve, place), name=name, daemon=True
        )
        # Without waiting: the garbage collector may run in any thread, even one that the end
        # needs.
        weakref.finalize(owner, self.stop).atexit = False
        try:
            self._thread.start()
            self.place = place.result()
        except BaseException:  # including an interrupt
            self.stop()
            raise

    @property
    def is_here(self) -> bool:
        """Whether it is this process's own, as opposed to its parent's."""
        return self._process == os.getpid()

    def stop(self) -> None:
        """Start to end it, without waiting; doing it twice is harmless."""
        if self.is_here:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._stop.set)

    def close(self) -> None:
        """End it, unless it is the parent process's; doing it twice is harmless."""
        self.stop()
        waits = threading.current_thread() not in (self._thread, *self._helpers)
        if self.is_here and waits and not sys.is_finalizing():
            self._thread.join(_PATIENCE)

    def _run(
        self,
        serve: Callable[[Future[Place], asyncio.Event], Awaitable[None]],
        place: Future[Place],
    ) -> None:
        try:
            with contextlib.closing(self._loop):
                self._loop.run_until_complete(serve(place, self._stop))
        except Exception as error:
            if place.done():
                raise
            place.set_exception(error)
