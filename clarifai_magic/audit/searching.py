"""The keys in a text: found by a program's flow, by the words around them, or by being in use."""

from __future__ import annotations

import re
from bisect import bisect
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.audit.columns import Columns
from clarifai_magic.audit.findings import CERTAIN, LIKELY, POSSIBLE, Finding
from clarifai_magic.audit.tokens import coded_texts, is_random, tokens
from clarifai_magic.audit.words import Verdict, joined, judge, judge_name, readable, telling
from clarifai_magic.credentials.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from clarifai_magic.audit.code import Followed
    from clarifai_magic.audit.tokens import Token

_BEFORE, _AFTER = 600, 300  # characters to read around a token
_DIGITS = "0123456789abcdefABCDEF"
_ESCAPE = 8  # characters of one, and of what precedes its digits
_HEX = re.compile(r"[0-9a-fA-F]{32,}")  # a word may contain another key
_CODED = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_QUOTES = "\"' \r\n"
_WORD = re.compile(r"\w")
_HEADER = re.compile(r"(?i)\b(key|bearer)[\"']?\s*(?:\+\s*[\"']?)?$")


class Found(NamedTuple):
    """A key in a text.

    Parameters
    ----------
    line : int
    key : str
    reason, sure : str
        As in `Finding`.
    """

    line: int
    key: str
    reason: str
    sure: str

    def at(self, kind: str, cell: int = 0, line: int = 0) -> Finding:
        """Its finding."""
        return Finding("", line or self.line, kind, self.reason, self.sure, Secret(self.key), cell)


def search(
    text: str, followed: Followed, known: Collection[str] = (), beside: str = ""
) -> Iterator[Found]:
    """Find the keys in a text.

    Parameters
    ----------
    text : str
    followed : Followed
        From the programs in it.
    known : collection of str
        Keys to find anywhere.
    beside : str
        The text's origin, if that says more than the text alone.
    """
    lines = _Lines(text)
    for key in known:
        for match in re.finditer(re.escape(key), text):
            yield Found(lines.of(match.start()), key, "the key of an open session", CERTAIN)
    yield from _plain(text, lines, followed, known, beside)
    for coded in coded_texts(text):
        # Without other base64; otherwise each would be decoded again for each that follows.
        before = _CODED.sub("", text[max(0, coded.start - _BEFORE) : coded.start])
        for found in search(before + coded.text, followed, known):
            if found.key.lower() not in before.lower():
                reason = f"in base64, {found.reason.removeprefix('in base64, ')}"
                yield Found(lines.of(coded.start), found.key, reason, found.sure)


def _plain(
    text: str, lines: _Lines, followed: Followed, known: Collection[str], beside: str
) -> Iterator[Found]:
    near = _Near(text, beside)
    listed, last = 0, None  # where a key ended, and what was said about it
    for token in tokens(text):
        key = token.text
        if last and _WORD.search(text, listed, token.start):
            last = None
        if not (last or key in followed.keys or key in followed.names or near.has(token)):
            continue
        if (
            _is_part(text, token)
            or not is_random(key)
            or key in known
            or (key in followed.ids and key not in followed.keys)
        ):
            continue
        line = lines.of(token.start)
        if key in followed.keys:
            yield Found(line, key, f"it reaches Clarifai by {followed.keys[key]}", CERTAIN)
            continue
        before = readable(text[max(0, token.start - _BEFORE) : token.start])
        after = readable(text[token.end : token.end + _AFTER])
        told = near.columns.name(token)
        named = told or followed.names.get(key)
        verdict = judge_name(named) if named else _verdict(before, after, beside) or last
        if verdict is not None and verdict.is_key:
            listed, last = token.end, verdict
            yield _told(line, key, verdict, before)


def _told(line: int, key: str, verdict: Verdict, before: str) -> Found:
    if _HEADER.search(before) and "authorization" in before.lower():
        return Found(line, key, "an authorization header", LIKELY)
    reason = f"it is next to {_HEX.sub('…', verdict.word)}"
    return Found(line, key, reason, LIKELY if verdict.specific else POSSIBLE)


def _verdict(before: str, after: str, beside: str) -> Verdict | None:
    found = judge(before, after)
    alone = not before.strip(_QUOTES) and not after.strip(_QUOTES)
    return judge_name(beside) if found is None and alone and beside else found


def _is_part(text: str, token: Token) -> bool:
    """Whether a token is a part of a longer word; what an escape stands for is none."""
    before = text[max(0, token.start - _ESCAPE) : token.start]
    longer = before[-1:] in _DIGITS and "%" not in before and "\\" not in before
    return (longer and before != "") or text[token.end : token.end + 1].isalnum()


class _Near:
    """Tells whether there may be words about keys near a token, before they are read."""

    def __init__(self, text: str, beside: str) -> None:
        self._text = text
        self._beside = beside

    @cached_property
    def columns(self) -> Columns:
        """The tables, of which there is none without such a word."""
        return Columns(self._text if self._told else "")

    @cached_property
    def _told(self) -> list[tuple[int, int]]:
        return telling(self._text, _BEFORE)

    @cached_property
    def _parts(self) -> list[tuple[int, int]]:
        verdict = judge_name(self._beside)
        if verdict is not None and verdict.is_key:
            return [(0, len(self._text))]
        return joined([*self._told, *self.columns.places])

    def has(self, token: Token) -> bool:
        """Whether anything near a token calls for reading what is around it."""
        if self._text[token.end : token.end + 1] == "@":  # the user of a URL
            return True
        found = bisect(self._parts, (token.start, len(self._text)))
        return found > 0 and token.start <= self._parts[found - 1][1]


class _Lines:
    """Finds line numbers in a text that is read from its start."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._seen = (0, 1)

    def of(self, position: int) -> int:
        """The line number of a position."""
        at, line = self._seen
        if position < at:
            return self._text.count("\n", 0, position) + 1
        line += self._text.count("\n", at, position)
        self._seen = position, line
        return line
