"""Tables in text, as CSV: what the column is called in which a token stands."""

from __future__ import annotations

import csv
from bisect import bisect
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.audit.words import judge_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.audit.tokens import Token

_SEPARATORS = ",\t;|"
_LONGEST = 2_000  # characters of a line
_LONGEST_NAME = 40


class _Table(NamedTuple):
    start: int
    end: int
    separator: str
    names: list[str]


class Columns:
    """The tables of a text whose first line names the columns, one of them a key.

    Parameters
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        # A line that ends within JSON is one, and its end takes as many characters.
        self._text = text = text.replace("\\n", " \n")
        self._tables = [*_tables(text)]
        self.places = [(table.start, table.end) for table in self._tables]

    def name(self, token: Token) -> str:
        """What the column is called in which a token stands alone; empty if that is not known."""
        found = bisect(self._tables, token.start, key=lambda table: table.start)
        if not found or token.start >= self._tables[found - 1].end:
            return ""
        table = self._tables[found - 1]
        start = self._text.rfind("\n", 0, token.start) + 1
        if start <= table.start:
            return ""
        end = self._text.find("\n", token.end)
        fields = _fields(self._text[start : end if end >= 0 else None], table.separator)
        if len(fields) != len(table.names) or token.text not in fields:
            return ""
        return table.names[fields.index(token.text)]


def _tables(text: str) -> Iterator[_Table]:
    at, separator, begun = 0, "", 0
    names: list[str] = []
    for line in text.split("\n"):
        if not separator or separator not in line:
            if names:
                yield _Table(begun, at, separator, names)
            separator = max(_SEPARATORS, key=line.count)
            separator = separator if separator in line else ""
            begun, names = at, _key_columns(line, separator) if separator else []
        at += len(line) + 1
    if names:
        yield _Table(begun, at, separator, names)


def _key_columns(head: str, separator: str) -> list[str]:
    """The names of the columns, if one of them is a key's."""
    names = _fields(head, separator)
    if max(map(len, names), default=0) > _LONGEST_NAME:
        return []
    verdicts = [judge_name(name) for name in names]
    return names if any(verdict is not None and verdict.is_key for verdict in verdicts) else []


def _fields(line: str, separator: str) -> list[str]:
    if len(line) > _LONGEST:
        return []
    try:
        return [each.strip() for each in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []
