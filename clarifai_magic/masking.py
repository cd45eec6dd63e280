"""Keys in text and bytes, replaced by a mask in whatever plain encoding they stand."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from clarifai_magic.credentials import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST_KEY = 16
"""Characters; what is shorter is no key, and masking it would garble honest text."""

SHORTEST_PART = 8
"""Characters of a key that was cut in two which are masked still."""

_BYTES_MASK = MASK.encode()


class Masker:
    """Replaces keys, and what is left of a key that was cut at the end of a string.

    Parameters
    ----------
    keys : iterable of str
        The real text of each.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        whole: set[str] = set()
        parts: set[str] = set()
        for key in map(str.__str__, keys):
            if len(key) < SHORTEST_KEY:
                continue
            whole.update(_encodings(key))
            parts.add(key)
        # Nothing is replaced without one of these in it, and a search for them is fast.
        self._telltales = _telltales(whole)
        self._telltales_in_bytes = [text.encode() for text in self._telltales]
        self._in_text = re.compile(_pattern(whole, parts, r"\A", r"\Z"))
        self._in_json = re.compile(_pattern(whole, parts, '(?<=")', '(?=")').encode())

    def text(self, text: str) -> str:
        """The text with every key masked."""
        if any(telltale in text for telltale in self._telltales):
            return self._in_text.sub(MASK, text)
        return text

    def json(self, data: bytes) -> bytes:
        """The JSON document with every key in its strings masked; valid as before."""
        if any(telltale in data for telltale in self._telltales_in_bytes):
            return self._in_json.sub(_BYTES_MASK, data)
        return data


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


def _telltales(whole: Iterable[str]) -> list[str]:
    """The beginnings and ends that every match has one of."""
    found: set[str] = set()
    for text in whole:
        found.update((text[:SHORTEST_PART], text[-SHORTEST_PART:]))
    return sorted(found)


def _pattern(whole: Iterable[str], parts: Iterable[str], start: str, end: str) -> str:
    """Any whole encoding, or a key's end where a string starts, or its start where one ends."""
    choices = [re.escape(text) for text in sorted(whole, key=len, reverse=True)]
    for key in parts:
        lengths = range(len(key) - 1, SHORTEST_PART - 1, -1)
        choices += [start + re.escape(key[-length:]) for length in lengths]
        choices += [re.escape(key[:length]) + end for length in lengths]
    return "|".join(choices)
