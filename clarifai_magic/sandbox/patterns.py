"""A string that matches a regular expression, built from its parts without trial or search.

So the lengths of the pattern and the string bound the cost.
"""

from __future__ import annotations

import re
import string
import sys
from typing import Any

if sys.version_info >= (3, 11):
    from re import _parser  # type: ignore[attr-defined]
else:
    import sre_parse as _parser

_BEGIN, _END = "\ue000", "\ue001"  # where the string must begin and end, during construction
_ALPHABET = string.ascii_lowercase + string.digits + string.punctuation + " "
_PLACES = {"AT_BEGINNING": _BEGIN, "AT_BEGINNING_STRING": _BEGIN, "AT_END": _END}
_PLACES["AT_END_STRING"] = _END
_WORD = {*string.ascii_letters, *string.digits, "_"}
_CATEGORIES = {"DIGIT": str.isdecimal, "SPACE": str.isspace, "WORD": _WORD.__contains__}


def matching(pattern: str, least: int, most: int) -> str:
    """Make a string of a limited length that contains a match of a pattern, or raise ValueError."""
    try:
        made = _made(_parser.parse(pattern), most)
    except (re.error, OverflowError) as error:
        raise ValueError(f"The pattern is not a valid Python pattern: {error}.") from None
    bare = made.lstrip(_BEGIN).rstrip(_END)
    short = "." * (min(least, most) - len(bare))
    if not made.endswith(_END):
        bare += short
    elif not made.startswith(_BEGIN):
        bare = short + bare
    if not least <= len(bare) <= most or {_BEGIN, _END} & {*bare}:
        raise ValueError("The sandbox makes no string for the schema's pattern.")
    return bare


def _made(parts: Any, most: int) -> str:
    made = ""
    for kind, given in parts:
        if (name := str(kind)) == "LITERAL":
            made += chr(given)
        elif name == "ANY":
            made += "."
        elif name in ("IN", "NOT_LITERAL"):
            made += _member(given if name == "IN" else [("NEGATE", None), ("LITERAL", given)])
        elif name == "AT" and str(given) in _PLACES:
            made += _PLACES[str(given)]
        elif name == "SUBPATTERN":
            made += _made(given[-1], most)
        elif name == "BRANCH":
            made += _made(given[1][0], most)
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            part = _made(given[2], most)
            made += part * min(given[0], most // max(len(part), 1) + 1)
        else:
            raise ValueError(f"The sandbox makes no string for a pattern with {name.lower()}.")
        if len(made) > most + 2:
            raise ValueError("The sandbox makes no string as long as the schema's pattern.")
    return made


def _member(options: Any) -> str:
    """Choose a character of a class; for a negated class, in neither case one that it names."""
    negated = str(options[0][0]) == "NEGATE"
    named = "".join(chr(span[0]) for option in options if (span := _span(*option)))
    for character in named + _ALPHABET:
        cases = {character, character.lower(), character.upper()} if negated else {character}
        if negated is not any(_has(each, *option) for each in cases for option in options):
            return character
    raise ValueError("The sandbox finds no character that the schema's pattern allows.")


def _has(character: str, kind: Any, given: Any) -> bool:
    if str(kind) != "CATEGORY":
        return ord(character) in _span(kind, given)
    *negated, category = str(given).removeprefix("CATEGORY_").split("NOT_")
    return _CATEGORIES[category](character) is not bool(negated)


def _span(kind: Any, given: Any) -> range:
    """Give the characters that a part of a class names, if it does."""
    low, high = {"LITERAL": (given, given), "RANGE": given}.get(str(kind), (1, 0))
    return range(low, high + 1)
