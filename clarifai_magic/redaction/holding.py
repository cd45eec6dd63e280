"""Whether an object leads to a key: itself, through its items or its attributes."""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from types import FrameType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_LOOKED_AT = 3_000
"""The most objects to visit for one, nearest first: a data frame is not read to its end."""

_NOT_ENTERED = (ModuleType, FrameType, TracebackType)


class Search:
    """Searches for keys, and for objects known to have one.

    It follows references like the garbage collector, so that none of the objects' code runs.

    Parameters
    ----------
    keys : iterable of str
        The real texts.
    holders : iterable
        Objects to find by identity.
    outside : iterable
        Objects not to enter; modules and the environment never are.
    """

    def __init__(
        self, keys: Iterable[str], holders: Iterable[Any] = (), outside: Iterable[Any] = ()
    ) -> None:
        self._texts = [str.__str__(key) for key in keys]
        self._bytes = [text.encode() for text in self._texts]
        self._holders = [*holders]  # kept, so that their identities stay unique
        self._identities = {id(each) for each in self._holders}
        self._outside = {
            id(getattr(module, "__dict__", None)) for module in [*sys.modules.values()]
        }
        self._outside.update(map(id, (os.environ, gc.garbage, sys.modules, *outside)))

    def finds(self, value: Any) -> bool:
        """Whether a value leads to one of the keys or holders."""
        seen = set(self._outside)
        waiting = deque([] if id(value) in seen else [value])
        looked_at = 0
        while waiting and looked_at < _MOST_LOOKED_AT:
            each = waiting.popleft()
            looked_at += 1
            if self._is_one(each):
                return True
            if not _is_entered(each):
                continue
            for inner in _within(each):
                if id(inner) not in seen:
                    seen.add(id(inner))
                    waiting.append(inner)
        return False

    def _is_one(self, value: Any) -> bool:
        if id(value) in self._identities:
            return True
        # A subclass may override `in`.
        if isinstance(value, str):
            return any(str.__contains__(value, key) for key in self._texts)
        if isinstance(value, bytes):
            return any(bytes.__contains__(value, key) for key in self._bytes)
        if isinstance(value, bytearray):
            return any(bytearray.__contains__(value, key) for key in self._bytes)
        return False


def _within(value: Any) -> list[Any] | tuple[Any, ...]:
    if type(value) in {list, tuple}:  # which may be long
        return cast("list[Any] | tuple[Any, ...]", value[:_MOST_LOOKED_AT])
    return gc.get_referents(value)[:_MOST_LOOKED_AT]


def _is_entered(value: Any) -> bool:
    if isinstance(value, type):
        return value.__module__ == "__main__"  # a class of the user's own
    return not isinstance(value, _NOT_ENTERED)
