"""An event loop in a thread of its own, for callers that wait without one."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_TICK = 0.1  # seconds between looks at how far it is


class Portal:
    """Runs coroutines for callers in any thread, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="clarifai-portal", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, None], tick: Callable[[], None]) -> bool:
        """Wait for a coroutine.

        Parameters
        ----------
        work : coroutine
            Run in the portal's loop; cancelled by an interrupt.
        tick : callable
            Called here, in the caller's thread, now and then and at the end.

        Returns
        -------
        bool
            False if an interrupt (or `close`) ended it; `work` has then been wound up.
        """
        ended = threading.Event()

        async def begun() -> asyncio.Task[None]:
            task = asyncio.ensure_future(work)
            task.add_done_callback(lambda _task: ended.set())
            return task

        task = asyncio.run_coroutine_threadsafe(begun(), self._loop).result()
        try:
            while not ended.wait(_TICK):
                tick()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(task.cancel)
            ended.wait()
        tick()
        if task.cancelled():
            return False
        task.result()
        return True

    def close(self) -> None:
        """End what runs, and the thread."""
        asyncio.run_coroutine_threadsafe(_wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _wind_up() -> None:
    """Cancel the loop's other tasks and wait for their end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
