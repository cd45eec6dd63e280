"""The grammar of the magics' lines. Parsers take time to make: each is made when it is needed."""

from __future__ import annotations

from argparse import Namespace
from functools import cache
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from clarifai_magic.concurrency import Lock
from clarifai_magic.credentials import saving
from clarifai_magic.notebook import words
from clarifai_magic.notebook.actions import ACTIONS
from clarifai_magic.notebook.login import Options

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = {
    "clarifai_auth": "%clarifai_auth [login|status|use NAME|logout [NAME]|doctor|audit [PATH …]] "
    "[--from SOURCE[:NAME]] [--user-id ID] [--app-id ID] …; %clarifai_auth help shows more.",
    "clarifai_sample": "%%clarifai_sample [--show]",
    "clarifai_scopes": "%clarifai_scopes [METHOD …]",
}
_LONGEST = 86_400  # seconds in --timeout
_parsing = Lock()  # argparse changes a parser while it parses intermixed arguments
_UNSAID = {"clarifai_auth": Options}
"""What the options of a line are before argparse sets those that it has."""


def usage(name: str) -> str:
    """The form of a magic's line, by the magic's name."""
    if name in USAGE:
        return USAGE[name]
    from clarifai_magic.notebook.snippets.languages import LANGUAGES, METHODS

    return f"%{name} {'|'.join(LANGUAGES)} [--method {'|'.join(METHODS)}]"


def parser_of(magic: Callable[..., Any]) -> MagicArgumentParser:
    """The parser of a magic's line; its help begins with the magic's docstring."""
    return _parser(magic.__name__, magic.__doc__)


def parse(magic: Callable[..., Any], line: str) -> Namespace:
    """The arguments in a magic's line.

    Raises
    ------
    UsageError
        If they are not valid; it does not repeat them.
    """
    try:
        with _parsing:
            # Intermixed, so that an option may come between an action and its names.
            arguments: Namespace = parser_of(magic).parse_intermixed_args(
                words.split(line), _UNSAID.get(magic.__name__, Namespace)()
            )
    except (UsageError, ValueError):
        # Both repeat the input, which may be half a key.
        raise UsageError(f"The arguments are not valid. {usage(magic.__name__)}") from None
    return arguments


@cache
def _parser(name: str, description: str) -> MagicArgumentParser:
    parser = MagicArgumentParser(name, description=description)
    _ADD[name](parser.add_argument)
    return parser


def _seconds(text: str) -> float:
    """The value of ``--timeout``."""
    seconds = float(text)
    if not 0 < seconds <= _LONGEST:  # which NaN is not either
        raise ValueError
    return seconds


def _add_to_auth(add: Callable[..., Any]) -> None:
    add(
        "action",
        nargs="?",
        default="login",
        choices=[*ACTIONS],
        metavar="ACTION",
        help=f"{', '.join(ACTIONS)}; default login",
    )
    add(
        "names",
        nargs="*",
        metavar="NAME",
        help="with use and logout: the session's name; logout without one ends all; with audit: "
        "files or folders, default: the current folder",
    )
    add(
        "--from",
        dest="source",
        metavar="SOURCE[:NAME]",
        help="take the key from this source only: env[:VARIABLE], colab[:SECRET], kaggle[:SECRET], "
        "config[:CONTEXT], keyring[:USER], form, prompt, var:NAME, sandbox",
    )
    add("--user-id", metavar="ID", help="whose resources; default: the key's user")
    add("--app-id", metavar="ID", help="which app; default: the only one")
    add(
        "--base",
        metavar="URL",
        help="another deployment; default: CLARIFAI_API_BASE, then https://api.clarifai.com",
    )
    add("--root-certificates", metavar="PATH", help="its CA bundle, in PEM")
    add(
        "--as",
        dest="bound_name",
        metavar="NAME",
        help="bind the session to NAME and leave the other names alone",
    )
    add(
        "--export-env",
        action="store_true",
        help="set CLARIFAI_PAT and so on in this process, for the SDK, the CLI and shell cells: a "
        "token instead of the key, which works on this machine until logout",
    )
    add(
        "--export-openai",
        action="store_true",
        help="set OPENAI_BASE_URL and OPENAI_API_KEY likewise, for clients of OpenAI's protocol",
    )
    add(
        "--save",
        choices=saving.PLACES,
        metavar="PLACE",
        help="save the key in the CLI's config or the system keyring, and nowhere else",
    )
    add("--fix", action="store_true", help="with audit: mask keys outside programs")
    add("--no-input", action="store_true", help="never ask; raise an error if no key is found")
    add("--no-verify", action="store_true", help="connect without calling the API")
    add(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="time limit for verification; default 10",
    )
    add(
        "--no-retries",
        action="store_true",
        help="do not retry calls after throttling or an outage",
    )
    add("-h", "--help", action="store_true", help="show this, as the action help does")


def _add_to_scopes(add: Callable[..., Any]) -> None:
    add("methods", nargs="*", metavar="METHOD", help="such as PostInputs; default: all")


def _add_to_snippet(add: Callable[..., Any]) -> None:
    from clarifai_magic.notebook.snippets.languages import LANGUAGES, METHODS

    add("language", choices=LANGUAGES, help="of the program, or the client it uses")
    add("--method", choices=METHODS, default=next(iter(METHODS)), help="what it calls")


def _add_to_sample(add: Callable[..., Any]) -> None:
    add("--show", action="store_true", help="show the program instead of running it")


_ADD = {
    "clarifai_auth": _add_to_auth,
    "clarifai_sample": _add_to_sample,
    "clarifai_scopes": _add_to_scopes,
    "clarifai_snippet": _add_to_snippet,
}
