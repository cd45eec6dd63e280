"""``%%clarifai_sample``: the cell below that line, run by IPython as a cell like any other.

The line becomes a literal in front of the program, or of its docstring, by which an AST
transformer, which IPython calls between parsing and compiling a cell, recognises it. So
``await``, magics, the last value, tracebacks and history are IPython's own.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
from collections import deque
from contextlib import suppress
from io import StringIO
from tokenize import COMMENT, NEWLINE, NL, STRING, TokenError, generate_tokens
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import classic_prompt, ipython_prompt, leading_indent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from tokenize import TokenInfo

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.notebook.samples.run import Sample
    from clarifai_magic.session import Session

NAME = "clarifai_sample"
LINE = f"%%{NAME}"
_MARK = f"{LINE} {os.urandom(4).hex()}"
"""A start that no other cell has."""
_BEFORE_DOCSTRING = f"{_MARK}\0"
_FIRST_LINES = {f"{_MARK!r}\n", f"# {_MARK}\n"}


class SampleCells:
    """Makes the cells of samples, and runs each with a session.

    Parameters
    ----------
    shell : InteractiveShell
        The notebook's shell.
    current : callable
        The notebook's session, or None.
    """

    def __init__(self, shell: InteractiveShell, current: Callable[[], Session | None]) -> None:
        self._shell = shell
        self._current = current
        self._next: Sample | None = None

    def mark(self, lines: list[str]) -> list[str]:
        """Replace a sample's cell with its program, for IPython to parse."""
        if not lines or lines[0].rstrip() != LINE or not "".join(lines[1:]).strip():
            return lines
        return _marked(_masked(self._filtered(_unprompted(lines[1:])), _tokenize))

    def _filtered(self, program: list[str]) -> list[str]:
        """A one-line program as IPython parses it, even without a magic's sign."""
        text = "".join(program)
        if len(text.strip().splitlines()) > 1:
            return program
        lines: str = self._shell.prefilter_manager.prefilter_lines(text)
        return lines.splitlines(keepends=True)

    # Otherwise a terminal would take the first line for the whole cell.
    mark.has_side_effects = True  # type: ignore[attr-defined]

    def masked(self, lines: list[str]) -> list[str]:
        """Hide a sample's keys when IPython reports that it is not valid Python."""
        return lines if _FIRST_LINES.isdisjoint(lines[:1]) else _masked(lines, ast.parse)

    def ended(self, result: Any) -> None:
        """Remove the keys of a sample that IPython could not parse."""
        # There is no result if IPython itself failed, as for expressions nested too deeply.
        unread = result is not None and result.error_before_exec is not None
        if unread and result.info.raw_cell.split()[:1] == [LINE]:
            from clarifai_magic.notebook.samples.run import forget_unread

            forget_unread(self._shell, result, self._current())

    def visit(self, tree: ast.Module) -> ast.Module:
        """Prepare a sample before it is compiled; other cells stay unchanged."""
        mark = _mark(tree)
        if mark is None:
            return tree
        from clarifai_magic.notebook.samples.run import prepare

        self._next = prepare(self._shell, tree, self._current())
        begin = ast.parse(f"get_ipython().run_cell_magic({NAME!r}, '', {LINE!r})").body
        if mark.value == _MARK:
            del tree.body[0]
        mark.value = str(mark.value)[len(_BEFORE_DOCSTRING) :]
        tree.body[:0] = begin
        return tree

    def begin(self, cell: str) -> None:
        """Begin the prepared sample; a program without one first becomes a cell."""
        sample, self._next = self._next, None
        if sample is not None and cell == LINE:
            sample.begin(_text(self._shell))
        else:
            self._shell.run_cell(f"{LINE}\n{cell}").raise_error()


def _masked(lines: list[str], read: Callable[[str], object]) -> list[str]:
    """An unparsable program without its keys; any other unchanged."""
    from clarifai_magic.credentials.parsing import keys_in
    from clarifai_magic.credentials.secret import MASK

    text = "".join(lines)
    keys = keys_in(text)
    try:
        _ = keys and read(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        for key in keys:
            text = text.replace(key, MASK)
        return text.splitlines(keepends=True)
    return lines


def _tokenize(text: str) -> None:
    """Find indentation errors, which may stop IPython's transformers."""
    with suppress(TokenError):
        deque(generate_tokens(StringIO(text).readline), maxlen=0)


def _marked(program: list[str]) -> list[str]:
    """A program after its mark, which is concatenated with a docstring.

    As a second string it would not be a docstring, and no future import could follow it.
    """
    docstring: list[TokenInfo] = []
    with suppress(TokenError, SyntaxError):
        for token in generate_tokens(iter([*program, ""]).__next__):
            if token.type == STRING:
                docstring.append(token)
            elif token.type not in {NL, COMMENT}:
                break
        if docstring and token.type == NEWLINE and _is_text(docstring):
            line = docstring[0].start[0] - 1
            marked = f"{_BEFORE_DOCSTRING!r} {program[line]}"
            return [f"# {_MARK}\n", *program[:line], marked, *program[line + 1 :]]
    return [f"{_MARK!r}\n", *program]


def _is_text(tokens: Iterable[TokenInfo]) -> bool:
    """Whether literals together are a string, as opposed to bytes or an f-string."""
    tree = ast.parse(" ".join(token.string for token in tokens), mode="eval").body
    return isinstance(tree, ast.Constant) and isinstance(tree.value, str)


def _mark(tree: ast.AST) -> ast.Constant | None:
    """The mark of a sample's tree."""
    first = tree.body[0] if isinstance(tree, ast.Module) and tree.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(text := value.value, str):
        return value if text == _MARK or text.startswith(_BEFORE_DOCSTRING) else None
    return None


def _text(shell: InteractiveShell) -> str:
    """The text of the sample about to run, as in tracebacks."""
    frame = inspect.currentframe()
    while frame is not None:
        lines = linecache.getlines(frame.f_code.co_filename)
        if not _FIRST_LINES.isdisjoint(lines[:1]):
            return "".join(lines)
        frame = frame.f_back
    inputs: list[str] = shell.history_manager.input_hist_raw  # within another cell's magic
    return inputs[-1]


def _unprompted(lines: list[str]) -> list[str]:
    """A program as IPython parses a cell: without prompts, and dedented."""
    empty = next((number for number, line in enumerate(lines) if line.strip()), 0)
    program = lines[empty:]
    for without in (leading_indent, classic_prompt, ipython_prompt):
        program = without(program)
    return [*lines[:empty], *program]
