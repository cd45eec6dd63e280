"""What is asked of marimo's runtime: whose code runs in this thread, and when they are gone.

Where no marimo runs there is nothing to ask, and nothing is imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def runtime() -> Any:
    """The runtime context of the marimo notebook whose code runs in this thread, or None."""
    types = sys.modules.get("marimo._runtime.context.types")
    return None if types is None else types.safe_get_context()


def mode() -> str:
    """How that notebook is run: ``edit``, ``run`` (as an app) or ``script``."""
    import marimo

    return marimo.app_meta().mode or ""


def kernel() -> Any:
    """The notebook's kernel, which its threads and the apps embedded in it share.

    None where there is no page, as in a script.
    """
    context = runtime()
    while context is not None and context.parent is not None:
        context = context.parent
    return getattr(context, "_kernel", None)


def carried(function: Callable[..., T]) -> Callable[..., T]:
    """The same function for another thread, which is then this notebook's as well."""
    context = runtime()
    if context is None:
        return function

    def run(*arguments: Any) -> T:
        with context.install():
            return function(*arguments)

    return run


class _Teardown:
    """Among what marimo tears down with a kernel."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], object]] = []

    def teardown(self) -> None:
        """Called by marimo, in the kernel's thread."""
        while self.callbacks:
            self.callbacks.pop()()


def when_torn_down(kernel: Any, callback: Callable[[], object]) -> None:
    """Have `callback` called when a kernel ends, as that of an app's viewer does when they leave.

    An editor's kernel is a process, which is ended from outside: nothing is called there.
    """
    known = kernel._callbacks  # noqa: SLF001 - nothing public tells of the end
    teardown = next((each for each in known if isinstance(each, _Teardown)), None)
    if teardown is None:
        known.append(teardown := _Teardown())
    teardown.callbacks.append(callback)
