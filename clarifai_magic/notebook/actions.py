"""The actions of ``%clarifai_auth``: their arguments and their completion."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.error import TryNext, UsageError

from clarifai_magic.credentials import saving
from clarifai_magic.notebook.exposure import refuse_key
from clarifai_magic.notebook.words import parsed, split

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.notebook.sessions import Notebook


class Action(NamedTuple):
    """An action's arguments.

    Parameters
    ----------
    names : str
        The placeholder of its names; empty if it takes none.
    least, most : int
        The number of names.
    options : frozenset of str
        By their names in Python.
    """

    names: str = ""
    least: int = 0
    most: int = 0
    options: frozenset[str] = frozenset()


_PLACE = frozenset({"base", "root_certificates"})
_FOUND_AND_MADE = {"source", "user_id", "app_id", "no_input", "no_verify", "timeout", "no_retries"}
_DONE_WITH_IT = {"bound_name", "export_env", "export_openai", "save"}

ACTIONS = {
    "login": Action(options=_PLACE | _FOUND_AND_MADE | _DONE_WITH_IT),
    "status": Action(),
    "use": Action("NAME", 1, 1),
    "logout": Action("[NAME]", 0, 1),
    "doctor": Action(options=_PLACE),
    "audit": Action("[PATH …]", 0, sys.maxsize, frozenset({"fix"})),
    "help": Action(),
}
_IDS_AND_PATHS = {"root_certificates", "user_id", "app_id", "bound_name"}
"""The options whose values may be 32 hexadecimal digits without being a key."""

_URLS = {"base"}
"""The options whose values have a key only if it is a whole host, or a whole part beside it."""


def refuse_typed_key(
    shell: InteractiveShell,
    line: str,
    parser: ArgumentParser,
    actions: Mapping[str, Action],
) -> None:
    """Refuse a line with a key where no ID, path or host may be, nor an action's names.

    Raises
    ------
    ExposedKeyError
        Once it is forgotten.
    """
    names_behind = {name: action.most for name, action in actions.items()}
    refuse_key(shell, line, parser, _IDS_AND_PATHS, _URLS, names_behind)


def refuse_unwanted(action: str, line: str, parser: ArgumentParser) -> None:
    """Refuse names and options that an action does not take.

    Raises
    ------
    UsageError
        With those that it takes.
    """
    given = [*parsed(split(line), parser)]
    takes = ACTIONS[action]
    options = {word.action.dest for word in given if word.action}
    names = sum(not word.option for word in given) - any(word.text == action for word in given)
    if options <= takes.options and takes.least <= names <= takes.most:
        return
    known = [
        f"[{each.option_strings[0]}{f' {each.metavar}' if each.metavar else ''}]"
        for each in parser._actions  # noqa: SLF001 - there is no public way
        if each.dest in takes.options
    ]
    usage = " ".join(filter(None, ("%clarifai_auth", action, takes.names, *known)))
    raise UsageError(f"{action} does not take these arguments. {usage}")


def offered(event: Any, parser: ArgumentParser, notebook: Notebook) -> list[str]:
    """What can come next on a magic's line, for IPython's completer.

    Raises
    ------
    TryNext
        If a path comes next, which IPython completes.
    """
    before = event.text_until_cursor.removesuffix(event.symbol).split()[1:]
    last = before[-1] if before else ""
    if event.command.endswith("clarifai_scopes"):
        from clarifai_magic.api.scopes import methods

        return [*methods()]
    if event.command.endswith("clarifai_snippet"):
        from clarifai_magic.notebook.snippets.languages import LANGUAGES, METHODS

        return [*METHODS] if last == "--method" else [*LANGUAGES, "--method"]
    if last == "--from":
        from clarifai_magic.credentials.sources import ALL

        return [*ALL]
    if last == "--save":
        return [*saving.PLACES]
    if last == "--root-certificates" or before[:1] == ["audit"]:
        raise TryNext
    action = next((word for word in before if word in ACTIONS), "")
    if action in {"use", "logout"}:
        return [
            *dict.fromkeys([*notebook.sessions, *(notebook.forms if action == "logout" else ())])
        ]
    takes = ACTIONS[action or "login"].options
    options = parser._option_string_actions  # noqa: SLF001 - there is no public way
    fitting = [option for option, each in options.items() if each.dest in takes]
    return [*(() if before else ACTIONS), *fitting]
