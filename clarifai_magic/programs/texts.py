"""Texts as a program builds them: with ``+``, ``%``, f-strings, ``format`` and ``join``."""

from __future__ import annotations

import ast
import re
from itertools import islice, product
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from clarifai_magic.programs.origins import followed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clarifai_magic.programs.flow import Flow
    from clarifai_magic.programs.reading import Node

UNKNOWN = "\0"
"""Stands for an unknown part of a text."""

_JOINERS = {"urllib.parse.urljoin", "requests.compat.urljoin"}
_PERCENT, _BRACES = r"%(?:\((\w+)\))?[sr]", r"\{(\w*)\}"
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
    at : ast.expr, optional
        The expression that takes the literal, if it is written elsewhere.
    """

    node: ast.expr
    text: str | None = None
    start: int = 0
    at: ast.expr | None = None


def text_of(node: Node) -> str | None:
    """The text of a literal; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def pieces(flow: Flow, node: Node) -> list[Piece]:  # noqa: PLR0911 - one for each way
    """The pieces of a text, in order; a text that is not built is one piece."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return [*pieces(flow, left), *pieces(flow, right)]
        case ast.BinOp(pattern, ast.Mod(), right):
            return _filled(
                flow, pattern, _PERCENT, flow.items(right) or [right], flow.entries(right)
            )
        case ast.JoinedStr(values):
            return [piece for each in values for piece in pieces(flow, each)]
        case ast.FormattedValue(value):
            return [Piece(value)]
        case ast.Call(ast.Attribute(pattern, "format")) if _literal(flow, pattern):
            return _filled(flow, pattern, _BRACES, *flow.given(node))
        case ast.Call(ast.Attribute(between, "join"), [parts]) if flow.items(parts):
            return _joined(flow, between, flow.items(parts))
    return [Piece(node, text_of(node))] if isinstance(node, ast.expr) else []


@followed
def texts(flow: Flow, node: Node) -> list[str]:
    """The texts that an expression may be, with `UNKNOWN` for unknown parts."""
    found: dict[str, None] = {}
    for leaf in flow.leaves(node):
        if joined := joined_url(flow, leaf):
            pairs = product(*(texts(flow, each) for each in joined))
            found.update(dict.fromkeys(_joined_texts(*pair) for pair in islice(pairs, _MOST)))
            continue
        parts = pieces(flow, leaf)
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


def _literal(flow: Flow, node: ast.expr) -> ast.expr | None:
    """The literal that a text is; None if it may be several, or none."""
    leaves = flow.leaves(node)
    leaf = leaves[0] if len(leaves) == 1 else None
    return leaf if isinstance(leaf, ast.expr) and text_of(leaf) is not None else None


def _filled(
    flow: Flow,
    pattern: ast.expr,
    gap: str,
    given: Sequence[ast.expr],
    named: Iterable[tuple[str, ast.expr]],
) -> list[Piece]:
    """The pieces of a pattern, with the values in its gaps."""
    literal = _literal(flow, pattern)
    text = text_of(literal) if literal else None
    if literal is None or text is None:
        return []
    found: list[Piece] = []
    position, waiting, by_name = 0, list(given), dict(named)
    for match in re.finditer(gap, text):
        found.append(Piece(literal, text[position : match.start()], position, pattern))
        name = match[1] or ""
        if name.isdigit() and int(name) < len(given):
            found.append(Piece(given[int(name)]))
        elif name in by_name:
            found.append(Piece(by_name[name]))
        elif waiting:
            found.append(Piece(waiting.pop(0)))
        position = match.end()
    found.append(Piece(literal, text[position:], position, pattern))
    return [each for each in found if each.text != ""]


def _joined(flow: Flow, between: ast.expr, given: Sequence[ast.expr]) -> list[Piece]:
    found: list[Piece] = []
    for each in given:
        separator = [Piece(between, text_of(between))] if found else []
        found += [*separator, *pieces(flow, each)]
    return found
