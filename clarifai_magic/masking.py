"""Keys in text and bytes, replaced by a mask in whatever plain encoding they stand."""

from __future__ import annotations

import base64
import json
import re
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

from clarifai_magic.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST_KEY = 16
"""Characters; what is shorter is no key, and masking it would garble honest text."""

SHORTEST_PART = 8
"""Characters of a key that was cut in two which are masked still."""

_BYTES_MASK = MASK.encode()
_ENVELOPE = 64  # bytes: what stands around the text in a stream's message, and to spare


class Masker:
    """Replaces keys, and what is left of a key that was cut where one message ends.

    Parameters
    ----------
    keys : iterable of str
        The real text of each.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        real = [key for key in map(str.__str__, keys) if len(key) >= SHORTEST_KEY]
        # Whole encodings are searched for as they are: the longer what is searched for, the
        # faster the search, and it reads every byte that a kernel sends.
        self._whole = sorted({text for key in real for text in _encodings(key)}, key=len)
        self._whole_in_bytes = [text.encode() for text in self._whole]
        self._edge = max(map(len, real), default=0) + _ENVELOPE
        self._real = real

    @cached_property
    def _parts_of_text(self) -> re.Pattern[str]:
        return re.compile(_parts(self._real, r"\A", r"\Z"))

    @cached_property
    def _parts_of_json(self) -> re.Pattern[bytes]:
        return re.compile(_parts(self._real, '(?<=")', '(?=")').encode())

    def text(self, text: str) -> str:
        """The text with every key masked."""
        for whole in self._whole:
            if whole in text:
                text = text.replace(whole, MASK)
        return self._parts_of_text.sub(MASK, text) if self._whole else text

    def json(self, data: bytes) -> bytes:
        """The JSON document with every key in its strings masked; valid as before."""
        for whole in self._whole_in_bytes:
            if whole in data:
                data = data.replace(whole, _BYTES_MASK)
        # A stream's message is little more than its text: a cut key is near one of its ends.
        start, end = data[: self._edge], data[-self._edge :]
        if not (self._whole and (self._has_part(start) or self._has_part(end))):
            return data
        if len(data) <= 2 * self._edge:
            return self._parts_of_json.sub(_BYTES_MASK, data)
        middle = data[self._edge : -self._edge]
        return b"".join(
            (
                self._parts_of_json.sub(_BYTES_MASK, start),
                middle,
                self._parts_of_json.sub(_BYTES_MASK, end),
            )
        )

    def _has_part(self, edge: bytes) -> bool:
        return self._parts_of_json.search(edge) is not None


def _encodings(key: str) -> Iterator[str]:
    yield key
    yield json.dumps(key)[1:-1]
    yield quote(key, safe="")
    # Base64 takes three bytes at a time, so what surrounds a key can shift it in three ways; the
    # characters at both ends, which depend on the surroundings, are left out.
    for shift in range(3):
        code = base64.b64encode(b"\0" * shift + key.encode()).decode().rstrip("=")
        yield code[(shift * 8 + 5) // 6 : (shift + len(key)) * 8 // 6]
        yield base64.urlsafe_b64encode(base64.b64decode(code + "==="))[
            (shift * 8 + 5) // 6 : (shift + len(key)) * 8 // 6
        ].decode()


def _parts(keys: Iterable[str], start: str, end: str) -> str:
    """A pattern: a key's end where a string starts, or its start where one ends.

    Optional groups in each other, rather than an alternative for each length, are compiled in
    half the time and searched for in a quarter.
    """
    choices: list[str] = []
    for key in keys:
        tail = head = ""
        for character in key[1:-SHORTEST_PART]:
            tail = f"(?:{tail}{re.escape(character)})?"
        for character in reversed(key[SHORTEST_PART:-1]):
            head = f"(?:{re.escape(character)}{head})?"
        choices.append(f"{start}{tail}{re.escape(key[-SHORTEST_PART:])}")
        choices.append(f"{re.escape(key[:SHORTEST_PART])}{head}{end}")
    return "|".join(choices)
