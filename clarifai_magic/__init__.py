"""Sign in to Clarifai from a notebook.

``%load_ext clarifai_magic``, then ``%clarifai_auth``. The names below are the same in Python;
they are imported when first used, so that loading the extension stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clarifai_magic.errors import ClarifaiAuthWarning, ClarifaiMagicError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.credentials import Credentials
    from clarifai_magic.form import login_form
    from clarifai_magic.refusals import explain
    from clarifai_magic.session import Session, connect, logout
    from clarifai_magic.sources import find_credentials

__all__ = [
    "ClarifaiAuthWarning",
    "ClarifaiMagicError",
    "Credentials",
    "Session",
    "connect",
    "explain",
    "find_credentials",
    "load_ipython_extension",
    "login_form",
    "logout",
    "unload_ipython_extension",
]

_LAZY = {
    "Credentials": "credentials",
    "Session": "session",
    "connect": "session",
    "explain": "refusals",
    "find_credentials": "sources",
    "login_form": "form",
    "logout": "session",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: IPython's hook for ``%load_ext clarifai_magic``."""
    from clarifai_magic.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Sign out and take the magics away: IPython's hook for ``%unload_ext clarifai_magic``."""
    from clarifai_magic.magics import unregister

    unregister(shell)
