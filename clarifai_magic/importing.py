"""Acts on modules that others import, without importing them itself."""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def when_imported(name: str, act: Callable[[ModuleType], object]) -> None:
    """Call `act` once with a module: now if it is imported, else when it will be.

    Parameters
    ----------
    name : str
        The module's full name.
    act : callable
        Takes the module, after its code has run.
    """
    finder = _Finder(name, act)
    # First, so that an import that another thread begins now is not missed.
    sys.meta_path.insert(0, finder)
    if name in sys.modules:
        finder.tell(import_module(name))  # which waits until its code has run


class _Finder:
    """Finds one module as the finders behind it do, and has its loader call `act`."""

    def __init__(self, name: str, act: Callable[[ModuleType], object]) -> None:
        self._name = name
        self._act = act

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """What the import system calls; None for all other modules."""
        if name != self._name:
            return None
        behind = list(dropwhile(lambda each: each is not self, list(sys.meta_path)))[1:]
        found = (each.find_spec(name, path, target) for each in behind)
        spec = next((each for each in found if each is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Loader) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            if module.__name__ == self._name:  # a loader may have several modules
                self.tell(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]

    def tell(self, module: ModuleType) -> None:
        """Act, and wait no longer; of two threads, one acts."""
        try:
            sys.meta_path.remove(self)
        except ValueError:
            return
        self._act(module)
