"""Finds and removes a key in what IPython stores of its input and output."""

from __future__ import annotations

import json
import linecache
import os
import re
import sys
import traceback
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from clarifai_magic.credentials.secret import MASK
from clarifai_magic.errors import ExposedKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Lock

    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.redaction.holding import Search
    from clarifai_magic.redaction.masking import Masker

# Not compiled here: signing in is faster without.
_OUTPUT_NAMES = r"_{1,3}|_\d+"
_INPUT_NAMES = r"_i+|_i\d+"
_COMPLETE_ENTRY = 4  # of linecache: one of another length has no lines yet
_PATIENCE = 1.0  # seconds for a lock that another thread holds
_INPUT_TRAITS = ("_i", "_ii", "_iii", "_i00")


def forget(shell: InteractiveShell, *typed: str, ended: Any = None) -> str:
    """Remove what was typed into the running cell from what IPython stores of that cell.

    First from memory: ``In``, ``_ih``, ``_i``, ``_i1`` and so on, the lines that wait to be
    written, the terminal's up-arrow history, what tracebacks show, the front end's message;
    then from the log of ``%logstart`` and the history database. Other cells, and other
    sessions' lines in the database, stay as they are.

    Parameters
    ----------
    shell : InteractiveShell
        Whose history it is.
    *typed : str
        What to remove: keys, or a line or cell that may hold one.
    ended : ExecutionResult, optional
        The cell's result, if it is no longer running.

    Returns
    -------
    str
        Which file still has it, and why; empty if none does.
    """
    cell = _Cell(shell, typed, ended)
    cell.forget_in_memory()
    if ended is not None:
        cell.forget_result(ended)
    return " ".join(filter(None, (cell.forget_in_log(), cell.forget_on_disk())))


