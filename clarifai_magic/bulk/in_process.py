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
# Enough for a moment in which the answers are stored.
_MOST_WAITING = 2_048  # items
_MOST_BYTES = 2**25


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
                if window.is_awaited:
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
        The most that may wait here; fewer if they have many items, or large ones.

    Attributes
    ----------
    ask : callable
        Called when there is room for more.
    """

    def __init__(self, most: int) -> None:
        self._most = self._size = most
        self._ready: deque[Batch] = deque()
        self._over = False
        self._waiting: asyncio.Future[None] | None = None
        self.ask: Callable[[], None] = lambda: None

    @property
    def wants_more(self) -> bool:
        """Whether there is room, and more to come."""
        return not self._over and len(self._ready) < self._size

    @property
    def is_awaited(self) -> bool:
        """Whether the loop waits for a batch."""
        return self._waiting is not None and not self._waiting.done()

    def put(self, batch: Batch | None) -> None:
        """Add the next batch; None if there are no more."""
        if batch is None:
            self._over = True
        else:
            items, size = len(batch.indices), max(1, batch.size)
            self._size = max(1, min(self._most, _MOST_WAITING // items, _MOST_BYTES // size))
            self._ready.append(batch)

    def serve(self) -> None:
        """Have the loop wait no longer if there is a batch, or none to come: called in it."""
        if (self._ready or self._over) and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def following(self) -> Batch | None:
        """Wait for the next batch; None if there are no more."""
        while not self._ready:
            if self._over:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            self.serve()  # the other thread did not announce earlier batches
            self.ask()
            await self._waiting
        batch = self._ready.popleft()
        if len(self._ready) == self._size // 2:
            self.ask()
        return batch
