"""Looks for modules that ``%%clarifai_sample`` would change, in all folders that it is given.

    python tests/unchanged.py FOLDER… [--shown 20]

Each module is followed as a sample is; one with nothing of Clarifai's has to stay as it is. Of one in
so many, what ``--show`` would print is compared too, byte for byte. Told are the modules that
would change, and what of them: each is one that leads to Clarifai, or a fault.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import time
import tokenize
import warnings
from pathlib import Path

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.programs.calls import imported_parameters
from clarifai_magic.programs.claims import Edit, Value
from clarifai_magic.programs.show import shown
from clarifai_magic.programs.sinks import find

IDS = {Value.USER_ID: True, Value.APP_ID: True}


def changes(tree: ast.Module) -> list[Edit]:
    """What of a program would be replaced, but for loops, which run as they did."""
    known = find(
        tree,
        deployment=PUBLIC_BASE,
        ids=IDS,
        known=lambda name: getattr(builtins, name, None),
        parameters=imported_parameters,
    )
    return [edit for edit in known.edits if edit.parts != (Value.RUN,)]


def modules(folder: Path) -> list[Path]:
    """The modules of a folder, without what is installed beside them."""
    found = sorted(folder.rglob("*.py"))
    return [each for each in found if "site-packages" not in each.relative_to(folder).parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--shown", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    read = unread = changed = 0
    slowest = (0.0, Path())
    for path in (each for folder in options.folders for each in modules(folder)):
        try:
            with tokenize.open(path) as file:
                text = file.read()
            tree = ast.parse(text)
        except (SyntaxError, ValueError, UnicodeDecodeError, RecursionError):
            unread += 1
            continue
        read += 1
        before = time.perf_counter()
        try:
            found = changes(tree)
        except RecursionError:
            print(f"{path}: nested too deeply")
            continue
        slowest = max(slowest, (time.perf_counter() - before, path))
        changed += bool(found)
        for edit in found:
            print(f"{path}:{edit.line}: {edit.what} {edit.parts}", flush=True)
        if not found and read % options.shown == 0 and shown(text, tree, [], {}, "") != text:
            print(f"{path}: shown in another way", flush=True)
    print(
        f"{read} modules, {unread} that are not valid Python, {changed} changed; slowest {slowest}"
    )


if __name__ == "__main__":
    main()
