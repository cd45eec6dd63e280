"""A program with a session's values, as the tree that runs."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from clarifai_magic.programs.claims import Edit, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def replace(
    tree: ast.Module, edits: Iterable[Edit], texts: Mapping[Value, str], own: Mapping[Value, str]
) -> None:
    """Make the replacements in a program.

    Parameters
    ----------
    tree : ast.Module
        The program, changed in place; each replacement keeps the location of the original.
    edits : iterable of Edit
    texts : mapping of Value to str
    own : mapping of Value to str
        Expressions, for values that are not text; that of `RUN` is called with what runs a loop.
    """
    new: dict[ast.AST, ast.expr] = {}
    for edit in edits:
        first = edit.parts[0]
        text = "".join(
            texts.get(part, "") if isinstance(part, Value) else part for part in edit.parts
        )
        if first is Value.ADDED and isinstance(edit.node, ast.Call):
            edit.node.keywords.append(ast.keyword(edit.what, ast.Constant(text)))
        elif first is Value.ENTRY:
            entry = ast.Constant(edit.what), ast.Constant(text)
            new[edit.node] = ast.Dict([None, entry[0]], [edit.node, entry[1]])
        elif first is Value.RUN:
            new[edit.node] = ast.Call(_expression(own[first]), [edit.node], [])
        elif isinstance(first, Value) and first in own:
            new[edit.node] = _expression(own[first])
        else:
            new[edit.node] = ast.Constant(text)
    _Replacing(new).visit(tree)
    ast.fix_missing_locations(tree)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


class _Replacing(ast.NodeTransformer):
    def __init__(self, new: Mapping[ast.AST, ast.expr]) -> None:
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node not in self._new:
            return self.generic_visit(node)
        for each in ast.walk(new := self._new[node]):
            ast.copy_location(each, node)
        return new
