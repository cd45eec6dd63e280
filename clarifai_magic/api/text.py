"""A server's text, made safe to show."""

from __future__ import annotations

_LONGEST = 300


def printable(text: str) -> str:
    """The text on one line, without characters that control a terminal or mislead a reader.

    Parameters
    ----------
    text : str
        Whatever a server sent.

    Returns
    -------
    str
        At most 300 characters, all printable: no escape sequences, line breaks, invisible
        characters or text direction overrides.
    """
    shown = "".join(each if each.isprintable() else " " for each in text[:_LONGEST])
    return " ".join(shown.split())
