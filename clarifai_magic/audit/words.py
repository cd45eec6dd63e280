"""What the words near a token say about it: a key, something else, or nothing."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from itertools import pairwise
from string import digits
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEYS = _words("""
    pat key apikey accesskey secretkey token accesstoken authtoken secret auth authorization bearer
    password passwd pwd credential login clarifai
""")
_SPECIFIC = _words("pat clarifai authorization bearer apikey accesstoken authtoken")
_TAKING = _words("auth credential login authorization")
_TOGETHER = {("api", "key"), ("access", "token"), ("auth", "token")}
# Nothing with one of these names is a key: a key_id, a hash_key.
_NEVER = _words("""
    hash hashed hasher md5 sha sha1 sha256 sha512 hmac crc digest hexdigest checksum
    fingerprint integrity commit rev revision etag cache cached caching primary foreign partition
    public sort page next csrf xsrf idempotency nonce salt iv mac signature avatar gist fromhex
    unhexlify
""")
# A name that ends with one of these is not a key's: a key version is not a version key.
_OTHERS = _words("""
    id uuid guid version model input concept workflow dataset app application user embedding node
    job build layer blob object file trace span request req serial session interpreter layout image
    name path url hex
""")
_ALL = _KEYS | _NEVER | _OTHERS
# In each name of a key is one of these; or what it is written in hides it.
_TELLING = [each for each in _KEYS if not any(other in each for other in _KEYS - {each})]
_HIDING = ("\x1b", "&#", "%")
_SILENT = bytes({*range(256)} - {*"".join((*_TELLING, *_HIDING)).encode()})
_ESCAPED = ("\\x", "\\u00", "\\e[", "\\033[")
_NEUTRAL = _words("value default data content text string val notes")
_WIDGET = "PasswordModel"  # ipywidgets' own name, in a widget's state
_CHUNK = re.compile(r"[\w-]+")
_PARTS = re.compile(r"[A-Z]+s?(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
_ANSI = re.compile(r"(?:\x1b|\\+(?:u001b|x1b|033|e))\[[0-9;?]*[ -/]*[@-~]")
_TAG = re.compile(r"</?(?![0-9a-fA-F]{32}\b)[a-zA-Z!][^<>]{0,400}>")
_ATTRIBUTE = re.compile(r"""\b(?:class|id|itemprop|name|title)\s*=\s*["']?([\w .-]+)""")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});")
_QUOTE = re.compile(r"\\+([\"'/])")
_BLANK = re.compile(r"\\+[nrtbf]")
_NUMBERED = re.compile(r"(?:%|\\+u00|\\+x)([2-7][0-9a-fA-F])")
_DIRECT = re.compile(  # a name that takes what follows, perhaps with its type
    r"([\w.-]+)[\"'\])}]*\s*(?::\s*[\w.\[\], |]+=|:=|=>|==|[=:])[\s\"'(\[{rbuf]*$"
)
_URL = re.compile(r"://\S+$")
_CALLED = re.compile(r"(\w+)\s*\([^()]*\)\s*==?[\s\"']*$")
# A line as md5sum writes it, and what follows the digits in one: the name is a file's.
_SUM = re.compile(r"^([0-9a-fA-F]{32,})(?:  | \*)\S+\r?$")
_SUMMED = re.compile(r"(?:  | \*)\S+(?=\r?\n|$)")
_PASSWORD = re.compile(r"://[^\s/@]*:$")
_ATTACHED = re.compile(r"([A-Za-z]\w*)[-_]$")
_COPULA = re.compile(r"\b(?:is|was|format|s)\b")
_USED_AS = re.compile(r"(?i)\bas (?:an? |the |your |my |our )?(?:clarifai |new )?([\w-]+)")
_SIGNS = " \t\"'`:=([{}),>+.%"
_NEAR = 8  # words
_FOLLOWING = 4
_LONGEST_NAME = 100
_LINES_BEFORE = 3


class Verdict(NamedTuple):
    """What words say about a token.

    Parameters
    ----------
    is_key : bool
    word : str
        The deciding word.
    specific : bool
        Whether it is conclusive by itself; a "key" or "token" may be a mapping key.
    near : bool
        Whether it is directly before the token.
    """

    is_key: bool
    word: str
    specific: bool = False
    near: bool = False

    @property
    def counts(self) -> bool:
        """Whether to believe it."""
        return self.specific or self.near or not self.is_key


def telling(text: str, reach: int) -> list[tuple[int, int]]:
    """Where in a text something may say that a key is near: the parts, in order, none in another.

    Parameters
    ----------
    text : str
    reach : int
        How far from each such place its part begins and ends.
    """
    lower = text.lower()
    if len(lower) != len(text):  # as few letters of other alphabets have it
        lower = "".join(each.lower()[0] for each in text)
    found = []
    # What is in no such word goes first: most words are then known to be nowhere.
    short = lower.encode("latin-1", "replace").translate(None, _SILENT)
    words = [word for word in (*_TELLING, *_HIDING) if word.encode() in short]
    for word in (*words, *(_ESCAPED if "\\" in text else ())):
        at = lower.find(word)
        while at >= 0:
            found.append((at - reach, at + 2 * reach))
            at = lower.find(word, at + reach)
    return joined(found)


