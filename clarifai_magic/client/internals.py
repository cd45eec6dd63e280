"""A session's parts and its summary: for this package, not for its users."""

from __future__ import annotations

import os
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from clarifai_magic.client.registry import WeakTable
from clarifai_magic.concurrency import Ending
from clarifai_magic.errors import NotSignedInError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.client.auth_warnings import AuthWarnings
    from clarifai_magic.client.identity import Identity
    from clarifai_magic.client.retries import Retries
    from clarifai_magic.client.transport import Closable, Connection
    from clarifai_magic.credentials.secret import Metadata
    from clarifai_magic.credentials.sources import Found

C = TypeVar("C", bound="Closable")


class Internals:
    """A session's parts.

    Parameters
    ----------
    found : Found
        The credentials, and the skipped sources.
    deployment : Deployment
        Where the API is.
    connection : Connection
        The channels to it.
    closing : ExitStack
        What the session undoes at its end.
    retries : Retries
        Retries calls, and counts retries.
    warnings : AuthWarnings
        Warns of calls refused because of the key.
    parent : Internals, optional
        This session's parent: it lives at least as long, and ends this one.
    token : str
        Replaces the key on this machine: a parent's, or by default a new one.

    Attributes
    ----------
    token : str
        Replaces the key on this machine until the session ends; only for it and its
        children.
    ended : bool
        Whether the session was closed in this process; faster to read than `closed`.
    ending : Ending
        Of the sign-in: of the session that all others belong to.
    sign_in : str
        Tells one sign-in from another, also where the key is the same.
    kept : list of str
        What holds the key after logout, and how to remove it; one list for all of a sign-in.
    enter : callable, optional
        Set by the notebook: gives the session the default names until the returned function is
        called.
    """

    def __init__(  # noqa: PLR0913 - a session's parts
        self,
        found: Found,
        deployment: Deployment,
        connection: Connection,
        closing: ExitStack,
        retries: Retries,
        warnings: AuthWarnings,
        parent: Internals | None = None,
        token: str = "",
    ) -> None:
        self.found = found
        self.deployment = deployment
        self.connection = connection
        self.retries = retries
        self.warnings = warnings
        kept = [found.credentials.kept] if found.credentials.kept else []
        self.kept: list[str] = kept if parent is None else parent.kept
        self.enter: Callable[[], Callable[[], None]] | None = None
        self.blocks: list[Callable[[], None]] = []
        self.token: str = parent.token if parent else token or os.urandom(16).hex()
        self.sign_in: str = os.urandom(8).hex() if parent is None else parent.sign_in
        self.ending: Ending = Ending() if parent is None else parent.ending
        self.ended = False
        self._callbacks: deque[Callable[[], object]] = deque([closing.close, self._close_shared])
        self._children: WeakTable[Internals, None] = WeakTable()
        self._shared: dict[Callable[[Internals], Closable], Closable] = {}
        self._parent = parent
        if parent is not None:
            parent._children.add(self, None)  # noqa: SLF001 - its own kind

    @property
    def root(self) -> Internals:
        """The session that all others of the sign-in belong to."""
        return self if self._parent is None else self._parent.root

    @property
    def closed(self) -> bool:
        """Whether the session has ended; calls and what is made from it are refused then.

        In a forked child also whether its parent has signed out.
        """
        return self.ended or self.ending.has_come

    def require_open(self) -> None:
        """Raise an error if the session is closed.

        Raises
        ------
        NotSignedInError
            If it is closed.
        """
        if not self.closed:
            return
        if self.ended or self.ending.is_ours:
            raise NotSignedInError(
                "This session is closed.", "Run %clarifai_auth, or clarifai_magic.connect(), again."
            )
        raise NotSignedInError(
            "The process that this one was forked from has signed out.",
            "Sign in there again, and restart this process.",
        )

    def shared(self, make: Callable[[Internals], C]) -> C:
        """What `make` makes once per sign-in, from the session that all others belong to.

        It is closed with that session.
        """
        if self._parent is not None:
            return self.root.shared(make)
        found = self._shared.get(make) or self._shared.setdefault(make, make(self))
        if self.closed:  # by another thread, which may not have seen it
            self._close_shared()
        return cast("C", found)

    def _close_shared(self) -> None:
        for each in list(self._shared.values()):
            each.close()

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the session closes, before earlier callbacks.

        If it is already closed, call it at once.
        """
        self._callbacks.append(callback)
        if self.closed:
            self._unwind()

    def close(self) -> None:
        """Close the session's children, and undo everything in reverse order.

        Doing it twice is harmless, nor does another thread at the same time.
        """
        self.ended = True
        if self._parent is None:
            self.ending.tell()
        with ExitStack() as undo:
            undo.callback(self._unwind)
            for child in self._children:
                undo.callback(child.close)

    def _unwind(self) -> None:
        """Call the callbacks; one thread takes and calls each."""
        with ExitStack() as undo:
            while self._callbacks:
                try:
                    undo.callback(self._callbacks.popleft())
                except IndexError:  # another thread took the last
                    break


class HasInternals(Protocol):
    """A session, as this module sees it."""

    _internals: Internals
    identity: Identity
    metadata: Metadata

    @property
    def channel(self) -> Any:
        """The channel of its calls."""


def internals(session: HasInternals) -> Internals:
    """A session's parts."""
    return session._internals  # noqa: SLF001 - the one way in


def summary(session: HasInternals) -> str:
    """A session's user, key kind and place, on one line without the key."""
    who, made_of = session.identity, internals(session)
    parts = [
        who.owner or who.user_id or "unknown user (set --user-id)",
        f"{who.kind or 'unverified key'} from {made_of.found.credentials.source}",
        _app_words(who),
    ]
    if who.scopes:
        parts.append(f"scopes {_some(who.scopes)}")
    parts.append(made_of.deployment.words)
    return " · ".join(filter(None, parts))


def holders(session: HasInternals) -> list[Any]:
    """The objects of a session that lead to the key."""
    found = internals(session).found
    made = [session.__dict__[name] for name in ("stub", "aio_stub") if name in session.__dict__]
    credentials = found.credentials
    return [session, found, credentials, credentials.key, session.metadata, session.channel, *made]


def _app_words(identity: Identity) -> str:
    if not identity.app_id:
        choice = f" of {_some(identity.apps)}" if identity.apps else ""
        return f"no app chosen{choice} (--app-id)"
    foreign = identity.user_id not in {"", identity.owner}
    return f"app {identity.user_id}/{identity.app_id}" if foreign else f"app {identity.app_id}"


def _some(names: tuple[str, ...], most: int = 4) -> str:
    more = f", … ({len(names)})" if len(names) > most else ""
    return ", ".join(names[:most]) + more
