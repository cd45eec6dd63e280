"""The available programs: their calls, languages and clients."""

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
"""What each method's program does, for its head; the first is the default."""

CLARIFAI, OPENAI, MCP = "Clarifai", "OpenAI", "MCP"


class Language(NamedTuple):
    """One language of the programs.

    Parameters
    ----------
    filename : str
        The file name of its programs; the template beside this module adds ``.jinja``.
    literal : callable
        Writes any text as a literal of the language.
    protocol : str
        The protocol of its programs: `CLARIFAI`, `OPENAI` or `MCP`.
    """

    filename: str
    literal: Callable[[str], str]
    protocol: str = CLARIFAI


def _python(text: str) -> str:
    # JSON writes an emoji as two \u…, which Python and C do not combine.
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
    "openai": Language("snippet_openai.py", _python, OPENAI),
    "litellm": Language("snippet_litellm.py", _python, OPENAI),
    "langchain": Language("snippet_langchain.py", _python, OPENAI),
    "mcp": Language("snippet_mcp.py", _python, MCP),
}
"""By their names for ``%clarifai_snippet``."""