def joined(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts of a text in order, those that touch as one."""
    apart: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if apart and start <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
        else:
            apart.append((start, end))
    return apart


def readable(text: str) -> str:
    """A text without colours and tags, and with its escapes decoded."""
    if "\x1b" in text or "\\" in text:
        text = _ANSI.sub("", text)
    if "<" in text:
        text = _TAG.sub(_named, text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "\\" in text or "%" in text:
        text = _BLANK.sub(" ", _QUOTE.sub(r"\1", text))
        text = _NUMBERED.sub(lambda match: chr(int(match[1], 16)), text)
    return text


def _named(tag: re.Match[str]) -> str:
    """What is read of a tag: its name, class or ID, if that says that a key follows."""
    if tag[0].startswith("</") or tag.string[tag.end() :].strip():
        return " "
    element = tag[0].strip("<>").split()[0]
    names = [name for match in _ATTRIBUTE.finditer(tag[0]) for name in match[1].split()]
    said = {name: verdict for name in [element, *names] if (verdict := _of_words(name))}
    if any(not said[name].is_key for name in names if name in said):
        return " "
    return f" {next((name for name in said if said[name].specific), '')} "


def judge(before: str, after: str) -> Verdict | None:
    """What the text around a token says about it; None if nothing.

    Parameters
    ----------
    before, after : str
        Readable text: some lines before it, and the rest of its line.
    """
    on_the_way = before[-1:] == "/" or (before[-1:] == "#" and _URL.search(before))
    if before[-1:].isalnum() or on_the_way or re.match(r"\.\w", after):
        return None  # part of a longer word, of a path or of a URL, or a file name
    if after.startswith("@") and _PASSWORD.search(before[-_LONGEST_NAME:]):
        return Verdict(is_key=True, word="the user of a URL", specific="clarifai" in after)
    if attached := _ATTACHED.search(before[-_LONGEST_NAME:]):
        return _of_words(attached[1])
    *earlier, line = before.split("\n")
    if not line and (name := _SUMMED.match(after)):
        after = after[name.end() :]
    found = _beside(line, after)
    if found is not None:
        return found if found.counts else None
    direct = _direct(line)
    if direct and direct[1].lower() not in _NEUTRAL:
        return None
    above = (
        _nearest(_SUM.sub(r"\1", each)) for each in reversed(_written(earlier)[-_LINES_BEFORE:])
    )
    found = next(filter(None, above), None)
    if not (found and found.specific) and not line.strip(_SIGNS):
        found = _said_below(after) or found
    return found if found is not None and found.specific else None


def _said_below(after: str) -> Verdict | None:
    """What the sentence below a line with nothing but a token says that it is used as."""
    rest, *below = after.split("\n")
    written = [line for line in below if line.strip("` \t\r")]
    match = _USED_AS.search(written[0]) if written and not rest.strip(_SIGNS) else None
    return _of_words(match[1]) if match else None


def _beside(line: str, after: str) -> Verdict | None:
    """What the words on its own line say about a token."""
    called = _CALLED.search(line[-_LONGEST_NAME:])
    if called and (verdict := _of_words(called[1])) and not verdict.is_key:
        return verdict
    direct = _direct(line)
    if direct and (named := _of_words(direct[1])):
        return named._replace(near=True)
    found = _nearest(line)
    following = _nearest(" ".join(reversed(_CHUNK.findall(after.partition("\n")[0])[:_FOLLOWING])))
    if following is not None and (found is None or not following.is_key):
        return following
    if found is None:
        return None
    near = not _COPULA.sub("", line).rpartition(found.word)[2].strip(_SIGNS)
    return found._replace(near=near)


def _direct(line: str) -> re.Match[str] | None:
    return _DIRECT.search(line[-_LONGEST_NAME:])


def _written(lines: list[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def takes_key(function: str) -> bool:
    """Whether a function is called for what it does with a key that it is given."""
    verdict = _of_words(function)
    return verdict is not None and verdict.is_key and not _TAKING.isdisjoint(_parts(function))


def judge_name(name: str) -> Verdict | None:
    """What an expression that returns or takes a token says about it."""
    return _nearest(name)


def _nearest(text: str) -> Verdict | None:
    chunks = _CHUNK.findall(text[-400:])[-_NEAR:]
    while chunks:
        if found := _of_words(*chunks[-2:]):
            return found
        chunks.pop()
    return None


@lru_cache(maxsize=4096)
def _of_words(*chunks: str) -> Verdict | None:
    """What the last of some words says, with the one before it."""
    word = chunks[-1]
    if word == _WIDGET:
        return Verdict(is_key=True, word=word, specific=True)
    known = [each for each in _parts(word) if each in _ALL]
    if not known:
        return None
    if not _NEVER.isdisjoint(known) or known[-1] in _OTHERS:
        return Verdict(is_key=False, word=word)
    parts = [part for chunk in chunks for part in _parts(chunk)]
    together = not _TOGETHER.isdisjoint(pairwise(parts))
    return Verdict(is_key=True, word=word, specific=together or not _SPECIFIC.isdisjoint(known))


def _parts(chunk: str) -> list[str]:
    """The words of a name, without a plural s or a number outside a word."""
    parts = [each.lower() for each in _PARTS.findall(chunk)]
    plain = [each if each in _ALL else each.rstrip(digits) for each in parts]
    return [each[:-1] if each[:-1] in _ALL and each[-1:] == "s" else each for each in plain]
