"""A Clarifai key and what belongs to it, held so that none of it shows: data and masking."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from clarifai_magic.errors import KeyFormatError, SecretError

if TYPE_CHECKING:
    from typing_extensions import Self

SECRETS_PAGE = "https://clarifai.com/me/settings/secrets"
MASK = "[clarifai key]"

_LONGEST_KEY = 512
_LONGEST_ID = 256
_SPACES = " \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb"
_PASTED_AROUND = _SPACES + _QUOTES
_HEADER_WORDS = re.compile(r"(?i:authorization\s*:\s*)?(?i:key|bearer)[\s\u00a0]+")
_PLACEHOLDER = re.compile(r"(?i:[\w -]*your[\w -]*)|<.*>|\{.*\}|\$\{?\w+\}?|[*?.•xX]+", re.DOTALL)
_KEY_SHAPE = re.compile(r"(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])", re.IGNORECASE)


class Unpicklable:
    """A mixin for what holds a key: pickling it is refused with the reason."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse: Python's hook for pickling and, without one of its own, for copying."""
        raise SecretError(
            f"A {type(self).__name__} holds a Clarifai key, and pickling would write it out.",
            "Give the other process clarifai_session.for_workers(), which pickles on purpose.",
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Secret(Unpicklable, str):
    """A key as a ``str`` that gRPC can send and that nobody can read by accident.

    ``str()``, ``repr()``, formatting and pickling show or keep nothing; concatenation,
    slicing and ``encode()`` work on the real text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Keep the real text, also of another Secret."""
        return super().__new__(cls, str.__str__(text))

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)


Metadata = tuple[tuple[str, Secret], ...]
"""What gRPC takes as call metadata; its repr is masked because each Secret's is."""


class Closable(Protocol):
    """Something that must be closed."""

    def close(self) -> None:
        """Give back what is held."""


def looks_like_key(text: str) -> re.Match[str] | None:
    """The first place in `text` that has the shape of a Clarifai key, or None."""
    return _KEY_SHAPE.search(text)


def is_placeholder(text: str) -> bool:
    """Whether `text` stands in documentation where one's own key or ID belongs."""
    return not text.strip() or _PLACEHOLDER.fullmatch(text) is not None


def clean_key(text: object) -> Secret:
    """The key in what somebody pasted.

    Surrounding space and quotes and a leading ``Key``, ``Bearer`` or
    ``Authorization: Key`` are taken off. Anything else that gRPC could not send is refused.

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
            f"A key is text, and this is {type(text).__name__}.", "Pass the key as a str."
        )
    if len(text) > _LONGEST_KEY:
        raise KeyFormatError(
            f"This has {len(text):,} characters; a key has 32.",
            f"Copy the PAT or API key alone, from {SECRETS_PAGE}.",
        )
    key = _unwrapped(text)
    _refuse_unusable(key)
    return Secret(key)


def _unwrapped(text: str) -> str:
    key = str.strip(text, _PASTED_AROUND)
    while words := _HEADER_WORDS.match(key):
        key = key[words.end() :].strip(_PASTED_AROUND)
    return key


def _refuse_unusable(key: str) -> None:
    again = f"Copy the PAT or API key again, from {SECRETS_PAGE}."
    if not key or key.lower() in {"key", "bearer"}:
        raise KeyFormatError("The key is empty.", again)
    if is_placeholder(key):
        raise KeyFormatError(
            "This is a placeholder from the documentation, not a key.",
            f"Put your own PAT or API key there; they are made at {SECRETS_PAGE}.",
        )
    for position, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            raise KeyFormatError(
                f"Character {position} of the key is {_named(character)}, which no key has.", again
            )


def _named(character: str) -> str:
    if character in "\r\n":
        return "a line break"
    if character == " ":
        return "a space"
    return f"U+{ord(character):04X} {unicodedata.name(character, '(a control character)')}"


def clean_id(what: str, text: object) -> str:
    """A user or app ID in what somebody pasted; empty stays empty.

    Parameters
    ----------
    what : str
        "user ID" or "app ID", for the message.
    text : object
        What was pasted or found; None counts as empty.

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
    hint = f"Copy the {what} from the address bar of the Clarifai portal: clarifai.com/USER/APP."
    if len(cleaned) > _LONGEST_ID:
        raise KeyFormatError(f"The {what} has {len(cleaned):,} characters.", hint)
    for position, character in enumerate(cleaned, start=1):
        if character.isspace() or not character.isprintable() or character in "/\\?#":
            raise KeyFormatError(
                f"Character {position} of the {what} is {_named(character)}, which no ID has.", hint
            )
    return cleaned


@dataclass(frozen=True)
class Credentials(Unpicklable):
    """A key, whose it is said to be, and where it was found: one bundle from one source.

    Parameters
    ----------
    key : str
        A PAT or an API key; cleaned as by `clean_key`.
    user_id, app_id : str
        Whose resources are meant; empty to find out.
    base : str
        The API's base URL; empty for the environment's, else Clarifai's own.
    root_certificates : str
        Path of a CA bundle in PEM; empty for the environment's, else gRPC's own.
    source : str
        Where the key was found, in words for the user.
    warning : str
        What is wrong with that place, in words; empty if nothing is.
    kept : str
        What holds the key after logout, and how to remove it; empty if nothing does.
    server : Closable, optional
        What must live as long as these credentials do: the sandbox that honours them.

    Raises
    ------
    KeyFormatError
        If the key or an ID cannot be one.
    """

    key: str = field(repr=False)
    user_id: str = ""
    app_id: str = ""
    base: str = ""
    root_certificates: str = ""
    source: str = "Python"
    warning: str = field(default="", compare=False)
    kept: str = field(default="", compare=False)
    server: Closable | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", clean_key(self.key))
        object.__setattr__(self, "user_id", clean_id("user ID", self.user_id))
        object.__setattr__(self, "app_id", clean_id("app ID", self.app_id))

    def replaced(self, **changes: Any) -> Credentials:
        """The same credentials with the non-empty `changes` in place."""
        return replace(self, **{name: value for name, value in changes.items() if value})

    @property
    def metadata(self) -> Metadata:
        """The ``authorization`` header as call metadata."""
        return (("authorization", Secret("Key " + self.key)),)
