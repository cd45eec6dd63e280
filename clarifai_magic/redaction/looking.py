"""Which of many short texts are in a long one: in one pass if hyperscan is installed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

try:
    import hyperscan
except ImportError:  # it has wheels only for Linux and macOS
    hyperscan = None  # type: ignore[assignment,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MEANS = "hyperscan" if hyperscan else "Python alone; clarifai-magic[guard] is faster"


def look_for(texts: Collection[bytes]) -> Callable[[bytes], set[int]]:
    """A function that returns which of the texts are in its argument, by their positions.

    Parameters
    ----------
    texts : collection of bytes
        Lower-case letters and digits; also finds upper case.
    """
    return (_at_once if hyperscan and texts else _one_by_one)(texts)


def _one_by_one(texts: Collection[bytes]) -> Callable[[bytes], set[int]]:
    def look(data: bytes) -> set[int]:
        lower = data.lower()
        return {position for position, text in enumerate(texts) if text in lower}

    return look


def _at_once(texts: Collection[bytes]) -> Callable[[bytes], set[int]]:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(texts),
        ids=list(range(len(texts))),
        elements=len(texts),
        flags=[hyperscan.HS_FLAG_CASELESS] * len(texts),
        literal=True,
    )
    scan, one_by_one = database.scan, _one_by_one(texts)
    free = threading.Lock()  # because only one thread at a time can use the database

    def look(data: bytes) -> set[int]:
        if not free.acquire(blocking=False):
            return one_by_one(data)
        found: set[int] = set()
        try:
            scan(data, match_event_handler=_note, context=found)
        finally:
            free.release()
        return found

    return look


def _note(position: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.add(position)
