"""Threads for calls, which end with the process, whatever they are doing."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


class Pool(Executor):
    """An executor of daemon threads.

    Python joins those of `ThreadPoolExecutor` before the process may end, and they take no work
    once its main thread has ended: other threads' calls would then hang. In a ``with`` block
    one thread exists from the start, because Python starts none while it shuts down.

    Parameters
    ----------
    most : int
        The most threads; they start as needed.
    name : str
        The prefix of their names.
    """

    def __init__(self, most: int, name: str) -> None:
        self.threads: list[threading.Thread] = []
        self._most = most
        self._name = name
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._growing = threading.Lock()

    def __enter__(self) -> Self:
        self._start()
        self._idle.release()
        return self

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Let a thread call the function."""
        future: Future[Any] = Future()
        self._work.put((future, partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False):
            self._grow()
        return future

    def _grow(self) -> None:
        with self._growing:
            if len(self.threads) < self._most:
                try:
                    self._start()
                except RuntimeError:  # Python shuts down: the existing threads do the work
                    if not self.threads:
                        raise

    def _start(self) -> None:
        name = f"{self._name}_{len(self.threads)}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.threads.append(thread)  # first, for its own work may ask whether it is one of them
        try:
            thread.start()
        except RuntimeError:
            self.threads.remove(thread)
            raise

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - who waits for it gets it
                    future.set_exception(error)
            del work, future, call  # a call's objects must not live until the next call
            self._idle.release()
        self._work.put(None)  # the end is for all, however many have started meanwhile

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """End the threads after their current work; nothing may be submitted afterwards."""
        self._work.put(None)
        if wait:
            with self._growing:  # one that starts later ends at once
                threads = list(self.threads)
            for thread in threads:
                thread.join()
