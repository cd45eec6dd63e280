"""The progress bar of a map."""

from __future__ import annotations

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


# A closed or full stream; there may be none, and then neither is there a bar.
_UNWRITABLE = (OSError, ValueError, AttributeError)


@contextmanager
def bar(title: str, look: Callable[[], Look]) -> Iterator[Callable[[], None]]:
    """Show a bar with rate and time left, for the block; yields the function that updates it.

    Where nothing can be written any more, such as to a closed pipe, nothing is shown.
    """
    from tqdm.auto import tqdm

    # An interrupt within tqdm may leave its lock held, for which every other thread then waits that
    # draws a bar or collects one.
    now = look()
    shown: Any = None
    with whole(), suppress(*_UNWRITABLE):
        shown = tqdm(total=now.total, initial=now.done, desc=title)

    def show() -> None:
        now = look()
        with whole(), suppress(*_UNWRITABLE):
            shown.n, shown.total = now.done, now.total
            shown.set_postfix({name: count for name, count in now.counts.items() if count})

    try:
        try:
            yield show
        finally:
            show()
    finally:
        with whole(), suppress(*_UNWRITABLE):
            shown.close()
