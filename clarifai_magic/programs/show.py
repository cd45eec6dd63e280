"""A program that reads the user's own values from the environment, and is otherwise unchanged."""

from __future__ import annotations

import ast
import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any

import libcst
from libcst import matchers
from libcst.metadata import MetadataWrapper, PositionProvider

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.programs.claims import Edit, Value
from clarifai_magic.programs.places import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    Span = tuple[int, int, int, int]
    """Lines and columns of the start and the end."""


def shown(
    code: str, tree: ast.Module, edits: Iterable[Edit], own: Mapping[Value, str], key: str
) -> str:
    """A program as a text.

    Parameters
    ----------
    code : str
        The program.
    tree : ast.Module
        The same, parsed.
    edits : iterable of Edit
    own : mapping of Value to str
        Expressions for values that are not text; other values stay as written.
    key : str
        The variable that holds the key.
    """
    reads = {**_reads(tree, key), **own}
    made: dict[ast.AST, Edit] = {
        edit.node: edit
        for edit in edits
        if not _is_read(edit)
        and all(part in reads for part in _content(edit) if isinstance(part, Value))
    }
    texts = dict(_shell_lines(code, tree))
    joined: dict[Span, list[Edit]] = {}
    for span, (node, within) in _spans(code, tree, made).items():
        if isinstance(node, ast.JoinedStr):
            joined[span] = [made[each] for each in within]
        else:
            text = _written(_content(made[node]), reads)
            entry = f"{{**{ast.unparse(node)}, {made[node].what!r}: {text}}}"
            texts[span] = entry if made[node].parts[0] is Value.ENTRY else text
    literals = {
        each for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in node.values
    }
    return _Editing(libcst.parse_module(code), texts, joined, literals, reads).done()


def _content(edit: Edit) -> tuple[str | Value, ...]:
    """The replacement; for an entry, without its mapping."""
    return edit.parts[1:] if edit.parts[0] is Value.ENTRY else edit.parts


def _is_read(edit: Edit) -> bool:
    """Whether the code there already reads the environment."""
    return edit.what in VARIABLES and ast.unparse(edit.node).startswith("os.")


def _reads(tree: ast.Module, key: str) -> dict[Value, str]:
    """The expression for each value; works around a program that uses the name `os` otherwise."""
    other = any(
        isinstance(node, ast.Name) and node.id == "os" and isinstance(node.ctx, ast.Store)
        for node in ast.walk(tree)
    )
    environ = "__import__('os').environ" if other else "os.environ"
    return {
        Value.KEY: f"{environ}[{key!r}]",
        Value.NO_KEY: "''",
        Value.NOTHING: "''",
        Value.USER_ID: f"{environ}['CLARIFAI_USER_ID']",
        Value.APP_ID: f"{environ}['CLARIFAI_APP_ID']",
        Value.BASE: f"{environ}.get('CLARIFAI_API_BASE', {PUBLIC_BASE!r})",
    }


def _written(parts: tuple[str | Value, ...], reads: Mapping[Value, str]) -> str:
    """The source of an expression that joins several parts."""
    if len(parts) == 1 and isinstance(parts[0], Value):
        return reads[parts[0]]
    rest = [part for part in parts if part is not Value.NOTHING]
    inner = [f"{{{reads[part]}}}" if isinstance(part, Value) else _escaped(part) for part in rest]
    return f'f"{"".join(inner)}"'


def _added(parts: tuple[str | Value, ...], reads: Mapping[Value, str]) -> str:
    """The same as an expression allowed within an f-string: without a nested one."""
    inner = [reads[part] if isinstance(part, Value) else repr(part) for part in parts]
    return inner[0] if len(inner) == 1 else f"({' + '.join(inner)})"


