"""The spellings of a key from which a reader still recovers it: what to search for."""

from __future__ import annotations

import base64
import codecs
import json
import sys
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 8
"""Characters of a usual key that may show in a row; of a longer key the same share."""

ALPHANUMERIC = frozenset(code for code in range(128) if chr(code).isalnum())
_USUAL_KEY = 32
_SMALLEST_WINDOW = 6  # so that other hexadecimal digits rarely match one
_LINE = 10  # characters of base64, the shortest lines in which a long text is searched
_LOWER = bytes(range(256)).lower()


class Folding:
    """Reduces text to lower case, and to the letters and digits that matter.

    Parameters
    ----------
    letters : set of int
        Their codes.
    """

    def __init__(self, letters: frozenset[int]) -> None:
        self.letters = letters
        self._dropped = bytes(code for code in range(256) if _LOWER[code] not in letters)

    def __call__(self, text: bytes) -> bytes:
        """The text without everything else."""
        return text.translate(_LOWER, self._dropped)


EVERY_LETTER = Folding(ALPHANUMERIC)


def shown(key: str) -> int:
    """The number of characters of a key that may show in a row."""
    return SHOWN * max(len(key), _USUAL_KEY) // _USUAL_KEY


class Spelling(NamedTuple):
    """A key in one of its encodings, in lower case and without separators.

    Attributes
    ----------
    text : bytes
        Only letters and digits.
    least : int
        The number of them in a row that reveals too much.
    line : int
        The number of them on a line, on each of which to find it; by default, any.
    """

    text: bytes
    least: int
    line: int = sys.maxsize

    def windows(self) -> list[tuple[int, bytes]]:
        """Parts of it and their offsets; everything that reveals too much contains one."""
        row = min(self.least, self.line)
        size = max(_SMALLEST_WINDOW, row // 2)
        last = len(self.text) - size
        starts = {*range(0, last, row - size + 1), last}
        return [(start, self.text[start : start + size]) for start in starts]


def plain_spellings(key: str) -> list[Spelling]:
    """A key as it is, and with numbers for its characters."""
    code = key.encode()
    plain = [EVERY_LETTER(bytes([each])) for each in code]
    numbers = [b"%02x" % each for each in code]
    ways = [
        [each * 2 for each in plain],  # printed twice in one place, as on a printer
        [b"%02x" % each for each in key.upper().encode()],
        *([prefix + each for each in numbers] for prefix in _ESCAPED),
        numbers,
        [b"%d" % each for each in code],
        [each + b"00" for each in numbers],  # UTF-16
        # Dumps show two-byte words in reverse order.
        *([each for pair in _pairs(numbers[odd:]) for each in pair] for odd in (0, 1)),
    ]
    return list(
        filter(_is_found, [_spelling(plain, key, 1), *(_spelling(way, key) for way in ways)])
    )


def spellings_with_signs(key: str) -> list[Spelling]:
    """A key as it is and as in JSON, if it has more than letters and digits."""
    if key.isalnum():
        return []
    ways = [[each.encode() for each in key], [json.dumps(each)[1:-1].encode() for each in key]]
    return [_spelling(way, key, 1) for way in ways[: 1 + (ways[0] != ways[1])]]


_ESCAPED = (b"25", b"u000000")
"""What of an escape stands before each number: of %25XX, a text quoted twice, and \\U000000XX."""


def counted_spelling(key: str, fold: Folding) -> Spelling:
    """A key as the numbers 0x61, 0x62 and so on, as a first look reads them."""
    return _spelling([fold(b"0x%02x" % each) for each in key.encode()], key)


def base64_spellings(key: str) -> list[Spelling]:
    """A key in base64."""
    least = shown(key) * 8 // 6
    narrow, wide = _base64(key.encode()), _base64(codecs.utf_16_le_encode(key)[0])
    return [
        *(Spelling(EVERY_LETTER(each), least, _LINE) for each in narrow),
        *(Spelling(EVERY_LETTER(each), 2 * least, 2 * _LINE) for each in wide),
    ]


def _spelling(units: list[bytes], key: str, more: int = 0) -> Spelling:
    """A spelling that reveals too much with as many units as a key may show, plus `more`.

    Numbers need no more: nothing else looks like them, and the next may show half a unit.
    """
    return Spelling(b"".join(units), max(_shortest(units, shown(key) + more), SHOWN))


def _is_found(spelling: Spelling) -> bool:
    return spelling.least <= len(spelling.text)


def _pairs(units: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(units[1::2], units[::2], strict=False)


def _shortest(units: list[bytes], row: int) -> int:
    """The minimum number of letters and digits in so many units in a row."""
    ends = [0, *accumulate(map(len, units))]
    if len(units) <= row:
        return ends[-1]
    return min(end - start for start, end in zip(ends, ends[row:], strict=False))


def _base64(code: bytes) -> Iterator[bytes]:
    # It encodes three bytes at a time, so a key's surroundings can shift it in three ways; this
    # omits the characters at both ends, which depend on the surroundings.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + code).rstrip(b"=")
        yield coded[(shift * 8 + 5) // 6 : (shift + len(code)) * 8 // 6]
