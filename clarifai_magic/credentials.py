"""A Clarifai key and what belongs to it: one bundle from one source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from clarifai_magic.keys import clean_id, clean_key
from clarifai_magic.secret import Secret, Unpicklable

if TYPE_CHECKING:
    from clarifai_magic.secret import Metadata


class Closable(Protocol):
    """Something that must be closed."""

    def close(self) -> None:
        """Give back what is held."""


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
