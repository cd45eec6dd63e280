"""A key typed into a magic's line or cell: removed, and refused without being repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.credentials.parsing import holds_key, keys_in, looks_like_key
from clarifai_magic.errors import ExposedKeyError
from clarifai_magic.notebook.words import parsed, split

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Collection, Mapping

    from IPython.core.interactiveshell import InteractiveShell

_KEY = 32  # characters, the least
# Not compiled here: the magics load faster without.
_IN_PIECES = r"(?<![0-9a-z])[0-9a-f](?:[^0-9a-z]*[0-9a-f]){31,}(?![0-9a-z])|[0-9a-f]{32}"
"""32 or more hexadecimal digits, with anything but letters and digits between them; in one piece
also within a word, such as ``Key`` without a space after it."""

_FOUND = "A key was typed into the notebook, which you may save and share. It was not used."
_DELETE = f"Delete it from the cell, revoke it at {SECRETS_PAGE}, and run %clarifai_auth alone."
_POSSIBLE = "Unknown option, and its value may be a key. It was not used."
_DELETE_POSSIBLE = (
    f"If it is one, delete it from the cell and revoke it at {SECRETS_PAGE}; "
    "%clarifai_auth help lists the options."
)


def refuse_key(  # noqa: PLR0913 - what may be in a line, kind by kind
    shell: InteractiveShell,
    line: str,
    parser: ArgumentParser,
    harmless: Collection[str] = (),
    urls: Collection[str] = (),
    names_behind: Mapping[str, int] | None = None,
) -> None:
    """Refuse a line with a key, or with what may be one because it follows an unknown option.

    Parameters
    ----------
    shell : InteractiveShell
        Whose history is cleaned.
    line : str
        The text after the magic's name.
    parser : ArgumentParser
        The magic's.
    harmless : collection of str
        The options, by Python name, whose values may be 32 digits without being a key.
    urls : collection of str
        The options whose values are base URLs: a host name may contain 32 digits, but not be them.
    names_behind : mapping of str to int
        First words, with the number of names or paths, not keys, after them.

    Raises
    ------
    ExposedKeyError
        Once it is forgotten.
    """
    try:
        words = [*parsed(split(line), parser)]
    except ValueError:
        words = [*parsed(line.split(), parser)]
    unknown = [word for word in words if word.option and word.action is None]
    bare = [word.text for word in words if not word.option]
    names = (names_behind or {}).get(bare[0], 0) if bare else 0
    suspects = bare[names + 1 :] if names else bare
    for word in words:
        if word.action and word.action.dest in urls:
            suspects += _whole_keys(word.text)
        elif word.action and word.action.dest not in harmless:
            suspects.append(word.text)
    suspects += [text for word in unknown for text in (word.option, word.text)]
    # In the line's own order, for a key in two pieces.
    if has_key(" ".join(sorted(suspects, key=line.find))):
        _refuse(shell, (line,), _FOUND, _DELETE)
    if any(word.text for word in unknown):
        _refuse(shell, (line,), _POSSIBLE, _DELETE_POSSIBLE)


def refuse_cell(shell: InteractiveShell, line: str, cell: str, usage: str) -> None:
    """Refuse a cell under a line magic; it may be just a key.

    Raises
    ------
    ExposedKeyError
        If it contains a key.
    UsageError
        Otherwise.
    """
    if has_key(f"{line}\n{cell}"):
        _refuse(shell, (line, cell), _FOUND, _DELETE)
    from clarifai_magic.redaction import history

    history.forget(shell, line, cell)
    raise UsageError(usage)


def refuse_own_key(shell: InteractiveShell, key: str, *typed: str) -> None:
    """Refuse the found key, if it was also typed in place of an ID or a name.

    Parameters
    ----------
    shell : InteractiveShell
        Whose history is cleaned.
    key : str
        The key that was found.
    *typed : str
        The values of a line's options.

    Raises
    ------
    ExposedKeyError
        Once it is forgotten.
    """
    if found := tuple(text for text in typed if holds_key(text, key)):
        _refuse(shell, found, _FOUND, _DELETE)


def has_key(text: str) -> bool:
    """Whether a text contains a key, whole or in pieces."""
    return len(text) >= _KEY and re.search(_IN_PIECES, text, re.IGNORECASE) is not None


def _whole_keys(url: str) -> list[str]:
    """The parts of a base URL, up to its path, that are entirely keys."""
    authority = url.rpartition("://")[2].split("/")[0]
    return [part for part in re.split(r"[\s@:]", authority) if keys_in(part) == [part]]


def _refuse(shell: InteractiveShell, typed: tuple[str, ...], message: str, hint: str) -> None:
    from clarifai_magic.redaction import history

    keys = [found[0] for text in typed if (found := looks_like_key(text))]
    left = history.forget(shell, *typed, *keys)
    # A line may run long after its cell, such as one in a function.
    if places := {place: None for key in keys for place in history.places(shell, key)}:
        hint = f"{hint} It is also in {', '.join(places)}."
    raise ExposedKeyError(message, f"{hint} {left}".rstrip())
