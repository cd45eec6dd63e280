"""A line in place of a form that would not be visible: how a person signs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

FILL_IN = "fill in the form above"
ANOTHER = "run %clarifai_auth again"
PROMPT = "run %clarifai_auth --from prompt"


class Pending(Protocol):
    """What provides a session once a person has done what it asks for."""

    @property
    def to_do(self) -> str:
        """What that is, as the beginning of a sentence such as "…, then run this cell again"."""

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when it stops asking, for any reason."""

    def dismiss(self) -> None:
        """Stop asking; doing it twice is harmless."""


class Invitation:
    """Such a line, pending until there is a session.

    Parameters
    ----------
    words : str
        The line.
    """

    to_do = PROMPT

    def __init__(self, words: str) -> None:
        self._words = words
        self._on_close: list[Callable[[], object]] = []

    def show(self) -> None:
        """Show it as this cell's output."""
        print(self._words)

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` after the sign-in, or when it stops asking."""
        self._on_close.append(callback)

    def dismiss(self) -> None:
        """Stop asking; doing it twice is harmless. The line stays: it may be out of reach."""
        while self._on_close:
            self._on_close.pop(0)()
