"""Look through notebooks for keys before they are shared: ``python -m clarifai_magic.audit``.

Live keys are found wherever they stand. Other keys are told by their surroundings, for
notebooks are full of 32 hexadecimal digits that are no keys: widget ids, hashes, cell ids.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_magic.errors import SourceError
from clarifai_magic.keys import SECRETS_PAGE
from clarifai_magic.live import live
from clarifai_magic.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HEX = r"(?P<key>[0-9a-f]{32})(?![0-9a-zA-Z])"
_NAME = (
    r"(?:CLARIFAI_)?(?:PAT|API_?KEY|ACCESS_?TOKEN)|(?:clarifai_)?(?:pat|api_?key|access_?token)"
    r"|personal_access_token|KEY"
)
_ASSIGNED = re.compile(rf"(?<![\w-])(?P<name>{_NAME})\\?[\"']?\]?\s*[:=]\s*\\?[\"']?{_HEX}")
_HEADER = re.compile(rf"\b(?P<name>Key)\s+{_HEX}")
_NAMED = re.compile(_NAME)
_KEY = re.compile(r"[0-9a-f]{32}")
_WIDGETS = "application/vnd.jupyter.widget-state+json"


@dataclass(frozen=True)
class Finding:
    """A key in a notebook.

    Parameters
    ----------
    file : str
        The notebook.
    place : str
        Where in it, such as ``"cell 3, source, line 2"``.
    reason : str
        What it was told by.
    in_source : bool
        Whether it is in what somebody wrote, which `fix` leaves alone.
    """

    file: str
    place: str
    reason: str
    in_source: bool

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.reason}"


def audit(paths: Iterable[Path], *, fix: bool = False) -> Iterator[Finding]:
    """Look through notebooks.

    Parameters
    ----------
    paths : iterable of Path
        Notebooks, or folders that are searched for ``*.ipynb``.
    fix : bool
        Whether to mask what is found outside of sources. The notebook as it was is kept beside
        it, readable by its owner alone, with the ending ``.bak``.

    Yields
    ------
    Finding

    Raises
    ------
    SourceError
        If a file cannot be read or is no notebook. Nothing was then changed in it.
    """
    for path in paths:
        files = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        for file in files:
            notebook = _read(file)
            findings = list(_findings(file, notebook))
            yield from findings
            if fix and any(not finding.in_source for finding in findings):
                _write(file, _masked(notebook))


def _read(file: Path) -> dict[str, Any]:
    try:
        notebook = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise SourceError(f"{file} is not UTF-8 text.", "Is it a notebook?") from None
    except json.JSONDecodeError as error:
        words = f"{file} is not JSON (line {error.lineno})."
        raise SourceError(words, "Is it half a file, or with conflict markers of git?") from None
    except RecursionError:
        raise SourceError(f"{file} is nested too deep.", "Is it a notebook?") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise SourceError(f"{file} has no cells.", "Save it anew with a present-day Jupyter.")
    return notebook


def _findings(file: Path, notebook: dict[str, Any]) -> Iterator[Finding]:
    for number, cell in enumerate(notebook["cells"], start=1):
        for part, value in cell.items() if isinstance(cell, dict) else ():
            place = f"cell {number}, {part}"
            for line, reason in _in_value(value, part):
                yield Finding(str(file), f"{place}, line {line}", reason, part == "source")
    for line, reason in _in_value(notebook.get("metadata"), "metadata"):
        yield Finding(str(file), f"metadata, line {line}", reason, in_source=False)


def _in_value(value: Any, name: str) -> Iterator[tuple[int, str]]:
    """Line and reason of each key in a value of JSON, that has this name where it stands."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        value = "".join(value)  # nbformat keeps a text as its lines
    if isinstance(value, str):
        yield from _in_text(value, name)
    elif isinstance(value, list):
        for each in value:
            yield from _in_value(each, name)
    elif isinstance(value, dict):
        hidden = value.get("_model_name") == "PasswordModel"
        for key, each in value.items():
            yield from _in_value(each, "pat" if hidden and key == "value" else key)


def _in_text(text: str, name: str) -> Iterator[tuple[int, str]]:
    for key in _live_keys():
        for match in re.finditer(re.escape(key), text):
            yield _line(text, match), "a key that is signed in with now"
    if _KEY.fullmatch(text) and _NAMED.fullmatch(name):
        yield 1, f"the value of {name}"
    for pattern, words in ((_ASSIGNED, "assigned to {}"), (_HEADER, "an authorisation header")):
        for match in pattern.finditer(text):
            if match["key"] not in _live_keys():
                yield _line(text, match), words.format(match["name"])


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _live_keys() -> list[str]:
    return [str.__str__(session.found.credentials.key) for session in live]


def _masked(notebook: dict[str, Any]) -> dict[str, Any]:
    cells = [
        {part: value if part == "source" else _mask(value, part) for part, value in cell.items()}
        for cell in notebook["cells"]
    ]
    return {**_mask({**notebook, "cells": []}, ""), "cells": cells}


def _mask(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return _mask_text(value, name)
    if isinstance(value, list):
        if value and all(isinstance(each, str) for each in value):
            masked = _mask_text("".join(value), name)
            return value if masked == "".join(value) else masked.splitlines(keepends=True)
        return [_mask(each, name) for each in value]
    if isinstance(value, dict):
        hidden = value.get("_model_name") == "PasswordModel"
        return {
            key: _mask(each, "pat" if hidden and key == "value" else key)
            for key, each in value.items()
        }
    return value


def _mask_text(text: str, name: str) -> str:
    def without_key(match: re.Match[str]) -> str:
        return match[0].replace(match["key"], MASK)

    for key in _live_keys():
        text = text.replace(key, MASK)
    if _KEY.fullmatch(text) and _NAMED.fullmatch(name):
        return MASK
    return _HEADER.sub(without_key, _ASSIGNED.sub(without_key, text))


def _write(file: Path, notebook: dict[str, Any]) -> None:
    """Put a notebook in a file's place in one step, and keep the file as it was beside it."""
    target = file.resolve()
    backup = target.with_name(f"{target.name}.bak")
    _create(backup, target.read_bytes())
    mode = target.stat().st_mode
    # As nbformat writes it, so that the difference is the key alone.
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=False) + "\n"
    _create(target, text.encode(), mode)


def _create(target: Path, content: bytes, mode: int = 0o600) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def report(findings: Iterable[Finding], *, fix: bool, say: Callable[[str], object]) -> int:
    """Say what was found and what to do about it.

    Returns
    -------
    int
        The number of findings.
    """
    count = in_source = 0
    for finding in findings:
        say(str(finding))
        count += 1
        in_source += finding.in_source
    if not count:
        say("No key was found.")
        return 0
    if fix and count > in_source:
        say("Masked outside of sources; the file as it was, key and all, is beside it: .ipynb.bak")
    if in_source:
        say("Sources are left to you: delete the key there and save the notebook.")
    say(f"Who has seen the notebook may have the key: revoke it at {SECRETS_PAGE}.")
    return count


def main() -> int:
    """Read the command line: exit code 1 if a key was found, 2 if a file could not be read."""
    parser = argparse.ArgumentParser(prog="clarifai_magic.audit", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks or folders")
    parser.add_argument("--fix", action="store_true", help="mask keys outside of sources")
    arguments = parser.parse_args()
    try:
        found = report(audit(arguments.paths, fix=arguments.fix), fix=arguments.fix, say=print)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
