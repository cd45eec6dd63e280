"""The sessions that are not closed: the package's one registry."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.session import Session


class Registry:
    """The open sessions, held weakly; who subscribes is told when one comes or goes."""

    def __init__(self) -> None:
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._subscribers: list[Callable[[], None]] = []

    def add(self, session: Session) -> None:
        """Note that a session is open."""
        self._sessions.add(session)
        self._tell()

    def discard(self, session: Session) -> None:
        """Note that a session is closed."""
        self._sessions.discard(session)
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
