"""What programs there are: the calls they make, and the languages they can be had in."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = {
    "PostModelOutputs": "Predict with a model on Clarifai: which concepts are in the input?",
    "ListModels": "List the models of an app on Clarifai.",
}
"""What each method's program does, in words for its head; the first is the default."""


class Language(NamedTuple):
    """One language that a program can be had in.

    Parameters
    ----------
    filename : str
        What its programs are called; the template beside this module has ``.jinja`` after it.
    literal : callable
        Writes a text as a literal of the language, whatever is in it.
    """

    filename: str
    literal: Callable[[str], str]


def _python(text: str) -> str:
    # JSON writes an emoji as two \u…, which Python and C do not put together again.
    return json.dumps(text, ensure_ascii=False)


def _objective_c(text: str) -> str:
    return "@" + _python(text)


def _php(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# JSON's escapes mean the same in the strings of JavaScript, Java and C#.
LANGUAGES = {
    "curl": Language("snippet.sh", shlex.quote),
    "python": Language("snippet.py", _python),
    "nodejs": Language("snippet.js", json.dumps),
    "java": Language("Snippet.java", json.dumps),
    "php": Language("snippet.php", _php),
    "csharp": Language("Snippet.cs", json.dumps),
    "objc": Language("snippet.m", _objective_c),
}
"""By the name that ``%clarifai_snippet`` takes."""
