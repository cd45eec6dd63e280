"""What an audit finds, and what it cannot read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from clarifai_magic.api.text import printable
from clarifai_magic.credentials.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clarifai_magic.credentials.secret import Secret

CERTAIN = "certain"
"""It reaches Clarifai in a program, or an open session uses it."""

LIKELY = "likely"
"""The text calls it a PAT or Clarifai's, or it is in a header."""

POSSIBLE = "possible"
"""The text calls it a key, token or the like, perhaps another service's."""


SOURCE, CODE, TEXT = "source", "code", "text"
"""Kinds of places: a code cell, a program, and text for people."""


@dataclass(frozen=True)
class Finding:
    """A key in a file.

    Parameters
    ----------
    file : str
    line : int
        In the file; in a notebook, in the place.
    kind : str
        The kind of place: `SOURCE`, `CODE`, `TEXT`, or the part of a notebook.
    reason : str
        The evidence.
    sure : str
        `CERTAIN`, `LIKELY` or `POSSIBLE`.
    key : Secret
        Shown nowhere.
    cell : int
        In a notebook, counted from 1; 0 outside cells.
    commit : str
        The first commit in git's history that has it there; empty for a current file.
    verified : str
        What the API says about the key; empty without verification.
    """

    file: str
    line: int
    kind: str
    reason: str
    sure: str
    key: Secret = field(repr=False)
    cell: int = 0
    commit: str = ""
    verified: str = ""

    @property
    def fingerprint(self) -> str:
        """A fingerprint that distinguishes keys and does not reveal them."""
        return hashlib.sha256(str.lower(self.key).encode()).hexdigest()[:16]

    @property
    def is_program(self) -> bool:
        """Whether it is in code, which is changed only with `--fix-sources`."""
        return self.kind in {SOURCE, CODE}

    @property
    def place(self) -> str:
        """The place in the file, such as ``cell 3, output, line 2``."""
        cell = f"cell {self.cell}, " if self.cell else ""
        return f"{cell}{self.kind}, line {self.line}"

    def of(self, file: str, commit: str = "") -> Finding:
        """The same in another file."""
        return replace(self, file=file, commit=commit)

    def known(self) -> dict[str, Any]:
        """Everything safe to show about it."""
        told = {"file": self.file, "commit": self.commit, "cell": self.cell, "line": self.line}
        said = {"kind": self.kind, "reason": self.reason, "sure": self.sure}
        whole = {**told, **said, "fingerprint": self.fingerprint, "verified": self.verified}
        return {name: value for name, value in whole.items() if value}

    def __str__(self) -> str:
        file = printable(self.file)
        at = f"{file} in {self.commit[:12]}" if self.commit else file
        verified = f"; {self.verified}" if self.verified else ""
        return f"{at}: {self.place}: {self.reason} ({self.sure}, {self.fingerprint}{verified})"


@dataclass(frozen=True)
class Problem:
    """A file that could not be read, or not as its type.

    Parameters
    ----------
    file, reason : str
    """

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.file)}: {self.reason}"


E = TypeVar("E", Finding, Problem)


def without(keys: Iterable[str], each: E) -> E:
    """The same, but no key is in the file's name."""
    name = each.file
    for key in keys:
        name = re.sub(re.escape(key), MASK, name, flags=re.IGNORECASE)
    return replace(each, file=name)
