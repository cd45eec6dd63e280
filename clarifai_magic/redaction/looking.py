"""Which of many short texts are in a long one: in one pass if hyperscan is installed."""

from __future__ import annotations

import importlib.util
import math
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

_WORTHWHILE = 1 << 15  # bytes; to search so many one by one takes as long as to prepare hyperscan


def means() -> str:
    """What the search uses, for people."""
    if importlib.util.find_spec("hyperscan") is not None:
        return "hyperscan"
    return "Python alone; clarifai-magic[guard] is faster"  # it has no wheel for Windows


class Look:
    """Finds which of the texts are in its argument, by their positions.

    hyperscan takes milliseconds and megabytes to prepare, so the first short texts are searched
    without it.

    Parameters
    ----------
    texts : collection of bytes
        Lower-case letters and digits; also finds upper case.
    """

    def __init__(self, texts: Collection[bytes]) -> None:
        self._texts = list(texts)
        self._before: float = _WORTHWHILE if self._texts else math.inf
        self._scan: Any = None
        self._free = threading.Lock()  # because only one thread at a time can use the database

    def __call__(self, data: bytes) -> set[int]:
        """The positions of those that are in it."""
        if (self._scan is None and not self._is_worthwhile(data)) or not self._free.acquire(
            blocking=False
        ):
            return self._one_by_one(data)
        found: set[int] = set()
        try:
            if self._scan is None:
                self._scan = _scanner(self._texts)
            self._scan(data, _note, 0, found)
        except ImportError:
            self._before = math.inf
            return self._one_by_one(data)
        finally:
            self._free.release()
        return found

    def _is_worthwhile(self, data: bytes) -> bool:
        self._before -= len(data)
        return self._before <= 0

    def _one_by_one(self, data: bytes) -> set[int]:
        lower = data.lower()
        return {position for position, text in enumerate(self._texts) if text in lower}


def _scanner(texts: list[bytes]) -> Any:
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=texts,
        ids=list(range(len(texts))),
        elements=len(texts),
        flags=[hyperscan.HS_FLAG_CASELESS] * len(texts),
        literal=True,
    )
    return database.scan


def _note(position: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.add(position)
