"""Replaces keys in text and bytes with a mask, however they are written."""

from __future__ import annotations

import json
import re
from bisect import bisect
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic.credentials.secret import MASK
from clarifai_magic.redaction.looking import Look
from clarifai_magic.redaction.reading import (
    AS_IT_IS,
    Reading,
    condensed,
    escapes,
    has_markup,
    ways_to_read,
    without_markup,
    without_repeats,
)
from clarifai_magic.redaction.spelling import (
    EVERY_LETTER,
    SHOWN,
    Folding,
    Spelling,
    base64_spellings,
    counted_spelling,
    plain_spellings,
    shown,
    spellings_with_signs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Pieces = list[tuple[int, int]]

REACH = 2048
"""Bytes that a key may take, including separators."""

_MASK = MASK.encode()
_MASK_OF_REST = b"[key]"  # whose letters do not continue a hexadecimal key
_STRIDE = 1 << 18  # bytes to look at together: each look lets other threads run, which takes time
_BLOCK = 1 << 16  # bytes to examine together, so that only text near a key is read
_REMEMBERED = 64  # bytes of the preceding text, for each character that may show
_START = REACH - _REMEMBERED * SHOWN  # characters of the following text
_BINARY_MASK = b"*"
# Not compiled here: signing in is faster without.
_TOKEN = rb'(?s)"[^"\\]*(?:\\.[^"\\]*)*"|(?P<number>[^\s,:\[\]{}"]+)'
_OPEN_ESCAPE = rb"(?<!\\)(?:\\\\)*\\(?:u(?P<digits>[0-9a-fA-F]{0,3}))?\Z"


class Masker:
    """Replaces keys with a mask.

    Parameters
    ----------
    keys : iterable of str
        The real text of each; a key no longer than what may show is not masked.

    Attributes
    ----------
    remembered : int
        Bytes of a stream in which a continuing key may have begun.
    is_of_letters : bool
        Whether no key has anything but letters and digits.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        real = [key for key in map(str.__str__, keys) if len(key) > SHOWN]
        self._whole = _as_they_are(real)
        self.remembered = _REMEMBERED * max(map(shown, real), default=SHOWN)
        # What is not a letter counts in these; other searches leave it out.
        self._signs = [
            _Window(spelling, *window)
            for key in real
            for spelling in spellings_with_signs(key)
            for window in spelling.windows()
        ]
        self.is_of_letters = not self._signs
        plain = [each for key in real for each in plain_spellings(key)]
        coded = [each for key in real for each in base64_spellings(key)]
        self._windows = [
            _Window(spelling, *window)
            for spelling in (*plain, *coded)
            for window in spelling.windows()
        ]
        # A first look leaves out all letters that are in no key, those of \\n in JSON, too.
        self._fold = Folding(frozenset().union(*(each.text for each in plain)))
        # Unless a key has an x itself, that of 0x is left out, too.
        counted = [
            window for key in real for _, window in counted_spelling(key, self._fold).windows()
        ]
        texts = [*(window.text for window in self._windows), *counted]
        signs = escapes(self._fold.letters)
        self._escapes = {len(texts) + number for number, _ in enumerate(signs)}
        self._look = Look([*texts, *signs])
        self._signs_of_escapes = signs

    def finds(self, data: bytes) -> bool:
        """Whether it contains a key."""
        return bool(self._runs(data))

    def text(self, text: str) -> str:
        """The text with every key masked."""
        data = _encoded(text)
        masked = self.data(data)
        return text if masked is data else _decoded(masked)

    def data(self, data: bytes, *, beyond: int = 0) -> bytes:
        """Encoded text with every key masked; the very same if there is none.

        Parameters
        ----------
        data : bytes
            The text.
        beyond : int
            Bytes at its start that are already shown: they stay, and are not returned.
        """
        runs = self._runs(data)
        return _replaced(data, runs, _MASK, beyond) if runs or beyond else data

    def json(self, data: bytes, parse: Callable[[bytes], Any] = json.loads) -> bytes:
        """The document with every key masked, readable as before."""
        runs = self._runs(data)
        if not runs:
            return data
        runs = [[_outside_escape(data, *piece) for piece in run] for run in runs]
        masked = _replaced(data, runs, _MASK)
        try:
            parse(masked)
        except ValueError:  # a piece is in a number
            pieces = _with_numbers(data, [piece for run in runs for piece in run])
            masked = _replaced(data, [[piece] for piece in pieces], b"0")
            parse(masked)
        return masked

    def binary(self, data: bytes) -> bytes:
        """The bytes with every key overwritten, of the same length; unchanged without a key."""
        runs = self._runs(data)
        if not runs:
            return data
        masked = bytearray(data)
        for run in runs:
            for start, end in run:
                masked[start:end] = _BINARY_MASK * (end - start)
        return bytes(masked)

    def whole(self, data: bytes) -> bytes:
        """The bytes with plain keys masked."""
        for text in self._whole:
            data = data.replace(text, _MASK)
        return data

    def _runs(self, data: bytes) -> list[Pieces]:
        """The pieces of each revealed key."""
        found: list[Pieces] = []
        if len(data) <= REACH and not self._signs and self._is_clean(data):
            return found
        for start, end in self._blocks(data):
            for markup in self._suspected(data[start:end]):
                first = max(0, start - REACH)
                found += self._pieces(Reading(data[first : end + REACH], first, markup=markup))
        for window in self._signs:
            found += [[run] for run in window.runs(data)]
        return _united(found) if found else found

    def _pieces(self, near: Reading) -> Iterator[Pieces]:
        """The pieces of each part of a key, then of those that the masks of others would join."""
        letters, places = near.letters, near.places
        while runs := _overlapping_as_one(self._given_away(letters)):
            yield from (places[slice(*run)] for run in runs)
            kept = bytearray(b"\1" * len(letters))
            for start, end in runs:
                kept[start:end] = bytes(end - start)
            letters, places = bytes(compress(letters, kept)), list(compress(places, kept))

    def _blocks(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of each part of a text that may have a key."""
        size = max(1, len(data) - REACH)
        for stride in range(0, size, _STRIDE):
            end = min(stride + _STRIDE, size)
            if size <= _BLOCK or self._suspects(data[stride : self._reached(data, end)]):
                for start in range(stride, end, _BLOCK):
                    yield start, self._reached(data, min(start + _BLOCK, end))

    def _reached(self, data: bytes, start: int) -> int:
        """The end of a key that begins before a place, even if almost nothing follows."""
        end = start + REACH
        return end if len(self._fold(data[start:end])) > self.remembered else end + _BLOCK

    def _suspects(self, text: bytes) -> bool:
        """Whether a long text may have a key: a first look."""
        return has_markup(text) or bool(self._look(text) or self._look(self._fold(text)))

    def _suspected(self, block: bytes) -> list[tuple[bytes, ...]]:
        """The ways to read a block in which it gives a key away."""
        found = self._look(block) | self._look(self._fold(block))
        escaped = not found.isdisjoint(self._escapes)
        found -= self._escapes
        if len(block) <= REACH:  # otherwise base64 is searched within lines, not across them
            found |= self._look(_unwrapped(block))
            escaped = self._has_escapes(block)
        if not (found or escaped or has_markup(block)):
            return []
        ways = [AS_IT_IS] if found and any(self._given_away(EVERY_LETTER(block))) else []
        for way in ways_to_read(block):
            letters = EVERY_LETTER(without_markup(block, way))
            ways += [way] if any(self._given_away(letters)) else []
        return ways

    def _is_clean(self, data: bytes) -> bool:
        """Whether a short text needs only one look."""
        return not (
            self._look(self._fold(data) + b" " + _unwrapped(data))
            or self._has_escapes(data)
            or has_markup(data)
        )

    def _has_escapes(self, data: bytes) -> bool:
        return b"\\" in data and self._escape.search(data) is not None

    @cached_property
    def _escape(self) -> re.Pattern[bytes]:
        # Compiled on first use: signing in is faster.
        return re.compile(b"|".join(map(re.escape, self._signs_of_escapes)))

    def _given_away(self, letters: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of each part of a key."""
        for position in self._look(letters):
            if position < len(self._windows):
                yield from self._windows[position].runs(letters)


class Continuation:
    """A stream, in which a key may arrive in pieces: it searches the preceding text again."""

    def __init__(self) -> None:
        self._before = b""

    def data(self, masker: Masker, data: bytes) -> bytes:
        """What is written next, masked."""
        before = self._before
        self._remember(masker, data[-REACH:])
        return masker.data(before + data, beyond=len(before))

    def start(self, masker: Masker, text: str) -> str:
        """What is written next, masking only a key that began before."""
        start = _encoded(text[:_START])
        before = self._before
        self._remember(masker, start if len(text) <= _START else _encoded(text[-REACH:]))
        masked = masker.data(before + start, beyond=len(before))
        return text if masked == start else _decoded(masked) + text[_START:]

    def _remember(self, masker: Masker, end: bytes) -> None:
        before = self._before + (condensed(end) if masker.is_of_letters else end)
        self._before = without_repeats(before, masker.remembered)[-masker.remembered :]


def _unwrapped(data: bytes) -> bytes:
    """Its letters without JSON's line breaks, which no other look leaves out for all of base64."""
    if b"\\" in data:
        data = data.replace(b"\\r", b"").replace(b"\\n", b"")
    return EVERY_LETTER(data)


def _as_they_are(keys: Iterable[str]) -> list[bytes]:
    """The bytes of each key, including its JSON form, longest first."""
    texts = {text.encode() for key in keys for text in (key, json.dumps(key)[1:-1])}
    return sorted(texts, key=len, reverse=True)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


class _Window(NamedTuple):
    """A part of a spelling, where a search for more of it begins."""

    spelling: Spelling
    offset: int
    text: bytes

    def runs(self, letters: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of each part that reveals too much and contains this window."""
        whole, least, _ = self.spelling
        size = len(self.text)
        at = letters.find(self.text)
        while at >= 0:
            start, end = at, at + size
            before, behind = self.offset, self.offset + size
            while start and before and letters[start - 1] == whole[before - 1]:
                start, before = start - 1, before - 1
            while end < len(letters) and behind < len(whole) and letters[end] == whole[behind]:
                end, behind = end + 1, behind + 1
            enough = end - start >= least
            if enough:
                yield start, end
            at = letters.find(self.text, end - size + 1 if enough else at + 1)


def _overlapping_as_one(runs: Iterable[tuple[int, int]]) -> Pieces:
    """In order; each window of a key of few different characters is found in many places."""
    united: Pieces = []
    for start, end in sorted({*runs}):
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _united(runs: list[Pieces]) -> list[Pieces]:
    """The same with overlapping runs merged, and adjacent characters joined into one piece."""
    united: list[Pieces] = []
    end = -1
    for run in sorted(runs):
        if run[0][0] < end:
            united[-1] += run
        else:
            united.append(list(run))
        end = max(end, run[-1][1])
    return [_joined(run) for run in united]


def _joined(places: Pieces) -> Pieces:
    pieces: Pieces = []
    for start, end in sorted(places):
        if pieces and start <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
        else:
            pieces.append((start, end))
    return pieces


def _replaced(data: bytes, runs: Iterable[Pieces], mask: bytes, beyond: int = 0) -> bytes:
    """The data with the mask for the first piece of each run, and nothing for the others."""
    parts, at = [], beyond
    for run in runs:
        text = mask if run[0][0] >= beyond else _MASK_OF_REST
        for start, end in run:
            if end > beyond:  # except what is already shown
                parts += [data[at : max(start, beyond)], text]
                at, text = end, b""
    return b"".join([*parts, data[at:]])


def _with_numbers(data: bytes, pieces: Pieces) -> Pieces:
    """The same pieces of a JSON document, each that is in a number widened to all of it.

    What is left of one may be none: 0 in place of the 1 of 1234 makes 0234.
    """
    tokens = re.finditer(_TOKEN, data)
    numbers = [(0, 0), *(token.span("number") for token in tokens if token["number"])]
    starts = [start for start, _ in numbers]
    widened = []
    for start, end in pieces:
        first, last = numbers[bisect(starts, start) - 1]
        widened.append((first, max(last, end)) if start < last else (start, end))
    return _joined(widened)


def _outside_escape(data: bytes, start: int, end: int) -> tuple[int, int]:
    """A piece without the rest of a JSON escape that begins before it."""
    escape = re.compile(_OPEN_ESCAPE).search(data, max(0, start - REACH), start)
    if escape is None:
        return start, end
    if escape["digits"] is None:
        length = 5 if data[start : start + 1] == b"u" else 1
    else:
        length = 4 - len(escape["digits"])
    return min(start + length, end), end
