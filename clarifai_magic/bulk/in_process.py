"""`Session.map` in this process: its thread takes the items, and a loop thread makes the calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from clarifai_magic.bulk.calls import Tally
from clarifai_magic.bulk.loop_thread import LoopThread, Work
from clarifai_magic.client.internals import internals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.bulk.batching import Batch
    from clarifai_magic.bulk.calls import Deliver, Send

TICK = 0.1  # seconds between updates of the progress
_MOST_WAITING = 2_048  # items: enough for a moment in which the answers are stored


class InProcess:
    """An engine that makes the calls in this process.

    Attributes
    ----------
    tally : Tally
        Its progress.
    """

    def __init__(self) -> None:
        self.tally = Tally()

    def run(
        self, batches: Iterator[Batch], send: Send, deliver: Deliver, tick: Callable[[], None]
    ) -> None:
        """Make the calls for all batches, and wait; see `Engine`."""
        loop = internals(send.session).connection.owned(LoopThread)
        window = _Window(send.in_flight)
        work = Work(send.sending(window.following, deliver, self.tally))
        window.ask = work.news.tell
        ticked = time.monotonic()

        def step() -> None:
            nonlocal ticked
            # One at a time: an iterable may take long for each.
            if window.wants_more:
                window.put(next(batches, None))
                if window.has_waiting:
                    loop.soon(window.serve)
            else:
                work.news.wait(TICK)
            if time.monotonic() - ticked > TICK:
                tick()
                ticked = time.monotonic()

        loop.do(work, step)


class _Window:
    """Batches between the thread that takes the items and the loop that sends them.

    Parameters
    ----------
    most : int
        The most that may wait here; fewer if they have many items.

    Attributes
    ----------
    ask : callable
        Called when there is room for more.
    """

    def __init__(self, most: int) -> None:
        self._most = self._size = most
        self._ready: deque[Batch] = deque()
        self._over = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.ask: Callable[[], None] = lambda: None

    @property
    def wants_more(self) -> bool:
        """Whether there is room, and more to come."""
        return not self._over and len(self._ready) < self._size

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait for batches."""
        return bool(self._waiting)

    def put(self, batch: Batch | None) -> None:
        """Add the next batch; None if there are no more."""
        if batch is None:
            self._over = True
        else:
            self._size = max(1, min(self._most, _MOST_WAITING // len(batch.indices)))
            self._ready.append(batch)

    def serve(self) -> None:
        """Wake as many waiting calls as there are batches: called in the loop."""
        for _ in range(len(self._waiting) if self._over else len(self._ready)):
            if self._waiting:
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(None)

    async def following(self) -> Batch | None:
        """Wait for the next batch; None if there are no more."""
        while not self._ready:
            if self._over:
                return None
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            # Checked again: the other thread did not announce earlier batches.
            if self._ready or self._over:
                self.serve()
            self.ask()
            await waiting
        batch = self._ready.popleft()
        if len(self._ready) == self._size // 2:
            self.ask()
        return batch
