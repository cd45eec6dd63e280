"""A key in what IPython remembers of its input and output: found, and taken out."""

from __future__ import annotations

import os
import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_magic.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from IPython.core.interactiveshell import InteractiveShell

_OUTPUT_NAMES = re.compile(r"_{1,3}|_\d+")
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


def places(shell: InteractiveShell, key: str) -> list[str]:
    """Where a key stands in the cells that were run, or in the notebook's file.

    Parameters
    ----------
    shell : InteractiveShell
        Whose history and notebook are searched.
    key : str
        The real text.

    Returns
    -------
    list of str
        In words, such as ``"cell In[3]"``; empty if the key is nowhere.
    """
    text = str.__str__(key)
    inputs = shell.history_manager.input_hist_raw
    found = [f"cell In[{number}]" for number, source in enumerate(inputs) if text in source]
    file = _notebook_file(shell)
    try:
        if file is not None and text in file.read_text(encoding="utf-8", errors="replace"):
            found.append(f"the file {file.name}")
    except OSError:
        pass  # where a front end keeps its notebooks need not be in this kernel's reach
    return found


def _notebook_file(shell: InteractiveShell) -> Path | None:
    """The notebook's file, where the front end tells: VS Code does, and Jupyter's server."""
    told = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Path(told) if isinstance(told, str) and told.endswith(".ipynb") else None


def forget_outputs(shell: InteractiveShell, held: Iterable[Any]) -> None:
    """Drop the results of cells that are one of some objects.

    Parameters
    ----------
    shell : InteractiveShell
        Whose ``Out``, ``_``, ``__``, ``___``, ``_1`` and so on are searched.
    held : iterable
        The objects, told by identity.
    """
    identities = {id(each) for each in held}
    outputs = shell.user_ns.get("_oh", {})
    for number in [number for number, value in outputs.items() if id(value) in identities]:
        del outputs[number]
    for name in filter(_OUTPUT_NAMES.fullmatch, list(shell.user_ns)):
        if id(shell.user_ns[name]) in identities:
            shell.user_ns[name] = ""
    for name in ("_", "__", "___"):
        if id(getattr(shell.displayhook, name, None)) in identities:
            setattr(shell.displayhook, name, "")


def _forget_on_disk(manager: Any, texts: Iterable[str]) -> None:
    if not manager.enabled or str(manager.hist_file) == ":memory:":
        return
    import sqlite3

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
