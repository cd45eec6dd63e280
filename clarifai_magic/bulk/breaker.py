"""Stops a map when the deployment no longer responds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clarifai_magic.client.retries import OUTAGE_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

_ENOUGH = 5  # lost calls in a row: a slow call may be lost now and then


class Breaker:
    """Watches a map's calls: whether any gets a response, and whether there is a connection.

    Parameters
    ----------
    clock : callable
        The time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost = 0
        self._lost_since = 0.0
        self._apart_since: float | None = None

    def answered(self) -> None:
        """Record a response."""
        self._lost = 0

    def lost(self) -> None:
        """Record a call without a response."""
        if not self._lost:
            self._lost_since = self._clock()
        self._lost += 1

    def connected(self) -> None:
        """Record a connection, or that none is needed."""
        self._apart_since = None

    def apart(self) -> None:
        """Record that calls wait for a connection."""
        if self._apart_since is None:
            self._apart_since = self._clock()

    @property
    def open(self) -> bool:
        """Whether it is useless to continue."""
        early = self._clock() - OUTAGE_PATIENCE
        apart = self._apart_since is not None and self._apart_since < early
        return apart or (self._lost >= _ENOUGH and self._lost_since < early)
