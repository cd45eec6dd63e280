"""Texts as a program builds them: with ``+``, ``%``, f-strings, ``format`` and ``join``."""

from __future__ import annotations

import ast
import re
from itertools import islice, product
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from clarifai_magic.programs.origins import followed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clarifai_magic.programs.flow import Flow
    from clarifai_magic.programs.reading import Node

UNKNOWN = "\0"
"""Stands for an unknown part of a text."""

_JOINERS = {"urllib.parse.urljoin", "requests.compat.urljoin"}
_MOST = 16  # texts that one expression may make: more are not distinguished


class Piece(NamedTuple):
    """A part of a text.

    Parameters
    ----------
    node : ast.expr
        The literal that contains it, or the expression whose value it is.
    text : str, optional
        The literal text; None for an expression.
    start : int
        Where in the literal's text it begins.
    """

    node: ast.expr
    text: str | None = None
    start: int = 0


def text_of(node: Node) -> str | None:
    """The text of a literal; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def pieces(node: Node) -> list[Piece]:  # noqa: PLR0911 - one for each way
    """The pieces of a text, in order; a text that is not built is one piece."""
    if not isinstance(node, ast.expr):
        return []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*pieces(node.left), *pieces(node.right)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        given = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
        return _filled(node.left, r"%[sr]", given)
    if isinstance(node, ast.JoinedStr):
        return [piece for each in node.values for piece in pieces(each)]
    if isinstance(node, ast.FormattedValue):
        return [Piece(node.value)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        pattern, method = node.func.value, node.func.attr
        if text_of(pattern) is not None and method == "format":
            named = {each.arg: each.value for each in node.keywords if each.arg}
            return _filled(pattern, r"\{\w*\}", node.args, named)
        if method == "join" and node.args and isinstance(node.args[0], (ast.List, ast.Tuple)):
            return _joined(pattern, node.args[0].elts)
    return [Piece(node, text_of(node))]


@followed
def texts(flow: Flow, node: Node) -> list[str]:
    """The texts that an expression may be, with `UNKNOWN` for unknown parts."""
    found: dict[str, None] = {}
    for leaf in flow.leaves(node):
        if joined := joined_url(flow, leaf):
            pairs = product(*(texts(flow, each) for each in joined))
            found.update(dict.fromkeys(_joined_texts(*pair) for pair in islice(pairs, _MOST)))
            continue
        parts = pieces(leaf)
        if not parts or parts == [Piece(leaf)]:  # type: ignore[arg-type]
            found[flow.told.get(leaf, UNKNOWN)] = None
            continue
        each = [texts(flow, part.node) if part.text is None else [part.text] for part in parts]
        found.update(dict.fromkeys(map("".join, islice(product(*each), _MOST))))
    return list(found)[:_MOST] or [UNKNOWN]


def joined_url(flow: Flow, node: Node) -> list[ast.expr]:
    """The base and the URL of a call that joins them; nothing for what is none."""
    if isinstance(node, ast.Call) and len(node.args) == 2:  # noqa: PLR2004 - the two of them
        return node.args if flow.names(node.func) & _JOINERS else []
    return []


def _joined_texts(base: str, url: str) -> str:
    # What is not known may be a whole URL, which leads where it says.
    return UNKNOWN if url.startswith(UNKNOWN) else urljoin(base, url)


def _filled(
    pattern: ast.expr,
    gap: str,
    given: Sequence[ast.expr],
    named: dict[str, ast.expr] | None = None,
) -> list[Piece]:
    """The pieces of a pattern, with the values in its gaps."""
    text = text_of(pattern)
    if text is None:
        return []
    found: list[Piece] = []
    position, waiting = 0, list(given)
    for match in re.finditer(gap, text):
        found.append(Piece(pattern, text[position : match.start()], position))
        name = match[0].strip("{}")
        if name.isdigit() and int(name) < len(given):
            found.append(Piece(given[int(name)]))
        elif named and name in named:
            found.append(Piece(named[name]))
        elif waiting:
            found.append(Piece(waiting.pop(0)))
        position = match.end()
    found.append(Piece(pattern, text[position:], position))
    return [each for each in found if each.text != ""]


def _joined(between: ast.expr, given: Sequence[ast.expr]) -> list[Piece]:
    found: list[Piece] = []
    for each in given:
        separator = [Piece(between, text_of(between))] if found else []
        found += [*separator, *pieces(each)]
    return found
