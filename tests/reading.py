"""How much of a key somebody recovers from what they see: the longest run of its characters."""

from __future__ import annotations

import base64
import html
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 8
"""Characters in a row, of 32, that may be recovered."""

_ANSI = re.compile(r"(?:\x1b|\\+u001b|\\+x1b)(?:\[[0-9;?]*[A-Za-z]|\(B)")
_TAG = re.compile(r"""</?[A-Za-z](?:"[^"]{0,99}"|'[^']{0,99}'|[^<>"'])*>""")
_CODE = re.compile(r"\\+(?:u00|x|U000000)([0-9a-fA-F]{2})")
_ESCAPE = re.compile(r"\\+(?:u[0-9a-fA-F]{4}|[nrt])")


def recovered(seen: str | bytes, key: str) -> int:
    """The length of the longest run, by whichever way of reading finds most."""
    text = seen.decode("latin-1") if isinstance(seen, bytes) else seen
    return max(max(_lengths(each, key.lower())) for each in set(_readings(text)))


def _readings(text: str) -> Iterator[str]:
    yield text
    plain = _TAG.sub("", _ANSI.sub("", text))
    yield plain
    yield html.unescape(plain)
    yield unquote(plain)
    yield unquote(unquote(plain))
    yield re.sub(r"(.)(?:\x08|\\+b)\1", r"\1", plain)
    yield _ESCAPE.sub(" ", _CODE.sub(lambda match: chr(int(match[1], 16)), plain))


def _lengths(text: str, key: str) -> Iterator[int]:
    letters = re.sub(r"[^0-9A-Za-z]", "", text)
    lower = letters.lower()
    code = key.encode()
    yield _run(lower, key)
    yield _run(re.sub(r"0x", "", text).lower().translate(_NO_HEX), code.hex()) // 2
    yield _run(lower, key.upper().encode().hex()) // 2
    yield _run(lower, code.decode().encode("utf-16-le").hex()) // 4
    swapped = "".join(code[at : at + 2][::-1].hex() for at in range(0, len(code), 2))
    yield _run(lower, swapped) // 2
    numbers = "".join(chr(int(each)) for each in re.findall(r"(?<!\d)\d{2,3}(?!\d)", text))
    yield _run(numbers.lower(), key)
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + code).decode().rstrip("=")
        yield _run(letters, coded[(shift * 8 + 5) // 6 : (shift + len(code)) * 8 // 6]) * 6 // 8
        wide = base64.b64encode(b"\0" * shift + key.encode("utf-16-le")).decode()
        yield _run(letters, wide[(shift * 8 + 5) // 6 : (shift + 2 * len(code)) * 8 // 6]) * 3 // 8


_NO_HEX = {code: None for code in range(0x110000 >> 8) if chr(code) not in "0123456789abcdef"}


def _run(text: str, key: str) -> int:
    """The length of the longest part of the key that is in the text."""
    longest = 0
    for start in range(len(key)):
        while start + longest < len(key) and key[start : start + longest + 1] in text:
            longest += 1
    return longest