class _Cell:
    """The running cell, as IPython stores it."""

    def __init__(self, shell: InteractiveShell, typed: Sequence[str], ended: Any) -> None:
        self._shell = shell
        self._manager = shell.history_manager
        # IPython stores a magic's line a second time, as a Python string literal.
        each_way = {text: None for each in typed for text in (each, repr(each)[1:-1]) if text}
        self._texts = sorted(each_way, key=len, reverse=True)
        self._words = [word for text in typed for word in text.split()]
        # Some versions of IPython count a cell at its start, others at its end.
        count = shell.execution_count
        self._number = count if f"_i{count}" in shell.user_ns else count - 1
        if ended is not None:
            self._number = ended.execution_count
        # Other copies of this cell are those with the same text.
        self._stored: str | None = shell.user_ns.get(f"_i{self._number}")
        self._was = (
            [] if self._stored is None else [self._stored, self._manager.input_hist_parsed[-1]]
        )

    def _cleaned(self, source: str) -> str:
        cleaned = source
        for text in self._texts:
            cleaned = cleaned.replace(text, MASK)
        if cleaned != source or not all(word in source for word in self._words):
            return cleaned
        return MASK  # the words are there, but not as the magic got them

    def _is_this(self, raw: object) -> bool:
        return (
            isinstance(raw, str)
            and self._stored is not None
            and raw.strip() == self._stored.strip()
        )

    def _cleaned_if_this(self, raw: Any) -> Any:
        return self._cleaned(raw) if self._is_this(raw) else raw

    def forget_in_memory(self) -> None:
        manager, names = self._manager, self._shell.user_ns
        with _patiently(manager.db_input_cache_lock):
            # Even without the lock: its holder may be waiting to write these lines to the database.
            manager.db_input_cache[:] = [
                (number, self._cleaned(source), self._cleaned(raw))
                if self._is_this(raw)
                else (number, source, raw)
                for number, source, raw in manager.db_input_cache
            ]
        for name in _INPUT_TRAITS:
            setattr(manager, name, self._cleaned_if_this(getattr(manager, name)))
        for name in filter(partial(re.fullmatch, _INPUT_NAMES), list(names)):
            names[name] = self._cleaned_if_this(names[name])
        if self._stored is not None:
            for inputs in (manager.input_hist_parsed, manager.input_hist_raw):
                inputs[-1] = self._cleaned(inputs[-1])
        self._forget_lines_of_tracebacks()
        self._forget_in_terminal()
        self._forget_in_message()
        self._shell.events.register("post_run_cell", self.forget_result)

    def _forget_lines_of_tracebacks(self) -> None:
        for cache in (linecache.cache, getattr(linecache, "_ipython_cache", {})):
            for name, entry in list(cache.items()):
                text = "".join(entry[2]) if len(entry) == _COMPLETE_ENTRY else ""
                if any(each in text for each in self._texts):
                    lines = self._cleaned(text).splitlines(keepends=True)
                    cache[name] = (entry[0], entry[1], lines, entry[3])

    def _forget_in_terminal(self) -> None:
        prompt = getattr(self._shell, "pt_app", None)
        if prompt is not None:
            for name in ("_loaded_strings", "_storage"):  # there is no public API
                strings = getattr(prompt.history, name, [])
                strings[:] = map(self._cleaned_if_this, strings)

    def _forget_in_message(self) -> None:
        """Clean the request that a kernel keeps until the next one."""
        kernel = getattr(self._shell, "kernel", None)
        content = kernel.get_parent("shell").get("content", {}) if kernel is not None else {}
        if isinstance(content.get("code"), str):
            content["code"] = self._cleaned(content["code"])

    def forget_result(self, result: Any) -> None:
        """Clean what IPython keeps after the cell: its text, and its error's frames."""
        if self._stored is None or self._is_this(result.info.raw_cell):  # not a nested one
            self._shell.events.unregister("post_run_cell", self.forget_result)
        for name in ("raw_cell", "transformed_cell"):
            if isinstance(text := getattr(result.info, name, None), str):
                setattr(result.info, name, self._cleaned(text))
        error = result.error_in_exec
        while error is not None:
            if isinstance(error, (ExposedKeyError, UsageError)):
                error.__traceback__ = None
                if getattr(sys, "last_value", None) is error:
                    sys.last_traceback = None
            error = error.__context__

    def forget_in_log(self) -> str:
        logger = self._shell.logger
        if logger.logfile is None:
            return ""
        try:
            with self._log_path(logger).open("r+", encoding="utf-8", newline="") as file:
                text = file.read()
                start = max((text.rfind(each.strip()) for each in self._was), default=-1)
                if start >= 0:
                    file.seek(0)
                    file.write(text[:start] + self._cleaned(text[start:]))
                    file.truncate()
            logger.logfile.seek(0, os.SEEK_END)
        except (OSError, ValueError) as error:
            return f"The log {logger.logfname} may still have it ({type(error).__name__})."
        return ""

    @staticmethod
    def _log_path(logger: Any) -> Path:
        """The open log, whose name may be relative to a former working directory."""
        path, number = Path(logger.logfname), logger.logfile.fileno()
        if path.exists() and os.path.samestat(path.stat(), os.fstat(number)):
            return path
        return Path(f"/dev/fd/{number}")

    def forget_on_disk(self) -> str:
        manager = self._manager
        on_disk = manager.enabled and str(manager.hist_file) != ":memory:"
        if self._stored is None or not on_disk:
            return ""
        import sqlite3

        this = (manager.session_number, self._number)
        try:
            with closing(sqlite3.connect(str(manager.hist_file), timeout=_PATIENCE)) as database:
                # Without this, SQLite leaves the old text in the file's free pages.
                database.execute("PRAGMA secure_delete = ON")
                select = "SELECT source, source_raw FROM history WHERE session = ? AND line = ?"
                for row in database.execute(select, this).fetchall():
                    cleaned = tuple(map(self._cleaned, row))
                    if cleaned != row:
                        with database:
                            database.execute(
                                "UPDATE history SET source = ?, source_raw = ? "
                                "WHERE session = ? AND line = ?",
                                (*cleaned, *this),
                            )
                # A write-ahead log, if there is one, has the old text until it is emptied.
                if database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return f"{manager.hist_file}-wal may still have it: others read that history."
        except sqlite3.Error as error:
            return f"IPython's history {manager.hist_file} may still have it ({error})."
        return ""


@contextmanager
def _patiently(lock: Lock) -> Iterator[None]:
    """Hold a lock if it becomes free soon."""
    held = lock.acquire(timeout=_PATIENCE)
    try:
        yield
    finally:
        if held:
            lock.release()


