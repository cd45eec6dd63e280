"""What a notebook tells before it is run: what it needs, how long it takes, and that nobody needs an account."""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
JUPYTER = sorted(NOTEBOOKS.glob("*.ipynb"))
MARIMO = [NOTEBOOKS / "marimo_quickstart.py"]
SAID = re.compile(
    r"# \S.*\n\n"
    r"- \*\*Needs:\*\* (?P<needs>.+)\n"
    r"- \*\*Takes:\*\* about (?:a minute|\d+ (?:seconds|minutes))\b.*\.\n"
    r"- \*\*Account:\*\* none\b.*\bsandbox\b.*\.\n\n"
)

each = pytest.mark.parametrize("path", JUPYTER + MARIMO, ids=lambda path: path.stem)


def cells(path: Path) -> tuple[str, str]:
    """The first text of a notebook, and all its Python."""
    if path in MARIMO:
        program = path.read_text("utf-8")
        texts = (node.value for node in ast.walk(ast.parse(program)) if is_text(node))
        return next(texts).replace("\n    ", "\n").lstrip(), program
    first, *rest = json.loads(path.read_text("utf-8"))["cells"]
    assert first["cell_type"] == "markdown"
    python = TransformerManager().transform_cell
    code = ["".join(cell["source"]) for cell in rest if cell["cell_type"] == "code"]
    return "".join(first["source"]), "\n".join(map(python, code))


def is_text(node: ast.AST) -> bool:
    """Whether this is a string of several lines that is no docstring: what marimo shows."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value


def imported(program: str) -> set[str]:
    """The packages outside the standard library that a program imports."""
    names = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names} - {
        "clarifai_magic",
        *sys.stdlib_module_names,
    }


def brought() -> set[str]:
    """The distributions that come with clarifai_magic."""
    required = [each for each in requires("clarifai-magic") or [] if "extra ==" not in each]
    return {re.split(r"[^\w.-]", each)[0].lower() for each in required}


@each
def test_the_first_cell_says_what_the_notebook_needs_and_how_long_it_takes(path):
    text, _ = cells(path)
    assert SAID.match(text), text


@each
def test_what_a_notebook_imports_it_says_it_needs(path):
    text, program = cells(path)
    needs = SAID.match(text)["needs"]
    distributions = packages_distributions()
    for module in imported(program):
        named = {name.lower() for name in distributions.get(module, [module])}
        assert named & brought() or named & set(re.findall(r"[\w.-]+", needs)), module