def _escaped(text: str) -> str:
    """A text as written in an f-string with double quotes."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("{", "{{").replace("}", "}}")


def _shell_lines(code: str, tree: ast.Module) -> Iterator[tuple[Span, str]]:
    """The lines that IPython gives to a shell or to pip, for Python without IPython."""
    commands: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        call = ast.unparse(node) if isinstance(node, ast.Call) else ""
        if call.startswith("get_ipython().system("):
            commands[node] = call.removeprefix("get_ipython().system(")[:-1]
        elif call.startswith(_PIP):
            pip = call.removeprefix(_PIP)[:-1]
            commands[node] = f"__import__('sys').executable + ' -m pip ' + {pip}"
    for span, (node, _) in _spans(code, tree, commands).items():
        yield span, f"__import__('subprocess').run({commands[node]}, shell=True)"


_PIP = "get_ipython().run_line_magic('pip', "


def _spans(
    code: str, tree: ast.Module, nodes: Collection[ast.AST]
) -> dict[Span, tuple[ast.AST, list[ast.AST]]]:
    """The places of nodes; for those in an f-string, the f-string's place and the nodes in it.

    Before Python 3.12, the places within an f-string are unknown.
    """
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", code)  # where Python ends a line, and nowhere else
    found: dict[Span, tuple[ast.AST, list[ast.AST]]] = {}

    def place(line: int, offset: int) -> tuple[int, int]:  # which counts UTF-8 bytes
        return line, len(lines[line - 1].encode()[:offset].decode())

    def look(node: Any) -> None:
        inside = ast.walk(node) if isinstance(node, ast.JoinedStr) else [node]
        if within := [each for each in inside if each in nodes]:
            begin = place(node.lineno, node.col_offset)
            end = place(node.end_lineno, node.end_col_offset)
            found[(*begin, *end)] = node, within
        else:
            for each in ast.iter_child_nodes(node):
                look(each)

    look(tree)
    return found


class _Editing(libcst.CSTTransformer):
    """Replaces some expressions, and keeps the rest byte for byte."""

    def __init__(
        self,
        module: libcst.Module,
        texts: Mapping[Span, str],
        joined: Mapping[Span, list[Edit]],
        literals: Collection[ast.AST],
        reads: Mapping[Value, str],
    ) -> None:
        super().__init__()
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        self._module = wrapper.module
        self._positions = wrapper.resolve(PositionProvider)
        self._texts, self._joined, self._reads = texts, joined, reads
        self._literals = literals
        self._within: deque[tuple[str, str]] = deque()
        self._look_ups: dict[str, str] = {}
        self._around: list[libcst.FormattedString] = []
        self._tripled: set[libcst.FormattedString] = set()
        self._used = False

    def done(self) -> str:
        """The resulting program."""
        edited = self._module.visit(self)
        return (_importing_os(edited) if self._used else edited).code

    def _span(self, node: libcst.CSTNode) -> Span:
        at: Any = self._positions.get(node)
        return (at.start.line, at.start.column, at.end.line, at.end.column) if at else (0, 0, 0, 0)

    def on_visit(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.FormattedString):
            self._around.append(node)
        if isinstance(node, libcst.BaseString):
            for edit in self._joined.get(self._span(node), ()):
                if edit.node in self._literals:
                    values = [self._reads[part] for part in edit.parts if isinstance(part, Value)]
                    self._within += zip(edit.was, values, strict=True)
                else:
                    self._look_ups[ast.dump(edit.node)] = _added(edit.parts, self._reads)
        return super().on_visit(node)

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        node: Any = super().on_leave(original_node, updated_node)
        span = self._span(original_node)
        if isinstance(original_node, libcst.FormattedString):
            self._around.pop()
            if original_node in self._tripled:
                start, quote = original_node.start, original_node.quote
                node = node.with_changes(start=f"{start}{quote * 2}", end=quote * 3)
        if isinstance(original_node, libcst.BaseExpression):
            if span in self._texts:
                return self._expression(self._texts[span], updated_node)
            if self._look_ups and (text := self._look_ups.get(self._dumped(original_node))):
                return self._expression(text, updated_node)
        if isinstance(original_node, libcst.FormattedStringText) and self._within:
            return self._parts(updated_node)
        if isinstance(original_node, libcst.SimpleString) and self._within:
            return self._string(updated_node)
        if span in self._joined:
            self._within.clear()
            self._look_ups.clear()
        return node

    def _dumped(self, node: libcst.CSTNode) -> str:
        try:
            return ast.dump(ast.parse(self._module.code_for_node(node), mode="eval").body)
        except SyntaxError:
            return ""

    def _expression(self, text: str, old: libcst.BaseExpression) -> libcst.BaseExpression:
        self._used |= "os.environ" in text
        new = libcst.parse_expression(self._quoted(text))
        return new.with_changes(lpar=old.lpar, rpar=old.rpar)

    def _quoted(self, text: str) -> str:
        """An expression with quotes that its enclosing f-strings allow in Python 3.10."""
        single = [each for each in self._around if len(each.quote) == 1]
        quotes = {each.quote for each in single}
        if len(quotes) > 1:
            self._tripled.add(single[0])
            return text.replace("'", single[0].quote)
        return text.replace("'", '"') if "'" in quotes else text

    def _parts(self, node: libcst.FormattedStringText) -> Any:
        """A text within an f-string, with expressions in place of the old parts."""
        found: list[libcst.BaseFormattedStringContent] = []
        text = node.value
        while self._within and self._within[0][0] in text:
            was, read = self._within.popleft()
            before, _, text = text.partition(was)
            self._used = True
            found += [
                libcst.FormattedStringText(before),
                libcst.FormattedStringExpression(libcst.parse_expression(self._quoted(read))),
            ]
        return libcst.FlattenSentinel([*found, libcst.FormattedStringText(text)])

    def _string(self, node: libcst.SimpleString) -> libcst.BaseExpression:
        """A string concatenated with an f-string."""
        parts: list[str] = []
        text = str(node.evaluated_value)
        while self._within and self._within[0][0] in text:
            was, read = self._within.popleft()
            before, _, text = text.partition(was)
            self._used = True
            parts += [_escaped(before), f"{{{read}}}"]
        new = f'f"{"".join(parts)}{_escaped(text)}"'
        return libcst.parse_expression(new) if parts else node


def _importing_os(module: libcst.Module) -> libcst.Module:
    """The program with `os` imported before everything that need not come first."""
    body = list(module.body)
    place = next((n for n, each in enumerate(body) if not _is_first(each)), len(body))
    line = libcst.parse_statement("import os\n")
    return module.with_changes(body=[*body[:place], line, *body[place:]])


def _is_first(statement: Any) -> bool:
    """Whether a statement is a docstring, or an import from `__future__`."""
    string = matchers.SimpleString() | matchers.ConcatenatedString()
    future = matchers.ImportFrom(module=matchers.Name("__future__"))
    return isinstance(statement, libcst.SimpleStatementLine) and matchers.matches(
        statement.body[0], matchers.Expr(value=string) | future
    )
