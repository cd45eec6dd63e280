"""A session's names in a notebook's namespace: put there, and exactly those taken away again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from clarifai_magic.errors import NotSignedInError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from IPython.core.interactiveshell import InteractiveShell

FLAT_NAMES = (
    "stub",
    "metadata",
    "userDataObject",
    "channel",
    "resources_pb2",
    "service_pb2",
    "service_pb2_grpc",
    "status_pb2",
    "status_code_pb2",
    "Struct",
    "USER_ID",
    "APP_ID",
    "clarifai_session",
)


class Placeholder:
    """Stands for a name until the form is answered; any use raises one line that says so."""

    def _refuse(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise NotSignedInError(
            "Not signed in yet: fill in the form above, then run this cell again."
        )

    __call__ = __iter__ = __len__ = __getitem__ = __str__ = __bytes__ = __add__ = __radd__ = _refuse
    __enter__ = __exit__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        # Displays, completers and debuggers probe names like these and expect AttributeError.
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return "<not signed in yet>"


def inject(shell: InteractiveShell, names: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Bind names in the notebook.

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's shell.
    names : dict
        What to bind.

    Returns
    -------
    injected : dict
        The names that were not bound to the very same object already: those to take away later.
    replaced : list of str
        The names that the user had bound to something else.
    """
    namespace = shell.user_ns
    injected = {name: value for name, value in names.items() if namespace.get(name) is not value}
    replaced = [
        name
        for name in injected
        if name in namespace and not isinstance(namespace[name], Placeholder)
    ]
    shell.push(injected)
    return injected, replaced


def placeholders(names: Iterable[str]) -> dict[str, Placeholder]:
    """A placeholder for each of the names."""
    return dict.fromkeys(names, Placeholder())


def lend(shell: InteractiveShell, names: dict[str, Any]) -> Callable[[], None]:
    """Bind names in the notebook until the function that is returned is called.

    That function puts back what the names stood for before, where they still hold what was lent.
    """
    namespace = shell.user_ns
    before = {name: namespace[name] for name in names if name in namespace}
    lent, _ = inject(shell, names)

    def restore() -> None:
        still = {name: value for name, value in lent.items() if namespace.get(name) is value}
        withdraw(shell, still)
        inject(shell, {name: before[name] for name in still if name in before})

    return restore


def withdraw(shell: InteractiveShell, injected: dict[str, Any]) -> None:
    """Take away the names that still hold what was injected."""
    shell.drop_by_id(injected)
