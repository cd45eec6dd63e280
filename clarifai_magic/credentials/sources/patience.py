"""Limits the wait for an answer in Python's main thread; only an interrupt ends a prompt."""

from __future__ import annotations

import _thread
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def answered_within(seconds: float, ask: Callable[[], T]) -> T:
    """What `ask` returns; after the time limit an interrupt ends it, as by Ctrl+C.

    Parameters
    ----------
    seconds : float
        0 for no limit. Outside the main thread there is no limit either.
    ask : callable
        Waits for an answer.

    Raises
    ------
    TimeoutError
        In place of that interrupt. The user's own interrupt is passed on.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        return ask()
    changing, ended, expired = threading.Lock(), False, False

    def interrupt() -> None:
        nonlocal expired
        with changing:  # so that the interrupt comes before the end or not at all
            if not ended:
                expired = True
                _thread.interrupt_main()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    try:
        timer.start()
        try:
            return ask()
        finally:
            timer.cancel()
            with changing:
                ended = True
            if expired and not isinstance(sys.exc_info()[1], KeyboardInterrupt):
                time.sleep(1)  # for the pending interrupt
    except KeyboardInterrupt:
        if not expired:
            raise
        raise TimeoutError from None
