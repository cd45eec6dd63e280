"""Text as read by someone who ignores separators between the characters of a key."""

from __future__ import annotations

import re
from functools import cache
from itertools import compress

from clarifai_magic.redaction.spelling import ALPHANUMERIC, EVERY_LETTER

_TERMINAL = rb"""(?:
    \[ [0-?]* [ -/]* [@-~]
    | [\]PX^_] [^\x07\x1b\\]* (?: \x07 | END )
    | [ -/]* [0-OQ-WYZ`-~]
)"""
_HEX = rb"[0-9a-fA-F]"
_BACKSLASHES = rb"\\ \\*"
_AMPS = rb"(?: amp; ){0,3}"
_HIDDEN = {
    b"\x1b": rb"\x1b" + _TERMINAL.replace(b"END", rb"\x1b\\"),
    b"\\": rb"""BACKSLASHES (?:
        (?: ESC | 033 ) TERMINAL
        | (?! CODE ) (?: u HEX{4} | x HEX{2} ) | [abfnrtv] )""".replace(
        b"TERMINAL", _TERMINAL.replace(b"END", rb"\\+ (?: u0007 | x07 | ESC \\+ (?!ESC) )")
    ).replace(b"ESC", rb"(?: u001b | x1b )"),
    b"<": rb"""< /? [a-zA-Z!] (?:
        [^<>"']{0,400} (?: (?: "[^"<]{0,400}" | '[^'<]{0,400}' ) [^<>"']{0,400} ){0,50} >
        | [^<>]{0,400} > )""",
    b"0x": rb"0x",
    # What is shown as text is escaped, once or several times; a quoted > ends no tag there either.
    b"&": rb"""& (?! AMPS CODE ) AMPS (?:
        lt; /? [a-zA-Z!] (?:
            TEXT (?: (?: QUOTE (?: [^<&"] | (?! AND (?: lt | DOUBLE ); ) & ){0,400} QUOTE
                | APOSTROPHE (?: [^<&'] | (?! AND (?: lt | SINGLE ); ) & ){0,400} APOSTROPHE
            ) TEXT ){0,50} AND gt;
            | (?: [^<>&] | (?! AND [gl]t; ) & ){0,400} AND gt; )
        | [a-zA-Z]{2,8}; )""".replace(
        b"TEXT", rb"""(?: [^<>&"'] | (?! AND (?: [gl]t | DOUBLE | SINGLE ); ) & ){0,400}"""
    )
    .replace(b"QUOTE", rb"(?: AND (?: DOUBLE ); | \" )")
    .replace(b"APOSTROPHE", rb"(?: AND (?: SINGLE ); | ' )")
    .replace(b"DOUBLE", rb"quot | \#34 | \#x22")
    .replace(b"SINGLE", rb"apos | \#39 | \#x27"),
}
"""Patterns for text with hidden letters or digits, by the start of each; a search for one character
takes almost no time. They are removed in this order, so that no letter that one stands for counts
as part of the next."""

_CODES = {
    b"\\": rb"(?: u00(?P<u>[3-7]HEX) | x(?P<x>[3-7]HEX) )",
    b"&": rb"(?: \#[xX](?P<html>HEX{1,6});? | \#(?P<number>\d{1,7});? )",
}
"""Patterns for the numbers of characters after the same starts."""

AS_IT_IS: tuple[bytes, ...] = ()
WITHOUT_MARKUP = tuple(_HIDDEN)
WITHIN_TAGS = tuple(sign for sign in _HIDDEN if sign != b"<")
"""Ways to read, each as what is left out: tags have attributes, which may be data of elements."""

_NUMBERED, _NAMED = b"ux", b"abfnrtv"

_SEPARATING = bytes({*range(256)} - ALPHANUMERIC - {*b"\a\x1b!\"#&'();:/<=>?[\\]"})
_LETTERS = bytes(ALPHANUMERIC)
_IS_LETTER = bytes(code in ALPHANUMERIC for code in range(256))


def escapes(letters: frozenset[int]) -> list[bytes]:
    """The start of escapes that may contain such letters."""
    signs = [*_NUMBERED, *letters.intersection(_NAMED)]
    return [b"\\" + bytes([sign]) for sign in signs]


