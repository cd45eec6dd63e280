"""What has the shape of a key: the cheap first look at bytes, and the tokens of a text.

Most files need only the first look: they have no 32 hexadecimal digits in a row, and no base64
that could contain some.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from math import log2
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_DIGITS = 32
_IS_DIGIT = bytes(chr(code) in "0123456789abcdefABCDEF" for code in range(256))
_ROW = b"\1" * _DIGITS
_IS_CODED = bytes(chr(code).isalnum() or chr(code) in "+/_-" for code in range(128)) + bytes(128)
_CODED_ROW = b"\1" * 20
# Four characters of base64 that encode three hexadecimal digits.
_CODED_DIGITS = b"[MNOQRYZ][DEGTUWjkmz02][A-Za-z0-9+/_-][B-Gh-mw-z0-5]"
_CODED = re.compile(
    _CODED_DIGITS + b"(?:" + _CODED_DIGITS + b"){4}"
)  # half a key, before the end of a line
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{40,}\s{1,6})*[A-Za-z0-9+/_-]{20,}={0,2}")
_LONGEST = 1 << 20  # characters of base64 to decode as a text
_LEAST_ENTROPY = 2.8  # bits per digit; none of a million random keys has less
_PERIODS = (8, 16)


class Token(NamedTuple):
    """What has the shape of a key.

    Parameters
    ----------
    start, end : int
        Its place in the text.
    text : str
    """

    start: int
    end: int
    text: str


def may_hold_key(data: bytes, known: Collection[bytes] = ()) -> bool:
    """Whether these bytes are worth reading.

    Parameters
    ----------
    data : bytes
    known : collection of bytes
        Keys to search for as they are.
    """
    return (
        _ROW in data.translate(_IS_DIGIT)
        or _may_be_coded(data)
        or any(key in data for key in known)
    )


def has_token(text: str) -> bool:
    """Whether there are so many hexadecimal digits in a row in it."""
    return _ROW in _bytes(text).translate(_IS_DIGIT)


def _may_be_coded(data: bytes) -> bool:
    """Whether there is base64 in it that may stand for a key."""
    rows = data.translate(_IS_CODED)
    at = rows.find(_CODED_ROW)
    while at >= 0:
        end = rows.find(b"\0", at)
        end = len(data) if end < 0 else end
        if _CODED.search(data, at, end):
            return True
        at = rows.find(_CODED_ROW, end)
    return False


def _bytes(text: str) -> bytes:
    """A text with one byte for each character."""
    return text.encode("latin-1", "replace")


def tokens(text: str) -> Iterator[Token]:
    """All that may be a key by its digits; what stands around it may say something else."""
    digits = _bytes(text).translate(_IS_DIGIT)
    at = digits.find(_ROW)
    while at >= 0:
        end = digits.find(b"\0", at + _DIGITS)
        end = len(text) if end < 0 else end
        yield Token(end - _DIGITS, end, text[end - _DIGITS : end])
        at = digits.find(_ROW, end)


def is_random(digits: str) -> bool:
    """Whether digits are of one case, and not counted up, repeated or typed by hand."""
    if digits not in {digits.lower(), digits.upper()}:
        return False
    counts = Counter(digits.lower())
    entropy = -sum(each / len(digits) * log2(each / len(digits)) for each in counts.values())
    repeated = any(digits[:each] == digits[each : 2 * each] for each in _PERIODS)
    return entropy >= _LEAST_ENTROPY and not repeated and not digits.isdecimal()


def coded_texts(text: str) -> Iterator[Token]:
    """The base64 texts that contain tokens, each with the base64's place."""
    for match in _BASE64.finditer(text) if _may_be_coded(_bytes(text)) else ():
        coded = "".join(match[0].split()).rstrip("=")
        if len(coded) > _LONGEST or not _CODED.search(coded.encode()):
            continue
        decoded = _decoded(coded)
        if has_token(decoded) or _may_be_coded(_bytes(decoded)):
            yield Token(match.start(), match.end(), decoded)


def _decoded(coded: str) -> str:
    whole = coded[: len(coded) // 4 * 4] if len(coded) % 4 == 1 else coded
    padded = whole + "=" * (-len(whole) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if set("-_") & set(whole) else None).decode(
            "latin-1"
        )
    except binascii.Error:
        return ""
