"""The progress bar of a map."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic.bulk.ending import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Look(NamedTuple):
    """The progress of a map.

    Attributes
    ----------
    done : int
        Items with an answer.
    total : int or None
        All items; None if not yet known, and then the bar shows no time left.
    counts : dict of str to (int or str)
        What else to show, by name, if it is not zero or empty.
    """

    done: int
    total: int | None
    counts: dict[str, Any]


class _Stderr:
    """Standard error, but what it does not take is dropped.

    An error within tqdm would leave its lock held, for which every other thread then waits that
    draws a bar or collects one.
    """

    def __init__(self) -> None:
        self._stream: Any = sys.stderr or io.StringIO()

    def write(self, text: str) -> None:
        with suppress(Exception):  # a closed or full stream, or one of a program's own
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(Exception):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def bar(title: str, look: Callable[[], Look]) -> Iterator[Callable[[], None]]:
    """Show a bar with rate and time left, for the block; yields the function that updates it.

    Where nothing can be written any more, such as to a closed pipe, nothing is shown.
    """
    from tqdm.auto import tqdm

    now = look()
    shown: Any = None

    def show() -> None:
        now = look()
        with whole():
            shown.n, shown.total = now.done, now.total
            shown.set_postfix({name: count for name, count in now.counts.items() if count})

    try:
        with whole():  # for tqdm's lock as well
            shown = tqdm(total=now.total, initial=now.done, desc=title, file=_Stderr())
        try:
            yield show
        finally:
            show()
    finally:
        if shown is not None:
            with whole():
                shown.close()
