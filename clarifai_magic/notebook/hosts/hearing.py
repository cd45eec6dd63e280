"""Measures waiting time in which a kernel could receive messages: excludes running cells."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LATE = 0.5  # s; a timer that is later was kept by something else that the kernel did


class Silence:
    """Acts once if a kernel was idle for a while and was not told to stop.

    Parameters
    ----------
    events : EventManager
        Of the kernel's shell.
    seconds : float
        How long.
    act : callable
        Called in the kernel's own thread.
    """

    def __init__(self, events: Any, seconds: float, act: Callable[[], object]) -> None:
        self._events = events
        self._seconds = seconds
        self._act = act
        self._listening = True
        self._timer: asyncio.TimerHandle | None = None
        events.register("pre_execute", self._hold)
        events.register("post_execute", self.wait)

    def wait(self) -> None:
        """Wait from now on, for what the kernel does now is over, or lets it hear."""
        self._hold()
        with contextlib.suppress(RuntimeError):  # no loop, and nothing is heard here
            loop = asyncio.get_running_loop()
            if self._listening:
                self._timer = loop.call_later(self._seconds, self._over)

    def stop(self) -> None:
        """Stop waiting, from any thread; doing it twice is harmless."""
        if self._listening:
            self._listening = False
            self._events.unregister("pre_execute", self._hold)
            self._events.unregister("post_execute", self.wait)

    def _hold(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        if self._timer is None or not self._listening:
            return
        if asyncio.get_running_loop().time() - self._timer.when() > _LATE:
            self.wait()
            return
        self.stop()
        self._act()
