"""Validates and cleans what people paste for a key or an ID."""

from __future__ import annotations

import re
import unicodedata

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.credentials.secret import Secret
from clarifai_magic.errors import KeyFormatError

_USUAL_KEY = 32
_LONGEST_KEY = 512
_LONGEST_ID = 256
_SPACES = " \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb"
_PASTED_AROUND = _SPACES + _QUOTES
# Not compiled here: the magics load faster without.
_HEADER_WORDS = r"(?i:authorization\s*:\s*)?(?i:key|bearer)[\s\u00a0]+"
_ASSIGNMENT = r"(?:[%$]?\w+[\s:]+)?(?P<name>[A-Za-z_]\w*)[\"']?\s*[:=]\s*(?P<value>.*?);?"
_VARIABLES = {"CLARIFAI_PAT", "CLARIFAI_API_KEY"}
_PLACEHOLDER = r"(?i:[\w -]*your[\w -]*)|<.*>|\{.*\}|\$\{?\w+\}?|[*?.•xX]+"
_KEY_SHAPE = r"(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])"


def looks_like_key(text: str) -> re.Match[str] | None:
    """The first place in `text` that has the shape of a Clarifai key, or None."""
    return re.search(_KEY_SHAPE, text, re.IGNORECASE)


def keys_in(text: str) -> list[str]:
    """Everything in `text` that has the shape of a Clarifai key, each once."""
    return [*dict.fromkeys(re.findall(_KEY_SHAPE, text, re.IGNORECASE))]


def is_placeholder(text: str) -> bool:
    """Whether `text` is a documentation placeholder for the reader's own key or ID."""
    return not text.strip() or re.fullmatch(_PLACEHOLDER, text, re.DOTALL) is not None


def clean_key(text: object) -> Secret:
    """The key in pasted text.

    Surrounding space and quotes and a leading ``Key``, ``Bearer`` or
    ``Authorization: Key`` are taken off, and so is what makes a line of it that sets a variable:
    ``export CLARIFAI_PAT="…"``. Anything else that gRPC could not send is refused.

    Parameters
    ----------
    text : object
        What was pasted or found.

    Returns
    -------
    Secret
        Printable ASCII without spaces.

    Raises
    ------
    KeyFormatError
        With the exact reason, and without the text.
    """
    if not isinstance(text, str):
        raise KeyFormatError(
            f"A key must be a str, not {type(text).__name__}.", "Pass the key as a str."
        )
    if len(text) > _LONGEST_KEY:
        raise KeyFormatError(
            f"This has {len(text):,} characters; a key has 32.",
            f"Copy only the PAT or API key, from {SECRETS_PAGE}.",
        )
    if re.fullmatch(_KEY_SHAPE, text, re.IGNORECASE):  # as most are
        return Secret(text)
    key = _unwrapped(text)
    _refuse_unusable(key)
    return Secret(key)


def _unwrapped(text: str) -> str:
    key = _without_header(text)
    while (value := _assigned(key)) is not None:
        key = value
    return key


def _without_header(text: str) -> str:
    key = str.strip(text, _PASTED_AROUND)
    while words := re.match(_HEADER_WORDS, key):
        key = key[words.end() :].strip(_PASTED_AROUND)
    return key


def _assigned(line: str) -> str | None:
    """The key in a line that sets a variable; None if it is no such line."""
    found = re.fullmatch(_ASSIGNMENT, line, re.DOTALL)
    if found is None:
        return None
    value = _without_header(found["value"])
    ours = found["name"] in _VARIABLES
    return value if ours or re.fullmatch(_KEY_SHAPE, value, re.IGNORECASE) else None


def _refuse_unusable(key: str) -> None:
    again = f"Copy the PAT or API key again, from {SECRETS_PAGE}."
    if not key or key.lower() in {"key", "bearer"}:
        raise KeyFormatError("The key is empty.", again)
    if is_placeholder(key):
        raise KeyFormatError(
            "This is a placeholder from the documentation, not a key.",
            f"Put your own PAT or API key there; create one at {SECRETS_PAGE}.",
        )
    for position, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            raise KeyFormatError(
                f"Character {position} of the key is {_named(character)}, "
                "which is not allowed in a key.",
                again,
            )


def _named(character: str) -> str:
    if character in "\r\n":
        return "a line break"
    if character == " ":
        return "a space"
    return f"U+{ord(character):04X} {unicodedata.name(character, '(a control character)')}"


def holds_key(text: str, key: str) -> bool:
    """Whether `text` is or contains that key."""
    plain, searched = str.__str__(key).casefold(), text.casefold()
    return plain == searched or (len(plain) >= _USUAL_KEY and plain in searched)


def refuse_key_as(what: str, text: str, key: str) -> None:
    """Refuse an ID that is or contains the key that it came with.

    Raises
    ------
    KeyFormatError
        Without the text.
    """
    if key and holds_key(text, key):
        raise KeyFormatError(
            f"The {what} is the key itself.", f"Enter the {what}, or leave it empty."
        )


def clean_id(what: str, text: object, key: str = "") -> str:
    """A user or app ID in pasted text; empty stays empty.

    Parameters
    ----------
    what : str
        "user ID" or "app ID", for the message.
    text : object
        What was pasted or found; None counts as empty.
    key : str
        The key that the ID came with, to distinguish the two, which may look alike.

    Raises
    ------
    KeyFormatError
        If it cannot be an ID. The message does not repeat it: it may be a misplaced key.
    """
    if text is None:
        return ""
    if not isinstance(text, str):
        raise KeyFormatError(
            f"The {what} is text, and this is {type(text).__name__}.", "Pass it as a str."
        )
    cleaned = text.strip(_PASTED_AROUND)
    refuse_key_as(what, cleaned, key)
    hint = f"Copy the {what} from the address bar of the Clarifai portal: clarifai.com/USER/APP."
    if len(cleaned) > _LONGEST_ID:
        raise KeyFormatError(f"The {what} has {len(cleaned):,} characters.", hint)
    for position, character in enumerate(cleaned, start=1):
        if character.isspace() or not character.isprintable() or character in "/\\?#":
            raise KeyFormatError(
                f"Character {position} of the {what} is {_named(character)}, "
                "which is not allowed in an ID.",
                hint,
            )
    return cleaned
