"""The open sessions and their keys: the package's one registry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import ref

from clarifai_magic import viewers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from clarifai_magic.concurrency import Ending

T = TypeVar("T")
V = TypeVar("V")


class Closable(Protocol):
    """A session, as the registry sees it."""

    def close(self) -> None:
        """End it."""


class WeakTable(Generic[T, V]):
    """Weakly held objects, each with a value.

    Iteration uses a snapshot, so that other threads and the garbage collector may change it
    meanwhile: each step is a dict operation, which is atomic if it creates nothing that the
    collector tracks, such as pairs of keys and values.
    """

    def __init__(self) -> None:
        self._values: dict[ref[T], V] = {}

    def add(self, thing: T, value: V) -> None:
        """Add an object."""
        values = self._values

        def vanish(gone: ref[T]) -> None:
            values.pop(gone, None)

        values[ref(thing, vanish)] = value

    def discard(self, thing: T) -> None:
        """Remove an object; doing it twice is harmless."""
        self._values.pop(ref(thing), None)

    def get(self, thing: T, default: V) -> V:
        """The value of an object; `default` if it is missing."""
        return self._values.get(ref(thing), default)

    def values(self) -> list[V]:
        """The values of the living objects."""
        return list(self._values.values())

    def __iter__(self) -> Iterator[T]:
        alive = [reference() for reference in list(self._values)]
        return iter([thing for thing in alive if thing is not None])

    def __contains__(self, thing: T) -> bool:
        return ref(thing) in self._values

    def __len__(self) -> int:
        return len(self._values)


class Registry:
    """The open sessions, held weakly unless asked; who subscribes is told of changes."""

    def __init__(self) -> None:
        self._sessions: WeakTable[Closable, tuple[str, str]] = WeakTable()
        self._withheld: WeakTable[Closable, frozenset[str]] = WeakTable()
        self._viewers: WeakTable[Closable, ref[Any] | None] = WeakTable()
        self._held: set[Closable] = set()
        self._expected: list[frozenset[str]] = []
        self._subscribers: list[Callable[[], None]] = []
        self._handed_over: dict[str, tuple[Ending, ref[Any]]] = {}

    def add(self, session: Closable, key: str, token: str) -> None:
        """Note that a session is open, which key it has, and what stands in for that."""
        if (viewer := viewers.current()) is not None:
            self._viewers.add(session, ref(viewer.page))
        self._sessions.add(session, (key, token))
        self._tell()

    def hold(self, session: Closable) -> None:
        """Keep a session open although nobody else may refer to it."""
        self._held.add(session)

    def discard(self, session: Closable) -> None:
        """Note that a session is closed."""
        self._sessions.discard(session)
        self._withheld.discard(session)
        self._viewers.discard(session)
        self._held.discard(session)
        self._tell()

    def hand_over(self, sign_in: str, ending: Ending, made_of: object) -> None:
        """Note that a sign-in is handed over to other processes, and what tells of its end."""
        self._handed_over[sign_in] = ending, ref(made_of)

    def handed_over(self, sign_in: str) -> tuple[Ending, Any] | None:
        """What tells of the end of a sign-in that this process handed over, and what it is made of.

        Or that one did which this was forked from; None if another did. What it is made of is None
        if it was forgotten.
        """
        if (found := self._handed_over.get(sign_in)) is None:
            return None
        ending, made_of = found
        return ending, made_of()

    def withhold(self, session: Closable, texts: Iterable[str]) -> None:
        """Hide other texts while a session is open: keys that were in a cell."""
        self._withheld.add(session, self._withheld.get(session, frozenset()).union(texts))
        self._tell()

    @contextmanager
    def withholding(self, texts: Iterable[str]) -> Iterator[None]:
        """Hide the texts of a session that is about to open."""
        expected = frozenset(map(str.__str__, texts))
        self._expected.append(expected)
        self._tell()
        try:
            yield
        finally:
            self._expected.remove(expected)
            self._tell()

    def within_reach(self) -> list[Closable]:
        """The current viewer's sessions; all, if there is no current viewer."""
        viewer = viewers.current()
        if viewer is None:
            return list(self)
        whose = {each: self._viewers.get(each, None) for each in self}
        return [each for each, page in whose.items() if page and page() is viewer.page]

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each change."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Undo `subscribe`."""
        self._subscribers.remove(callback)

    def keys(self) -> set[str]:
        """The real text of every open session's key."""
        return {str.__str__(key) for key, _ in self._sessions.values()}

    def secrets(self) -> set[str]:
        """The key and token of each open or opening session, and the other hidden texts."""
        tokens = {token for _, token in self._sessions.values()}
        return self.keys() | tokens.union(*self._withheld.values(), *self._expected)

    def _tell(self) -> None:
        for callback in list(self._subscribers):
            callback()

    def __iter__(self) -> Iterator[Closable]:
        return iter(self._sessions)

    def __contains__(self, session: Closable) -> bool:
        return session in self._sessions

    def __len__(self) -> int:
        return len(self._sessions)


registry = Registry()
