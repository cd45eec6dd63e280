"""What threads and forks must not break: a count of forks, a lock, an end, a property made once.

Code builds state first and then publishes it with one assignment or one `dict.setdefault`, which
are atomic, so that few places need a lock. docs/design.md lists those that do; each
holds its lock for a change that waits for nothing else.
"""

from __future__ import annotations

import mmap
import os
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

T = TypeVar("T")


class Process:
    """This process.

    Attributes
    ----------
    generation : int
        The number of forks between the first process and this one: faster to read than its ID.
    """

    generation = 0

    @classmethod
    def was_forked(cls) -> None:
        """Count; Python calls this in the child."""
        cls.generation += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=Process.was_forked)


class Lock:
    """A lock that its own thread may take again, and that no forked child finds locked.

    A plain lock that another thread holds at a fork would stay locked in the child forever.
    """

    def __init__(self) -> None:
        self._locks: dict[int, Any] = {}

    def __enter__(self) -> None:
        self._locks.setdefault(Process.generation, threading.RLock()).acquire()

    def __exit__(self, *_exception: object) -> None:
        self._locks[Process.generation].release()


class Ending:
    """Whether something has ended, as its process and all that were forked from it since see it.

    The byte that tells is in memory that they share. Only the process that made it sets it: what a
    forked child ends, it ends for itself.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)
        self._generation = Process.generation

    @property
    def has_come(self) -> bool:
        """Whether it was told, by the process that made this."""
        return self._shared[0] != 0

    @property
    def is_ours(self) -> bool:
        """Whether this process tells it, and was not forked since."""
        return self._generation == Process.generation

    def tell(self) -> None:
        """Tell all of them, unless this process was forked since."""
        if self.is_ours:
            self._shared[0] = 1


class once(Generic[T]):  # noqa: N801 - used as a decorator, as functools.cached_property is
    """A property computed on first use, and then the same for every thread.

    `functools.cached_property` has a lock that a fork may leave locked (before Python 3.12), or
    no lock, so that each thread may get a different object.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object | None, kind: type) -> Self | T:
        """Compute it, unless another thread was faster; Python checks the instance's dict first."""
        if owner is None:
            return self
        made: T = owner.__dict__.setdefault(self._name, self._make(owner))
        return made
