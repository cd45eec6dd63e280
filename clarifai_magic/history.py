"""Take a key out of everything that IPython remembers of its input."""

from __future__ import annotations

import re
import sqlite3
from itertools import product
from typing import TYPE_CHECKING, Any

from clarifai_magic.credentials import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from IPython.core.interactiveshell import InteractiveShell

_INPUT_NAMES = re.compile(r"_i+|_i\d+")
_INPUT_TRAITS = ("_i", "_ii", "_iii", "_i00")


def forget(shell: InteractiveShell, typed: str) -> None:
    """Replace what was typed in the input history, in memory and on disk.

    Covered are ``In``, ``_ih``, ``_i``, ``_ii``, ``_iii``, ``_i1`` and so on, the inputs that
    wait to be written, the history database of this and earlier sessions, and what the
    terminal offers on the up arrow.

    Parameters
    ----------
    shell : InteractiveShell
        Whose history it is.
    typed : str
        What to take out: a key, or a line that holds one. Long enough to be nothing else.
    """
    # IPython keeps a magic's line a second time, as a string literal of Python.
    texts = {typed, repr(typed)[1:-1]}

    def cleaned(source: Any) -> Any:
        if isinstance(source, str):
            for text in texts:
                source = source.replace(text, MASK)
        return source

    manager = shell.history_manager
    for inputs in (manager.input_hist_parsed, manager.input_hist_raw):
        inputs[:] = map(cleaned, inputs)
    for name in _INPUT_TRAITS:
        setattr(manager, name, cleaned(getattr(manager, name)))
    for name in filter(_INPUT_NAMES.fullmatch, list(shell.user_ns)):
        shell.user_ns[name] = cleaned(shell.user_ns[name])
    with manager.db_input_cache_lock:
        manager.db_input_cache[:] = [tuple(map(cleaned, row)) for row in manager.db_input_cache]
    _forget_on_disk(manager, texts)
    _forget_in_terminal(shell, cleaned)


def _forget_on_disk(manager: Any, texts: Iterable[str]) -> None:
    if not manager.enabled or str(manager.hist_file) == ":memory:":
        return
    database = sqlite3.connect(manager.hist_file, timeout=5)
    try:
        # Without this SQLite leaves the old text in the file's free pages.
        database.execute("PRAGMA secure_delete = ON")
        with database:
            for column, text in product(("source", "source_raw"), texts):
                database.execute(
                    f"UPDATE history SET {column} = replace({column}, ?, ?) "  # noqa: S608
                    f"WHERE instr({column}, ?)",
                    (text, MASK, text),
                )
    finally:
        database.close()


def _forget_in_terminal(shell: InteractiveShell, cleaned: Any) -> None:
    prompt = getattr(shell, "pt_app", None)
    if prompt is not None:
        strings = prompt.history._loaded_strings  # noqa: SLF001 - there is no public way
        strings[:] = map(cleaned, strings)
