"""The words of a magic's line, with quotes as in a shell."""

from __future__ import annotations

import builtins
import keyword
import os
import shlex
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser
    from collections.abc import Collection, Iterator, Sequence

_SHORT = 2  # characters of an option such as -h


class Word(NamedTuple):
    """A word of a line.

    Parameters
    ----------
    text : str
        The word; the value, if it is an option with one.
    option : str
        The option as written; empty if it is not one.
    action : Action, optional
        argparse's record of that option.
    """

    text: str
    option: str = ""
    action: Action | None = None


def split(line: str, *, windows: bool = os.name == "nt") -> list[str]:
    """The words of a line.

    Raises
    ------
    ValueError
        If a quote is not closed.
    """
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if windows:
        lexer.escape = ""  # where paths have backslashes
    return list(lexer)


def parsed(words: Sequence[str], parser: ArgumentParser) -> Iterator[Word]:
    """The words with their options, even on a line that argparse refuses."""
    left = list(words)
    while left:
        text = left.pop(0)
        if not text.startswith("-"):
            yield Word(text)
            continue
        option, equals, value = text.partition("=")
        action = _meant(option, parser)
        behind = not equals and bool(left) and (action is None or action.nargs != 0)
        if behind and (action is not None or not left[0].startswith("-")):
            value = left.pop(0)
        yield Word(value, option, action)


def _meant(option: str, parser: ArgumentParser) -> Action | None:
    """The option, which argparse lets users abbreviate."""
    options: dict[str, Action] = parser._option_string_actions  # noqa: SLF001 - no public way
    if option in options or len(option) <= _SHORT:
        return options.get(option)
    meant = [action for name, action in options.items() if name.startswith(option)]
    return meant[0] if len(meant) == 1 else None


def variable(name: str, taken: Collection[str]) -> str:
    """A variable's name as Python normalises it, or empty if it cannot be the user's own.

    Parameters
    ----------
    name : str
        What was typed.
    taken : collection of str
        Names that belong to something else.
    """
    normal = unicodedata.normalize("NFKC", name)
    usable = normal.isidentifier() and not keyword.iskeyword(normal)
    free = not (normal.startswith("_") or hasattr(builtins, normal) or normal in taken)
    return normal if usable and free else ""
