"""What an object of another library is, told without importing that library."""

from __future__ import annotations

import sys
from typing import Any


def is_a(thing: Any, module: str, *names: str) -> bool:
    """Whether an object is an instance of one of a module's classes.

    Whoever has such an object has imported its module.
    """
    kinds = [getattr(sys.modules.get(module), name, None) for name in names]
    return any(isinstance(kind, type) and isinstance(thing, kind) for kind in kinds)