def ways_to_read(data: bytes) -> tuple[tuple[bytes, ...], ...]:
    """The ways besides that as it is in which it may read differently."""
    return (WITHOUT_MARKUP, WITHIN_TAGS) if b"<" in data else (WITHOUT_MARKUP,)


def has_markup(data: bytes) -> bool:
    """Whether there may be something other than escapes that `without_markup` would omit."""
    return b"<" in data or b"&" in data or b"\x1b" in data


def condensed(data: bytes) -> bytes:
    """The text without separators: characters that are not part of markup."""
    return data.translate(None, _SEPARATING)


def without_repeats(data: bytes, most: int) -> bytes:
    """The same with two of what comes more often in a row, if it has many signs among its letters.

    A line of ``=`` or ``&nbsp;`` between letters must not be all that a stream remembers.
    """
    if len(data) <= most or len(data.translate(None, _LETTERS)) * 4 < len(data):
        return data
    return _repeats().sub(rb"\1\1", data)


@cache
def _repeats() -> re.Pattern[bytes]:
    return re.compile(rb"(\W{1,8}?|&#?\w{2,8};|<[^<>]{1,99}>|\x1b\[[\d;]*\w)\1\1+")


@cache
def _hidden(sign: bytes) -> re.Pattern[bytes]:
    """A pattern for what stands for no character."""
    code = re.sub(rb"\?P<\w+>", b"", _CODES.get(sign, b""))
    return _compiled(_HIDDEN[sign].replace(b"CODE", code))


@cache
def _coded(sign: bytes) -> re.Pattern[bytes]:
    """A pattern for the numbers of characters."""
    start = _BACKSLASHES if sign == b"\\" else b"AND"
    return _compiled(start + _CODES[sign])


@cache
def _pattern(*signs: bytes) -> re.Pattern[bytes]:
    """A pattern for both, whichever of these characters it begins with; few sessions need it."""
    each = [_hidden(sign).pattern for sign in signs]
    each += [_coded(sign).pattern for sign in signs if sign in _CODES]
    return _compiled(b"|".join(each))


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    meanings = {b"BACKSLASHES": _BACKSLASHES, b"AND": b"& AMPS", b"AMPS": _AMPS, b"HEX": _HEX}
    for name, meaning in meanings.items():
        pattern = pattern.replace(name, meaning)
    return re.compile(pattern, re.VERBOSE)


def without_markup(data: bytes, signs: tuple[bytes, ...] = WITHOUT_MARKUP) -> bytes:
    """The text with spaces for its markup, and with characters for those given as numbers."""
    for sign in signs:
        if sign in data:
            data = _hidden(sign).sub(b" ", data)
            if sign in _CODES:
                data = _coded(sign).sub(lambda match: bytes([_code(match)]), data)
    return data


def _code(match: re.Match[bytes]) -> int:
    """The character that a piece of markup stands for, or a space."""
    groups = match.groupdict()
    digits = groups.get("u") or groups.get("x") or groups.get("html")
    code = int(digits, 16) if digits else int(groups.get("number") or b"0")
    return code if code in ALPHANUMERIC else ord(" ")


class Reading:
    """The letters and digits of a text, and the place of each.

    Parameters
    ----------
    data : bytes
        The text.
    offset : int
        Its offset in the text that it is from.
    markup : tuple of bytes
        The way to read it: what begins the markup that is left out, in which numbers are read as
        the characters they stand for.

    Attributes
    ----------
    letters : bytes
        In lower case.
    places : list of tuple
        Start and end of each in the original text.
    """

    def __init__(self, data: bytes, offset: int, *, markup: tuple[bytes, ...]) -> None:
        self.places: list[tuple[int, int]] = []
        parts: list[bytes] = []
        end = 0
        for match in _pattern(*markup).finditer(data) if markup else ():
            parts.append(self._plain(data[end : match.start()], offset + end))
            if (code := _code(match)) in ALPHANUMERIC:
                parts.append(bytes([code]).lower())
                self.places.append((offset + match.start(), offset + match.end()))
            end = match.end()
        parts.append(self._plain(data[end:], offset + end))
        self.letters = b"".join(parts)

    def _plain(self, part: bytes, offset: int) -> bytes:
        places = compress(range(offset, offset + len(part)), part.translate(_IS_LETTER))
        self.places += [(place, place + 1) for place in places]
        return EVERY_LETTER(part)
