"""A notebook's open sessions, and the names of each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from clarifai_magic.client.internals import holders, internals
from clarifai_magic.client.registry import registry
from clarifai_magic.concurrency import Lock
from clarifai_magic.notebook.forks import forked
from clarifai_magic.notebook.names import DEFAULT_NAMES, Placeholder, names_of, placeholders
from clarifai_magic.overlay import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.notebook.invitation import Pending
    from clarifai_magic.overlay import Layer
    from clarifai_magic.redaction.holding import Search
    from clarifai_magic.session import Session

DEFAULT = "clarifai_session"
"""The variable that holds the session opened without ``--as``, and so its name."""


class Notebook:
    """A notebook's sessions by name; at most one of them has the default names.

    During a session's ``with`` block, the default names are that session's.

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's shell.
    warns : callable
        Whether to warn of refused calls.

    Attributes
    ----------
    sessions : dict of str to Session
        The name is that of the session's variable.
    forms : dict of str to Pending
        The forms, and lines in place of some, that will provide a session of that name.
    forked_before : dict of str to set of int
        The forks of this process from before the session of that name.
    default : str
        The session that `stub`, `metadata` and so on belong to; empty if none.
    names : Overlay
        The names in the notebook.
    """

    def __init__(self, shell: InteractiveShell, warns: Callable[[], bool]) -> None:
        self.shell = shell
        self._warns = warns
        self.sessions: dict[str, Session] = {}
        self.forms: dict[str, Pending] = {}
        self.forked_before: dict[str, set[int]] = {}
        self.default = ""
        self.names = names_of(shell)
        self._layers: dict[str, Layer] = {}  # those beneath the blocks'
        self._blocks: list[tuple[Session, Layer]] = []
        self._changing = Lock()  # a form signs in from a thread; nothing waits inside

    def adopt(self, name: str, session: Session) -> list[str]:
        """Add a new session, in place of one of that name, and bind its names.

        This closes the old one, unless the new one shares its connection.

        Returns
        -------
        list of str
            The names that the user had bound to something else.
        """
        parts = internals(session)
        parts.warnings.wanted = self._warns
        parts.enter = partial(self._enter, session)
        with self._changing:
            before = self.sessions.get(name)
            self.sessions[name] = session
            if before is None or _key(before) != _key(session):
                self.forked_before[name] = forked()
            if name == DEFAULT:
                self.default = name
            replaced = self._show(name)
        parts.on_close(lambda: self._forget(name, session))
        if before is not None and not _share_connection(session, before):
            before.close()
        return replaced

    def use(self, name: str) -> list[str]:
        """Give the default names to a session; return the user's own names that it replaced."""
        with self._changing:
            self.default = name
            return self._bind(DEFAULT, self.sessions[name].namespace())

    def _show(self, name: str) -> list[str]:
        replaced = []
        session = self.sessions[name]
        if name != DEFAULT:
            replaced += self._bind(name, {name: session})
        if self.default == name:
            replaced += self._bind(DEFAULT, session.namespace())
        return replaced

    def _bind(self, name: str, values: Mapping[str, Any]) -> list[str]:
        """Bind names for good, without keeping the user's own values."""
        layer = self._lay(name, values)
        own = [
            each
            for each, value in layer.covered.items()
            if not (value is ABSENT or value is values[each] or isinstance(value, Placeholder))
        ]
        layer.covered.update(dict.fromkeys(own, ABSENT))
        return own

    def _lay(self, name: str, values: Mapping[str, Any]) -> Layer:
        before = self._layers.get(name)
        layer = (
            self.names.replace(before, values) if before else self.names.put(values, beneath=True)
        )
        self._layers[name] = layer
        return layer

    def _enter(self, session: Session) -> Callable[[], None]:
        """Give the default names to a session until the returned function is called."""
        block = (session, self.names.put(session.namespace()))
        with self._changing:
            self._blocks.append(block)
        return partial(self._leave, block)

    def _leave(self, block: tuple[Session, Layer]) -> None:
        with self._changing:
            self._blocks[:] = [each for each in self._blocks if each is not block]
        self.names.remove(block[1])

    def expect(self, name: str, form: Pending) -> None:
        """Let a form provide the session of that name; until then placeholders have its names.

        If a session already has the names, it keeps them meanwhile.
        """
        self.dismiss(name)
        with self._changing:
            self.forms[name] = form
            if not (self.default if name == DEFAULT else name in self.sessions):
                names = DEFAULT_NAMES if name == DEFAULT else (name,)
                layer = self._lay(name, placeholders(names, lambda: form.to_do))
                form.on_close(lambda: self._withdraw(name, layer))
        form.on_close(lambda: self.forms.pop(name))

    def dismiss(self, name: str) -> None:
        """Close the form for the session of that name."""
        # Looked up once: a form that signs in closes itself in its own thread.
        if (form := self.forms.get(name)) is not None:
            form.dismiss()

    def close(self, name: str) -> None:
        """Close the session and the form of that name."""
        self.dismiss(name)
        if (session := self.sessions.get(name)) is not None:
            session.close()

    def close_all(self) -> None:
        """Close every session and every form."""
        for name in {**self.forms, **self.sessions}:
            self.close(name)

    def _withdraw(self, name: str, layer: Layer) -> None:
        with self._changing:
            if self._layers.get(name) is layer:
                del self._layers[name]
            self.names.remove(layer)

    def _forget(self, name: str, session: Session) -> None:
        with self._changing:
            for block in [block for block in self._blocks if block[0] is session]:
                self._leave(block)
            if self.sessions.get(name) is session:
                del self.sessions[name]
                if name != DEFAULT:
                    self.names.remove(self._layers.pop(name))
                if self.default == name:
                    self.default = ""
                    self.names.remove(self._layers.pop(DEFAULT))
        from clarifai_magic.redaction.history import forget_error, forget_outputs

        # Another session's results may rightly hold the same key.
        keys = [] if _has_another(session) else [_key(session)]
        search = self.search(keys, holders(session))
        forget_outputs(self.shell, search.finds)
        forget_error(search)

    def search(self, keys: Iterable[str], objects: Iterable[Any] = ()) -> Search:
        """A search for keys in the notebook's objects, except the notebook's own."""
        from clarifai_magic.redaction.holding import Search

        around = (self, self.shell, self.shell.user_ns, getattr(self.shell, "kernel", None))
        return Search(keys, objects, outside=around)


def _has_another(session: Session) -> bool:
    """Whether a session on another connection has a session's key."""
    others: list[Any] = [each for each in registry if each is not session]
    return any(
        _key(each) == _key(session) for each in others if not _share_connection(each, session)
    )


def _key(session: Session) -> str:
    return str.__str__(internals(session).found.credentials.key)


def _share_connection(session: Session, other: Session) -> bool:
    return internals(session).connection is internals(other).connection