def places(shell: InteractiveShell, key: str) -> list[str]:
    """Where a key is in the executed cells, or in the notebook's file.

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
        pass  # this kernel may not reach the front end's notebooks
    return found


def _notebook_file(shell: InteractiveShell) -> Path | None:
    """The notebook's file, if the front end names it: VS Code does, and Jupyter's server."""
    told = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Path(told) if isinstance(told, str) and told.endswith(".ipynb") else None


def mask_outputs(manager: HistoryManager, masker: Masker) -> None:
    """Mask what IPython stores of outputs and errors, for ``%notebook`` and ``%history -o``.

    Parameters
    ----------
    manager : HistoryManager
        Their owner.
    masker : Masker
        What masks them.
    """
    results = manager.output_hist_reprs
    results.update({number: _masked(text, masker) for number, text in list(results.items())})
    outputs = getattr(manager, "outputs", {})  # since IPython 9
    bundles = [output.bundle for each in list(outputs.values()) for output in list(each)]
    for bundle in [*bundles, *list(getattr(manager, "exceptions", {}).values())]:
        bundle.update({name: _masked(value, masker) for name, value in list(bundle.items())})


def drop_outputs(manager: HistoryManager) -> None:
    """Forget what IPython stores of outputs and errors."""
    for name in ("output_hist_reprs", "outputs", "exceptions"):
        getattr(manager, name, {}).clear()


def _masked(value: Any, masker: Masker) -> Any:
    """A text, lines of text, bytes, or a document of JSON."""
    if isinstance(value, str):
        return masker.text(value)
    if isinstance(value, bytes):
        return masker.binary(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        whole = "".join(value)  # a stream's pieces, or a traceback's lines
        masked = masker.text(whole)
        return value if masked is whole else [masked]
    try:
        packed = json.dumps(value).encode()
    except (TypeError, ValueError):  # nor can IPython write it into a notebook
        return value
    document = masker.json(packed)
    return value if document is packed else json.loads(document)


def forget_outputs(shell: InteractiveShell, finds: Callable[[Any], bool]) -> None:
    """Drop the results of cells that hold something.

    Parameters
    ----------
    shell : InteractiveShell
        Whose ``Out``, ``_``, ``__``, ``___``, ``_1`` and so on are searched.
    finds : callable
        Whether a value holds it.
    """
    outputs = shell.user_ns.get("_oh", {})
    for number in [number for number, value in list(outputs.items()) if finds(value)]:
        del outputs[number]
    # IPython stores them a second time, to distinguish its own names from the user's.
    for names in (shell.user_ns, shell.user_ns_hidden):
        for name in filter(partial(re.fullmatch, _OUTPUT_NAMES), list(names)):
            if finds(names[name]):
                names[name] = ""
    for name in ("_", "__", "___"):
        if finds(getattr(shell.displayhook, name, None)):
            setattr(shell.displayhook, name, "")


def forget_shown(shell: InteractiveShell, gone: Masker) -> None:
    """Drop the results and the error of cells that would show a key, or parts of it, again.

    Parameters
    ----------
    shell : InteractiveShell
        Whose ``Out`` and last error are searched.
    gone : Masker
        Of the keys.
    """
    outputs, shown = shell.user_ns.get("_oh", {}), shell.history_manager.output_hist_reprs
    giving = [
        value
        for number, value in list(outputs.items())
        if _gives_away(gone, shown.get(number, ""), partial(repr, value))
    ]
    identities = set(map(id, giving))
    if identities:
        forget_outputs(shell, lambda value: id(value) in identities)
    error = getattr(sys, "last_value", None)
    if error is not None and _gives_away(gone, "".join(traceback.format_exception(error))):
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)


def _gives_away(gone: Masker, text: str, rewrite: Callable[[], str] | None = None) -> bool:
    """Whether a text shows a key, or did before it was masked: then it is written once more."""
    if rewrite is not None and MASK in text:
        try:
            text = rewrite()
        except Exception:  # noqa: BLE001 - whatever a user's class raises
            return True
    return gone.text(text) is not text


def forget_error(search: Search) -> None:
    """Clear the frames of the last error, which ``%debug`` reaches, if they hold something.

    This includes the error's causes. The error and its lines stay.
    """
    waiting, seen = [getattr(sys, "last_value", None)], set()
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        # A cell's own variables are the notebook's.
        held = [dict(each.f_locals) for each in frames if each.f_locals is not each.f_globals]
        if any(map(search.finds, held)):
            traceback.clear_frames(error.__traceback__)
            # Before Python 3.13, a frame caches its locals until the next access.
            held = [each.f_locals for each in frames]
