"""Many threads at the same moment, switched between as often as Python can; and interrupts."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def often_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(count: int, function: Callable[[], Any]) -> list[Any]:
    """What a function gives in that many threads that begin together; an error is raised."""
    together = threading.Barrier(count)
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        together.wait(30)
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]
    return results


@contextmanager
def interrupted_in(function: Any) -> Iterator[None]:
    """An interrupt when a function is called next in this thread."""

    def interrupt(frame: Any, _event: str, _argument: object) -> None:
        if frame.f_code is function.__code__:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        yield
    finally:
        assert sys.getprofile() is None, "it was not called"


def wait_until_ended(before: set[threading.Thread], patience: float = 20) -> None:
    """Wait for the end of the threads that were not there before."""
    until = time.monotonic() + patience
    while more := set(threading.enumerate()) - before:
        assert time.monotonic() < until, more
        time.sleep(0.001)
