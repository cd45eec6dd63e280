"""Files by type: notebooks cell by cell, programs, pages and any other text."""

from __future__ import annotations

import base64
import binascii
import codecs
import contextlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from clarifai_magic.audit.code import as_program, follow, shown_programs
from clarifai_magic.audit.findings import CODE, SOURCE, TEXT, Finding, Problem
from clarifai_magic.audit.notebooks import as_notebook
from clarifai_magic.audit.searching import search
from clarifai_magic.audit.tokens import may_hold_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from clarifai_magic.audit.code import Followed
    from clarifai_magic.audit.notebooks import Notebook

PYTHON = {".py", ".pyw", ".pyi"}
_SHORTEST = 16  # characters of a text with a key in it: a part of one in base64 has more
_LONGEST_ALONE = 80  # characters of a file that is nothing but a key
_UTF_8 = {".ipynb", ".json", ".py", ".toml"}  # their encoding, by definition


class Reader:
    """Finds keys in the bytes of files.

    Parameters
    ----------
    known : collection of str
        Keys to find anywhere.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = known
        self._known_bytes = [key.encode() for key in known]
        self._shortest = min([_SHORTEST, *map(len, known)])

    def read(self, name: str, data: bytes) -> Iterator[Finding | Problem]:
        """Find the keys in a file; report what is wrong with it, and search it anyway.

        Parameters
        ----------
        name : str
            Its extension gives the type.
        data : bytes
        """
        suffix = PurePath(name).suffix.lower()
        notebook = None
        if suffix == ".ipynb":
            try:
                notebook = as_notebook(data)
            except ValueError as error:
                yield Problem(name, f"{error}; it was searched as text")
            if notebook is not None and notebook.odd:
                yield Problem(name, f"{notebook.odd}; not every program will open it")
        coded = wide(data) is not None or (notebook is not None and b'"attachments"' in data)
        if not coded and not may_hold_key(data, self._known_bytes):
            return
        if notebook is not None:
            found = self._notebook(name, notebook)
        else:
            text, is_odd = decoded(data)
            if is_odd and suffix in _UTF_8 - {".ipynb"}:
                yield Problem(name, "it is not UTF-8; the audit searched it as Latin-1")
            found = self._text(text, suffix, PurePath(name).name)
        for each in found:
            yield each.of(name) if isinstance(each, Finding) else each

    def as_text(self, data: bytes, line: int) -> Iterator[Finding]:
        """Find the keys in a part of a file that is too large to read at once."""
        if may_hold_key(data, self._known_bytes):
            for found in search(decoded(data)[0], follow(()), self._known):
                yield found.at(TEXT, line=line + found.line - 1)

    def _text(self, text: str, suffix: str, name: str) -> Iterator[Finding]:
        programs = [text] if suffix in PYTHON else shown_programs(text)
        kind = CODE if suffix in PYTHON else TEXT
        beside = name if len(text) < _LONGEST_ALONE else ""
        for found in search(text, follow(programs), self._known, beside):
            yield found.at(kind)

    def _notebook(self, name: str, notebook: Notebook) -> Iterator[Finding | Problem]:
        cells = notebook.cells
        program = as_program(_source(each) for each in cells if _is_code(each))
        followed = follow([program])
        for number, cell in enumerate(cells, start=1):
            if not isinstance(cell, dict):
                yield Problem(name, f"cell {number} is not a cell")
                continue
            for part, value in sorted(cell.items(), key=_source_first):
                if not _has_text(value, self._shortest):
                    continue
                for kind, text, beside in _texts(part, value, cell):
                    inner = followed if part == SOURCE else _with(followed, text)
                    for found in search(text, inner, self._known, beside):
                        yield found.at(kind, number)
        for found in search(_as_text(notebook.rest), followed, self._known):
            yield found.at("metadata")
        for title, value in notebook.hidden:
            text = _joined(value) if _is_lines(value) else _as_text({title: value})
            for found in search(text, _with(followed, text), self._known, title):
                yield found.at("hidden")


_WIDE = {  # UTF-16's mark is the beginning of one of UTF-32's
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def wide(data: bytes) -> tuple[bytes, str] | None:
    """The mark and the encoding of a text of more than one byte a character."""
    return next((each for each in _WIDE.items() if data.startswith(each[0])), None)


def decoded(data: bytes) -> tuple[str, bool]:
    """A file's text, and whether it is in no Unicode encoding."""
    if marked := wide(data):
        mark, encoding = marked
        return data[len(mark) :].decode(encoding, "replace"), False
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("latin-1"), True


def _is_code(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") == "code"


def _source(cell: dict[str, Any]) -> str:
    return _joined(cell.get("source", ""))


def _source_first(item: tuple[str, Any]) -> bool:
    return item[0] != SOURCE


def _joined(value: Any) -> str:
    """A text, which nbformat may store as lines."""
    lines = value if isinstance(value, list) else [value]
    return "".join(each for each in lines if isinstance(each, str))


def _texts(part: str, value: Any, cell: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The texts of a part of a cell: kind of place, text, and its origin."""
    if part == SOURCE:
        yield SOURCE if _is_code(cell) else TEXT, _joined(value), ""
    elif part == "outputs":
        last = _source(cell).rstrip().rpartition("\n")[2]
        for output in value if isinstance(value, list) else [value]:
            for text in _shown(output):
                yield "output", text, last
    elif part == "attachments":
        yield "attachment", _attached(value), ""
    else:
        yield "metadata", _as_text({part: value}), ""


def _attached(value: Any) -> str:
    """Attachments, each text decoded."""
    files = value.values() if isinstance(value, dict) else [value]
    bundles = [each if isinstance(each, dict) else {"": each} for each in files]
    texts = []
    for kind, content in (item for bundle in bundles for item in bundle.items()):
        text = _as_text(content)
        if kind.startswith("text/"):
            with contextlib.suppress(binascii.Error, TypeError, ValueError):
                text = decoded(base64.b64decode(content))[0]
        texts.append(text)
    return "\n".join(texts)


def _shown(output: Any) -> Iterable[str]:
    """The texts of an output, by kind."""
    if not isinstance(output, dict):
        return [_as_text(output)]
    data = output.get("data")
    bundle = data if isinstance(data, dict) else {}
    found = [_joined(output[name]) for name in ("text", "evalue") if name in output]
    if isinstance(output.get("traceback"), list):
        found.append("\n".join(map(str, output["traceback"])))
    found += [
        _joined(each) if isinstance(each, str) or _is_lines(each) else _as_text(each)
        for each in bundle.values()
    ]
    used = {"text", "evalue", "traceback", *(["data"] if bundle else [])}
    rest = {key: each for key, each in output.items() if key not in used}
    return [*found, _as_text(rest)] if _has_text([*rest.values()], _SHORTEST) else found


def _has_text(value: Any, length: int) -> bool:
    """Whether there is a text of some length in it, in parts or whole."""
    if isinstance(value, str):
        return len(value) >= length
    if isinstance(value, dict):
        return any(len(key) >= length or _has_text(value[key], length) for key in value)
    if isinstance(value, list):
        lengths = [len(each) for each in value if isinstance(each, str)]
        return sum(lengths) >= length or any(
            _has_text(each, length) for each in value if not isinstance(each, str)
        )
    return False


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _as_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _with(followed: Followed, text: str) -> Followed:
    """What is known about the notebook's program, and about one that an output or a page shows."""
    if not may_hold_key(text.encode("utf-8", "replace")):
        return followed
    own = follow(shown_programs(text))
    return own._replace(keys={**followed.keys, **own.keys}, ids=followed.ids | own.ids)
