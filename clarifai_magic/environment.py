"""This process's environment: what its user set, and what sessions lend it."""

from __future__ import annotations

import operator
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from clarifai_magic.overlay import ABSENT, Overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def own(name: str) -> str:
    """The user's own value of a variable; empty if there is none.

    Lent values are for other programs. Read as the user's own, they would send a key to another
    session's deployment, or pair it with that session's IDs.
    """
    value = _lent.own(name)
    return "" if value is ABSENT else str(value)


def is_lent(name: str) -> bool:
    """Whether the value of a variable is lent."""
    return _lent.shows(name)


def lend(values: Mapping[str, str]) -> Callable[[], None]:
    """Set variables, or unset those with an empty value, until the returned function is called.

    Several loans may end in any order: once all have, the environment is as before the first.
    A variable that the user has set since keeps its value.
    """
    layer = _lent.put({name: value or ABSENT for name, value in values.items()})
    return partial(_lent.remove, layer)


def _write(name: str, value: Any) -> None:
    if value is ABSENT:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


# One per process, like the environment.
_lent = Overlay(lambda name: os.environ.get(name, ABSENT), _write, operator.eq)
