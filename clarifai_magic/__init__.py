"""Sign in to Clarifai from a notebook.

``%load_ext clarifai_magic``, then ``%clarifai_auth``. The names below do the same in Python;
they are imported on first use, so that loading the extension stays fast.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from clarifai_magic import errors
from clarifai_magic.errors import *  # noqa: F403 - what users catch
from clarifai_magic.version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.api.explanation import explain
    from clarifai_magic.client.session import logout
    from clarifai_magic.credentials.bundle import Credentials
    from clarifai_magic.credentials.sources import find_credentials
    from clarifai_magic.notebook.form import login_form
    from clarifai_magic.sandbox import Sandbox
    from clarifai_magic.session import Session, connect

__all__ = [  # noqa: PLE0604 - the errors' names are in their own list
    *errors.__all__,
    "Credentials",
    "Sandbox",
    "Session",
    "__version__",
    "connect",
    "explain",
    "find_credentials",
    "login_form",
    "logout",
]

_LAZY = {
    "Credentials": "credentials.bundle",
    "Sandbox": "sandbox",
    "Session": "session",
    "connect": "session",
    "explain": "api.explanation",
    "find_credentials": "credentials.sources",
    "login_form": "notebook.form",
    "logout": "client.session",
}

# First, because %reload_ext runs this again.
if not logging.getLogger(__name__).handlers:
    logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: IPython's hook for ``%load_ext clarifai_magic``."""
    from clarifai_magic.notebook.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Sign out and remove the magics: IPython's hook for ``%unload_ext clarifai_magic``."""
    from clarifai_magic.notebook.magics import unregister

    unregister(shell)
