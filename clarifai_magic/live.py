"""The sessions that are not closed: the package's one registry."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.session import Session


class Registry:
    """The open sessions, held weakly unless asked; who subscribes is told of changes."""

    def __init__(self) -> None:
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._held: set[Session] = set()
        self._subscribers: list[Callable[[], None]] = []

    def add(self, session: Session) -> None:
        """Note that a session is open."""
        self._sessions.add(session)
        self._tell()

    def hold(self, session: Session) -> None:
        """Keep a session open although nobody else may refer to it."""
        self._held.add(session)

    def discard(self, session: Session) -> None:
        """Note that a session is closed."""
        self._sessions.discard(session)
        self._held.discard(session)
        self._tell()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each change."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Undo `subscribe`."""
        self._subscribers.remove(callback)

    def _tell(self) -> None:
        for callback in list(self._subscribers):
            callback()

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions)

    def __contains__(self, session: object) -> bool:
        return session in self._sessions

    def __len__(self) -> int:
        return len(self._sessions)


live = Registry()
