"""The sessions that are signed in in a notebook, and the names that each has there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.history import forget_outputs
from clarifai_magic.namespace import FLAT_NAMES, inject, lend, placeholders, withdraw

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.form import LoginForm
    from clarifai_magic.session import Session

FLAT = "clarifai_session"
"""The variable that holds the session signed in without ``--as``, and so its name."""


class Notebook:
    """A notebook's sessions by name; at most one of them has the flat names.

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's shell.
    warns : callable
        Whether refused calls are to be warned of.

    Attributes
    ----------
    sessions : dict of str to Session
        The name is that of the variable which holds the session.
    flat : str
        Which of them `stub`, `metadata` and so on belong to; empty if none.
    """

    def __init__(self, shell: InteractiveShell, warns: Callable[[], bool]) -> None:
        self.shell = shell
        self._warns = warns
        self.sessions: dict[str, Session] = {}
        self.flat = ""
        self._injected: dict[str, Any] = {}
        self._forms: dict[str, LoginForm] = {}
        self._placeholders: dict[str, Callable[[], None]] = {}

    def adopt(self, name: str, session: Session) -> list[str]:
        """Take a new session in, in place of one of that name, and give it its names.

        The one in place is closed, unless the new one shares its connection.

        Returns
        -------
        list of str
            The names that the user had bound to something else.
        """
        self._withdraw_placeholders(name)
        present = self.sessions.get(name)
        if present is not None and not session.lives_on(present):
            present.close()
        self.sessions[name] = session
        session.watch.wanted = self._warns
        session.lend = lambda: lend(self.shell, session.namespace())
        session.on_close(lambda: self._forget(name, session))
        return self.show(name)

    def expect(self, name: str, form: LoginForm) -> None:
        """Have a form bring the session of that name; until then placeholders have its names.

        Where the names are a session's already, that session keeps them meanwhile.
        """
        self.dismiss(name)
        self._forms[name] = form
        form.on_close(lambda: self._withdraw_placeholders(name))
        form.on_close(lambda: self._forms.pop(name))
        if not (self.flat if name == FLAT else name in self.sessions):
            names = FLAT_NAMES if name == FLAT else (name,)
            self._placeholders[name] = lend(self.shell, placeholders(names))

    def dismiss(self, name: str) -> None:
        """Close the form that was to bring the session of that name."""
        if name in self._forms:
            self._forms[name].dismiss()

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

    def _withdraw_placeholders(self, name: str) -> None:
        if name in self._placeholders:
            self._placeholders.pop(name)()

    def close(self) -> None:
        """Close every session and every form."""
        for name in list(self._forms):
            self.dismiss(name)
        for session in list(self.sessions.values()):
            session.close()

    def _forget(self, name: str, session: Session) -> None:
        if self.sessions.get(name) is not session:
            return
        del self.sessions[name]
        if self.flat == name:
            withdraw(self.shell, self._injected)
            self.flat, self._injected = "", {}
        withdraw(self.shell, {name: session})
        forget_outputs(self.shell, session.holders())


def has_front_end(shell: InteractiveShell | None) -> bool:
    """Whether the cell that runs was sent by a notebook front end with somebody at it."""
    kernel = getattr(shell, "kernel", None)
    # JupyterLab, VS Code and Colab say that they can answer a prompt; unattended runs do not.
    return kernel is not None and bool(kernel.get_parent().get("content", {}).get("allow_stdin"))
