"""An event loop in its own thread, for callers without one."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from clarifai_magic.concurrency import Lock
from clarifai_magic.errors import NotSignedInError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class News:
    """That there is something to look at, for one thread, which may be interrupted at any moment.

    An interrupt inside of a `threading.Event`, which is made of several Python steps, may leave it
    locked for good; this has single C steps.
    """

    def __init__(self) -> None:
        self._nothing = threading.Lock()
        self._nothing.acquire()

    def tell(self) -> None:
        """Wake the thread, or have it not wait the next time."""
        with suppress(RuntimeError):  # it is told already
            self._nothing.release()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for news since the last time, with a limit."""
        self._nothing.acquire(timeout=-1 if seconds is None else seconds)


class Work:
    """A coroutine in the loop of such a thread, and the wait for its end.

    Parameters
    ----------
    coroutine : coroutine
        What is done.

    Attributes
    ----------
    news : News
        Told at the end, and by the coroutine itself to get its caller's attention.
    ended : bool
        Whether it is done.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.news = News()
        self.ended = False
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    def begin(self) -> None:
        """Start: called in the loop."""
        if not self.ended:
            self._task = asyncio.ensure_future(self._coroutine)
            self._task.add_done_callback(self._end)

    def _end(self, _task: Any = None) -> None:
        self.ended = True
        self.news.tell()

    def cancel(self) -> None:
        """End early: called in the loop."""
        if self._task is None:
            self.give_up()
        elif not self._cancelled:  # once: what it winds up with is not cancelled
            self._cancelled = True
            self._task.cancel()

    def give_up(self) -> None:
        """End before the beginning."""
        self._coroutine.close()
        self._end()

    def result(self) -> None:
        """Raise what it raised.

        Raises
        ------
        NotSignedInError
            If it was cancelled, by the end of its thread.
        """
        if self._task is None or self._task.cancelled():
            raise closed()
        self._task.result()


class LoopThread:
    """Runs coroutines for callers in any thread, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._beginning = Lock()  # nothing starts in a loop that was told to end
        # The thread also ends when its owner is garbage-collected without being closed.
        self._end = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)
        self._end.atexit = False
        self._thread = threading.Thread(
            target=_serve, args=(self._loop,), name="clarifai-loop", daemon=True
        )
        try:
            self._thread.start()
        except BaseException:  # including an interrupt
            self._end()
            raise

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Wait for a coroutine; what ends the wait, an interrupt above all, cancels it.

        Raises
        ------
        NotSignedInError
            If the thread is closed, or was meanwhile.
        """
        work = Work(coroutine)
        self.do(work, work.news.wait)

    def do(self, work: Work, step: Callable[[], None]) -> None:
        """Take steps until work has ended; what a step raises, cancels it.

        Either way it has ended then, however often the wait for its end, which is near, is
        interrupted.

        Raises
        ------
        NotSignedInError
            If the thread is closed, or was meanwhile.
        """
        try:
            self._begin(work)
            while not work.ended:
                step()
        except BaseException:
            while not work.ended:
                # Python looks for interrupts at calls: here is none but inside the inner block.
                try:
                    self._stop(work)
                except KeyboardInterrupt:
                    continue
            raise
        work.result()

    def _begin(self, work: Work) -> None:
        with self._beginning:
            if not self._end.alive:
                work.give_up()
                raise closed()
            self._loop.call_soon_threadsafe(work.begin)

    def _stop(self, work: Work) -> None:
        self.soon(work.cancel)
        while not work.ended:
            work.news.wait()

    def soon(self, callback: Any) -> None:
        """Call a function in the loop, unless the loop is ending."""
        with self._beginning:
            if self._end.alive:
                self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """End what runs, and the thread; doing it twice is harmless."""
        with self._beginning:
            self._end()
        self._thread.join()


def closed() -> NotSignedInError:
    """The error of a closed session."""
    return NotSignedInError("This session is closed.", "Run %clarifai_auth again.")


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, and then until its work ends."""
    try:
        loop.run_forever()
        loop.run_until_complete(_wind_up())
    finally:
        loop.close()


async def _wind_up() -> None:
    """Cancel the loop's other tasks and wait for their end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
