"""Keys in Python: values that reach Clarifai, and values that go there only as IDs."""

from __future__ import annotations

import ast
import builtins
import re
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.audit.tokens import has_token
from clarifai_magic.audit.words import takes_key
from clarifai_magic.programs.claims import Value
from clarifai_magic.programs.places import is_clarifais
from clarifai_magic.programs.sinks import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TELLING = ("clarifai", "authorization", "auth(", "login", "credential")
_TRIES = 5
_LONGEST = 400_000  # characters of a program that is followed
SHELL_LINE = re.compile(r"(?m)^[ \t]*(?:[\w, ]+=[ \t]*)?[%!?].*$")
_FENCED = re.compile(r"(?ms)^[ \t]*```[ \t]*(?:python|py)\b[^\n]*\n(.*?)^[ \t]*```")
_IMPORT = re.compile(r"(?m)^(?:import|from) ")
_UNPACKING = re.compile(r"(?m)^[ \t]*[\w.]+[ \t]*,[^\n=]*=[^\n]*[0-9a-fA-F]{32}[^\n]*$")
# The audit imports nothing that a program names: importing may be the program's trap.
_PAT_PLACES = {
    "App": 4,
    "ClarifaiApp": 0,
    "ClarifaiAuthHelper": 2,
    "ComputeCluster": 3,
    "Dataset": 4,
    "Deployment": 3,
    "Inputs": 4,
    "Model": 4,
    "Nodepool": 3,
    "Pipeline": 10,
    "PipelineStep": 7,
    "Runner": 3,
    "Search": 7,
    "User": 2,
    "Workflow": 5,
}
"""The number of parameters before ``pat`` in each of the SDK's classes; ``token`` follows it."""


class Followed(NamedTuple):
    """What is known about the literals of programs.

    Parameters
    ----------
    keys : dict of str to str
        Literals that reach Clarifai as keys, and where.
    ids : set of str
        Literals that reach it as something else.
    names : dict of str to str
        Names of literals, where the words beside them would mislead.
    """

    keys: dict[str, str]
    ids: set[str]
    names: dict[str, str]


def python_of_page(text: str) -> Iterator[str]:
    """The Python blocks of a Markdown page."""
    for match in _FENCED.finditer(text):
        yield match[1]


def shown_programs(text: str) -> Iterator[str]:
    """What may be a program in an output or text: all of it, from an import on, or a line."""
    if not _says_something(text):
        return
    yield _from_where_it_is_one(without_shell_lines(text))
    if match := _IMPORT.search(text):
        yield without_shell_lines(text[match.start() :])
    yield from (match[0].strip() for match in _UNPACKING.finditer(text))
    yield from python_of_page(text)


def _from_where_it_is_one(text: str) -> str:
    """A program without the lines before it that are none."""
    for _ in range(_TRIES if len(text) <= _LONGEST else 0):
        try:
            ast.parse(text)
        except SyntaxError as error:
            text = "\n".join(text.split("\n")[error.lineno or 1 :])
        except (ValueError, RecursionError, MemoryError):
            break
    return text


def without_shell_lines(cell: str) -> str:
    """A cell's Python; none for another language."""
    return "" if cell.lstrip().startswith("%%") else SHELL_LINE.sub("pass", cell)


def as_program(cells: Iterable[str]) -> str:
    """A notebook's cells as one program, without those that are not valid Python."""
    programs = [*map(without_shell_lines, cells)]
    if not _says_something("\n".join(programs)):
        return ""
    return "\n".join(each for each in programs if _tree(each) is not None)


def follow(programs: Iterable[str]) -> Followed:
    """Follow the values of programs to Clarifai; skip what is not valid Python."""
    found = Followed({}, set(), {})
    for program in programs:
        followed = len(program) <= _LONGEST and _says_something(program)
        tree = _tree(program) if followed else None
        if tree is None:
            continue
        found.names.update(_given(tree))
        found.names.update(_unpacked(tree))
        try:
            sinks = find(
                tree,
                deployment=PUBLIC_BASE,
                ids=dict.fromkeys((Value.USER_ID, Value.APP_ID), False),
                known=lambda name: getattr(builtins, name, None),
                parameters=_parameters,
            )
        except RecursionError:
            continue
        found.ids.update(sinks.ids)
        for edit in sinks.edits:
            values = [part for part in edit.parts if isinstance(part, Value)]
            taken = zip(values, edit.was, strict=False)
            found.keys.update({was: edit.what for value, was in taken if value is Value.KEY})
    return found


def _says_something(program: str) -> bool:
    """Whether it has a token, and may lead to Clarifai or unpack something."""
    lower = program.lower()
    unpacks = "," in lower and ("=" in lower or "for" in lower)
    return (unpacks or any(word in lower for word in _TELLING)) and has_token(program)


def _tree(program: str) -> ast.Module | None:
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _unpacked(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The literals that are unpacked, with what they are unpacked to."""
    assigned = _assigned(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            rows = assigned.get(getattr(node.iter, "id", ""), node.iter)
            pairs = [(node.target, row) for row in getattr(rows, "elts", ())]
        else:
            continue
        for target, values in pairs:
            if isinstance(target, _SEQUENCES) and isinstance(values, _SEQUENCES):
                for name, value in zip_longest(target.elts, values.elts):
                    if name is not None and isinstance(value, ast.Constant):
                        yield str(value.value), ast.unparse(name)


def _given(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The literals that are given by position to a login or the like, with its name."""
    assigned = _assigned(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if takes_key(name):
                for each in node.args:
                    value = assigned.get(getattr(each, "id", ""), each)
                    if isinstance(value, ast.Constant):
                        yield str(value.value), name


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """What the names are that are assigned once, or last."""
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


_SEQUENCES = (ast.Tuple, ast.List)


def _parameters(names: set[str]) -> list[str]:
    for name in filter(is_clarifais, names):
        place = _PAT_PLACES.get(name.rpartition(".")[2])
        if place is not None:
            return [*[""] * place, "pat", "token"]
    return []
