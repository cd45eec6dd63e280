"""The progress bar of a map."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

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


# A closed or full stream; there may be none, and then neither is there a bar.
_UNWRITABLE = (OSError, ValueError, AttributeError)


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
        with suppress(*_UNWRITABLE):
            shown.n, shown.total = now.done, now.total
            shown.set_postfix({name: count for name, count in now.counts.items() if count})

    # No calls but tqdm's, where Python looks for interrupts: a bar that is left open is closed by
    # any thread that collects garbage, which waits there for tqdm's lock.
    try:
        try:  # noqa: SIM105 - suppress() is such a call
            shown = tqdm(total=now.total, initial=now.done, desc=title)
        except _UNWRITABLE:
            pass
        try:
            yield show
        finally:
            show()
    finally:
        try:  # noqa: SIM105
            shown.close()
        except _UNWRITABLE:
            pass
