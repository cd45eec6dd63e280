"""How a map ends: a step that no interrupt leaves half done, and the errors of what is left."""

from __future__ import annotations

import asyncio
import signal
import threading
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from clarifai_magic.errors import CallError, ClarifaiAuthWarning, ItemsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from clarifai_magic.errors import ClarifaiMagicError


@contextmanager
def whole() -> Iterator[None]:
    """Have an interrupt wait for the end of a step, which is near.

    In another thread, which none reaches, or if interrupts are ignored, it changes nothing.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *interrupt: came.append(interrupt))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])


def warn(reason: ClarifaiMagicError) -> None:
    """Warn of what did not end a map that has all its answers."""
    # A filter may turn warnings into errors, and here one would lose the answers.
    with suppress(ClarifaiAuthWarning):
        warnings.warn_explicit(f"{reason.message} {reason.hint}", ClarifaiAuthWarning, __name__, 0)


async def ended(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait for its end, which is near, in spite of cancellations."""
    task.cancel()
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled


def running_already() -> CallError:
    """The error for a second run at the same time."""
    return CallError(
        "These answers are being called for already.",
        "Wait for that, or cancel it, before you resume or await them again.",
    )


def without_items(name: str) -> ItemsError:
    """The error for going on with what was only read from a file with a name."""
    return ItemsError(
        "These answers were read without items.",
        f"clarifai_session.resume({name!r}, items) continues the map.",
    )


def perhaps_done() -> CallError:
    """The error of an item that an ended process had begun."""
    error = CallError(
        "The process ended before the answer came; the call may have been carried out.",
        "Check whether it was; resume() retries it.",
    )
    error.maybe_done = True
    return error


def broken_off(error: BaseException) -> ItemsError:
    """The error of the item in whose place an iterable raised."""
    return ItemsError(
        f"The items end here: {type(error).__name__} was raised.",
        "Fix that, and map the rest; of a list, an interrupt ends nothing.",
    )
