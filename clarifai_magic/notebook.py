"""The sessions that are signed in in a notebook, and the names that each has there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.namespace import inject, withdraw

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.session import Session

FLAT = "clarifai_session"
"""The variable that holds the session signed in without ``--as``, and so its name."""


class Notebook:
    """A notebook's sessions by name; at most one of them has the flat names.

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's shell.

    Attributes
    ----------
    sessions : dict of str to Session
        The name is that of the variable which holds the session.
    flat : str
        Which of them `stub`, `metadata` and so on belong to; empty if none.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.sessions: dict[str, Session] = {}
        self.flat = ""
        self._injected: dict[str, Any] = {}

    def adopt(self, name: str, session: Session) -> list[str]:
        """Take a new session in, in place of one of that name, and give it its names.

        Returns
        -------
        list of str
            The names that the user had bound to something else.
        """
        if name in self.sessions:
            self.sessions[name].close()
        self.sessions[name] = session
        session.lend = lambda: self._lend(name)
        session.on_close(lambda: self._forget(name, session))
        return self.show(name)

    def show(self, name: str) -> list[str]:
        """Put a session's own names into the notebook: all if it is the flat one."""
        if name == FLAT:
            return self.use(name)
        return inject(self.shell, {name: self.sessions[name]})[1]

    def use(self, name: str) -> list[str]:
        """Give the flat names to a session."""
        withdraw(self.shell, self._injected)
        self.flat = name
        self._injected, replaced = inject(self.shell, self.sessions[name].namespace())
        return replaced

    def close(self) -> None:
        """Close every session."""
        for session in list(self.sessions.values()):
            session.close()

    def _forget(self, name: str, session: Session) -> None:
        del self.sessions[name]
        if self.flat == name:
            withdraw(self.shell, self._injected)
            self.flat, self._injected = "", {}
        withdraw(self.shell, {name: session})

    def _lend(self, name: str) -> Callable[[], None]:
        """Give the flat names to a session until the function that is returned is called."""
        names = self.sessions[name].namespace()
        namespace = self.shell.user_ns
        before = {key: namespace[key] for key in names if key in namespace}
        lent, _ = inject(self.shell, names)

        def restore() -> None:
            withdraw(self.shell, lent)
            inject(self.shell, {key: before[key] for key in before if key in lent})

        return restore
