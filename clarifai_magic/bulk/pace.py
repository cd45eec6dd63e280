"""How many calls a map has in flight: as many as the API accepts, judged by its responses."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST_ROUND = 4  # responses; fewer say too little
_SLOW = 2.0  # times the least latency
_FORGET = 1.02  # a round, of the least latency
_EASED = 0.85  # of the calls in flight, after a slow round
_FEWER = 0.92  # of the responses per second: less than this differs from chance


class Pace:
    """Limits the calls in flight, by additive increase and multiplicative decrease.

    It works in rounds of as many responses as there are calls in flight. The larger the rejected
    share, the fewer calls go out in the next round, as in DCTCP (RFC 8257); after a round without
    rejections, one more does. Slow responses count if fewer calls get as many per second.

    Parameters
    ----------
    most : int
        The most calls in flight, and their initial number.
    clock : callable
        The time in seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._limit = float(most)
        self._doubling_to = float(most)
        self._share = 0.0
        self._least: float | None = None
        self._eased_at: tuple[float, float] | None = None  # limit and rate before
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begin_round()

    def _begin_round(self) -> None:
        self._began = self._clock()
        self._turned_away = 0
        self._latencies: list[float] = []

    @property
    def limit(self) -> int:
        """The most calls in flight."""
        return int(self._limit)

    async def enter(self) -> None:
        """Wait until one more call may go out, and count it."""
        if self._waiting or self._running >= self.limit:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        else:
            self._running += 1

    def leave(self) -> None:
        """Record that a call is over."""
        self._running -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._running < self.limit:
            waiting = self._waiting.popleft()
            if not waiting.done():
                self._running += 1
                waiting.set_result(None)

    def answered(self, latency: float) -> None:
        """Record a response, and the seconds that it took."""
        self._latencies.append(latency)
        self._end_round_if_long_enough()

    def turned_away(self) -> None:
        """Record a call that was rejected or lost."""
        self._turned_away += 1
        self._end_round_if_long_enough()

    def hold(self) -> None:
        """Go down to one call, and up again after the next response."""
        self._doubling_to = max(self._limit, self._doubling_to)
        self._limit = 1.0
        self._begin_round()

    def _end_round_if_long_enough(self) -> None:
        seen = len(self._latencies) + self._turned_away
        if seen < max(_SHORTEST_ROUND, self.limit):
            return
        self._share = (self._share + self._turned_away / seen) / 2
        if self._turned_away:
            self._to(self._limit * (1 - self._share / 2))
            self._doubling_to = self._limit
        elif not self._is_slow():
            self._to(min(self._limit * 2, self._doubling_to), self._limit + 1)
        self._begin_round()

    def _to(self, *limits: float) -> None:
        self._limit = min(max(1.0, *limits), float(self._most))
        self._admit()

    def _is_slow(self) -> bool:
        """Whether the round was slow because of the calls in flight; then fewer go out."""
        latency = statistics.median(self._latencies)
        rate = len(self._latencies) / max(self._clock() - self._began, 1e-6)
        self._least = min(latency, (self._least or latency) * _FORGET)
        if self._eased_at and rate < _FEWER * self._eased_at[1]:
            # Fewer calls get fewer responses: they are not the cause.
            self._to(self._eased_at[0])
            self._least, self._eased_at = latency, None
            return True
        if latency <= _SLOW * self._least:
            self._eased_at = None
            return False
        self._eased_at = self._limit, rate
        self._to(self._limit * _EASED)
        return True


class Place:
    """One call's permission to go out, which it may release and take again.

    Parameters
    ----------
    pace : Pace
        Grants it.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._held = False

    async def take(self) -> None:
        """Wait for it, unless it is held."""
        if not self._held:
            await self._pace.enter()
            self._held = True

    def give_up(self) -> None:
        """Leave it to another call; doing it twice is harmless."""
        if self._held:
            self._held = False
            self._pace.leave()
