"""The sessions' names in a notebook's namespace, and their placeholders."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NoReturn

from clarifai_magic.errors import NotSignedInError
from clarifai_magic.overlay import ABSENT, Overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from IPython.core.interactiveshell import InteractiveShell

DEFAULT_NAMES = (
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


class _NotSignedInYetError(NotSignedInError, AttributeError):
    """Probing a placeholder, as `hasattr` does, finds no such attribute."""


# What users see in the notebook, and catch.
_NotSignedInYetError.__name__ = NotSignedInError.__name__


class Placeholder:
    """Stands for a name until sign-in; any use raises one line that says so.

    Parameters
    ----------
    to_do : callable
        Returns what to do for that.
    """

    def __init__(self, to_do: Callable[[], str]) -> None:
        self._to_do = to_do

    def _refuse(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise _NotSignedInYetError(f"Not signed in yet: {self._to_do()}, then run this cell again.")

    __call__ = __iter__ = __len__ = __getitem__ = __str__ = __bytes__ = __add__ = __radd__ = _refuse
    __enter__ = __exit__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        # Displays, completers and debuggers probe names like these and expect AttributeError.
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return "<not signed in yet>"


def placeholders(names: Iterable[str], to_do: Callable[[], str]) -> dict[str, Placeholder]:
    """A placeholder for each of the names."""
    return dict.fromkeys(names, Placeholder(to_do))


def names_of(shell: InteractiveShell) -> Overlay:
    """An overlay over a notebook's namespace."""

    def write(name: str, value: Any) -> None:
        if value is ABSENT:
            shell.user_ns.pop(name, None)
            shell.user_ns_hidden.pop(name, None)
        else:
            shell.push({name: value})

    return Overlay(lambda name: shell.user_ns.get(name, ABSENT), write, operator.is_)
