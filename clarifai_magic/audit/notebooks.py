"""Notebooks as JSON: their cells, what is wrong with them, and where in the text sources stand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = tuple[str | int, ...]

_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_NO_NUMBER = "is not a number"
_OPENING = "{["
_CELL = {2: ("cells",), 4: ("worksheets", "cells")}
"""The names on the way to a cell, by the length of the way; the latter is nbformat 3's."""


class Notebook(NamedTuple):
    """What a notebook has in it.

    Parameters
    ----------
    cells : list
        As nbformat 4 has them.
    rest : dict
    hidden : list of tuple
        Names and values behind which the same name stands once more, and which nobody is shown.
    odd : str
        What a strict reader would refuse; empty if nothing.
    """

    cells: list[Any]
    rest: dict[str, Any]
    hidden: list[tuple[str, Any]]
    odd: str


def as_notebook(data: bytes) -> Notebook:
    """A notebook's content.

    Raises
    ------
    ValueError
        If it is none, with the reason.
    """
    hidden: list[tuple[str, Any]] = []

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            hidden.extend(pair for pair in pairs if pair[1] is not made[pair[0]])
        return made

    try:
        content, odd = _parsed(data.decode("utf-8-sig"), paired)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON (line {error.lineno})") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    rest = dict(content) if isinstance(content, dict) else {}
    cells = rest.pop("cells", None)
    if not isinstance(cells, list):
        cells = _of_worksheets(rest.pop("worksheets", None))
    if cells is None:
        raise ValueError("it has no cells")
    return Notebook(cells, rest, hidden, odd)


def _parsed(text: str, paired: Any) -> tuple[Any, str]:
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=paired), ""
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # of a number; its value tells nothing
        kinds: Any = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), str)
        odd = str(error) if _NO_NUMBER in str(error) else "it has a number of too many digits"
        return json.loads(text, object_pairs_hook=paired, **kinds), odd


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} {_NO_NUMBER}")


def _of_worksheets(worksheets: Any) -> list[Any] | None:
    """The cells of nbformat 3, in which code is an input."""
    if not isinstance(worksheets, list):
        return None
    sheets = [each for each in worksheets if isinstance(each, dict)]
    lists = [each["cells"] for each in sheets if isinstance(each.get("cells"), list)]
    cells = [cell for each in lists for cell in each]
    return [
        {("source" if name == "input" else name): cell[name] for name in cell}
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
        else cell
        for cell in cells
    ]


def sources_of(text: str) -> Iterator[tuple[int, int]]:
    """Where the source of each cell of code begins and ends in the JSON, in order.

    Of a name that stands twice it is the last, as for all who read it.
    """
    found: dict[Path, tuple[int, int]] = {}
    for path, start, end in _values(text):
        way = tuple(each for each in path if isinstance(each, str))
        if path in {("cells",), ("worksheets",)} or (len(path) == 3 and way == _CELL[4]):  # noqa: PLR2004
            within = {key: at for key, at in found.items() if start <= at[0] and at[1] <= end}
            others = {key: at for key, at in found.items() if key[: len(path)] != path}
            found = {**others, **within}
        elif way[:-1] == _CELL.get(len(path) - 1) and path[-1] in {"cell_type", "source", "input"}:
            found[path] = start, end
    for path, (start, end) in sorted(found.items(), key=lambda item: item[1]):
        kind = found.get((*path[:-1], "cell_type"), (0, 0))
        name = "source" if path[0] == "cells" else "input"
        if path[-1] == name and text[slice(*kind)] == '"code"':
            yield start, end


def _values(text: str) -> Iterator[tuple[Path, int, int]]:
    """Each value with the names and numbers that lead to it, and where it begins and ends."""
    path: list[str | int | None] = []
    starts: list[int] = []
    for match in _PIECE.finditer(text):
        piece, start = match[0], match.start()
        if piece in _OPENING:
            starts.append(start)
            path.append(0 if piece == "[" else None)
            continue
        if piece in {"}", "]"}:
            path.pop()
            start = starts.pop()
        elif piece == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
            continue
        elif piece == ":":
            continue
        elif path and path[-1] is None:
            path[-1] = json.loads(piece) if "\\" in piece else piece[1:-1]
            continue
        if None not in path:
            yield tuple(path), start, match.end()  # type: ignore[arg-type]
