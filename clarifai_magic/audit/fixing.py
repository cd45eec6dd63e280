"""Removes keys from files: masks them in outputs and text, or reads them from the environment.

The rest of a file stays byte for byte; the file is replaced atomically, or not at all.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import re
import tempfile
import uuid
from difflib import SequenceMatcher
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_magic.audit.auditing import WHOLE
from clarifai_magic.audit.code import SHELL_LINE
from clarifai_magic.audit.findings import Finding, Problem
from clarifai_magic.audit.notebooks import as_notebook, sources_of
from clarifai_magic.audit.reading import PYTHON, Reader, wide
from clarifai_magic.audit.tokens import coded_texts
from clarifai_magic.credentials.secret import MASK
from clarifai_magic.programs.claims import Edit, Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BOM = b"\xef\xbb\xbf"
_VARIABLE = "CLARIFAI_PAT"
# A lone surrogate is not valid Python, so an unassigned character replaces it.
_UNPAIRED = {code: code + 0x102000 for code in range(0xD800, 0xE000)}
_PAIRED = {new: code for code, new in _UNPAIRED.items()}


def fix(file: Path, keys: Collection[str], *, sources: bool, backup: Path | None) -> Problem | None:
    """Remove keys from a file.

    Parameters
    ----------
    file : Path
    keys : collection of str
    sources : bool
        Whether to change programs too.
    backup : Path, optional
        A folder for the original file, which gets a free name there.

    Returns
    -------
    Problem or None
        Why the file was not changed, or what remains in it.
    """
    target = file.resolve()
    try:
        if target.stat().st_size > WHOLE:
            return Problem(str(file), "not changed: it is too large")
        data = target.read_bytes()
        fixed = _fixed(file.suffix.lower(), data, keys, sources=sources)
        if fixed != data:
            if backup is not None:
                _keep(backup, target.name, data)
            _write(target, fixed)
        found = [each for each in Reader().read(file.name, fixed) if isinstance(each, Finding)]
        left = [each for each in found if sources or not each.is_program]
        if not set(keys).isdisjoint(str.__str__(each.key) for each in left):
            return Problem(str(file), "it still has a key that cannot be masked")
    except OSError as error:
        return Problem(str(file), f"not changed: {error.strerror}")
    except ValueError as error:
        return Problem(str(file), f"not changed: {error}")
    return None


def _fixed(suffix: str, data: bytes, keys: Collection[str], *, sources: bool) -> bytes:
    if suffix in PYTHON:
        return _program(data, keys) if sources else data
    if suffix == ".ipynb":
        return _notebook(data, keys, sources=sources)
    mark, encoding = wide(data) or (b"", "latin-1")
    cut = (len(data) - len(mark)) % len(mark) if mark else 0  # half a character at the end
    end = len(data) - cut
    text = data[len(mark) : end].decode(encoding, "surrogatepass")
    return mark + masked(text, keys).encode(encoding, "surrogatepass") + data[end:]


def masked(text: str, keys: Collection[str]) -> str:
    """A text with a mask for each key, including in its base64."""
    for key in keys:
        text = text.replace(key, MASK)
    for coded in reversed(list(coded_texts(text))):
        plain = masked(coded.text, keys)
        if plain != coded.text:
            new = base64.b64encode(plain.encode("latin-1")).decode()
            text = text[: coded.start] + new + text[coded.end :]
    return text


def _program(data: bytes, keys: Collection[str]) -> bytes:
    mark = _BOM if data.startswith(_BOM) else b""
    try:
        text = data.removeprefix(mark).decode()
    except UnicodeDecodeError:
        return masked(data.decode("latin-1"), keys).encode("latin-1")
    return mark + with_look_ups(text, keys).encode()


def _notebook(data: bytes, keys: Collection[str], *, sources: bool) -> bytes:
    as_notebook(data)  # what is none is left as it is
    text = data.decode("latin-1")  # one character a byte
    parts, at = [], 0
    for start, end in sources_of(text):
        parts.append(masked(text[at:start], keys))
        raw = text[start:end]
        parts.append(_source(raw, keys) if sources else raw)
        at = end
    return "".join([*parts, masked(text[at:], keys)]).encode("latin-1")


def _source(raw: str, keys: Collection[str]) -> str:
    """A cell's source as JSON, with only the changed lines rewritten."""
    value = json.loads(raw.encode("latin-1"))
    lines = value if isinstance(value, list) else [value]
    if not all(isinstance(line, str) for line in lines):
        return masked(raw, keys)
    before = "".join(lines)
    after = with_look_ups(before, keys)
    if after == before:
        return raw
    if isinstance(value, str):
        return _dumped(after, raw)
    written = list(re.finditer(_STRING, raw))
    between = raw[written[0].end() : written[1].start()] if len(written) > 1 else ", "
    new = after.splitlines(keepends=True)
    made: list[str] = []
    for kind, start, end, first, last in SequenceMatcher(None, lines, new, False).get_opcodes():
        same = [each[0] for each in written[start:end]]
        made += same if kind == "equal" else [_dumped(line, raw) for line in new[first:last]]
    return raw[: written[0].start()] + between.join(made) + raw[written[-1].end() :]


_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'


def _dumped(line: str, raw: str) -> str:
    """A line as JSON, escaped like the rest."""
    try:
        return json.dumps(line, ensure_ascii=raw.isascii()).encode().decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(line)


def with_look_ups(code: str, keys: Collection[str]) -> str:
    """A program that reads its key from the environment, or masks it if that is impossible."""
    mark = uuid.uuid4().hex
    shell: list[str] = []

    def hidden(match: re.Match[str]) -> str:
        shell.append(match[0])
        indent = match[0][: len(match[0]) - len(match[0].lstrip())]
        return f"{indent}pass  # {mark} {len(shell) - 1};"

    program = SHELL_LINE.sub(hidden, code)
    shown = _looked_up(program.translate(_UNPAIRED), keys).translate(_PAIRED)
    restored = re.sub(rf"[ \t]*pass  # {mark} (\d+);", lambda each: shell[int(each[1])], shown)
    return masked(restored, keys)


def _looked_up(program: str, keys: Collection[str]) -> str:
    import libcst

    from clarifai_magic.programs.show import shown

    try:
        tree = ast.parse(program)
        return shown(program, tree, list(_edits(tree, keys)), {}, _VARIABLE)
    except (SyntaxError, ValueError, RecursionError, libcst.ParserSyntaxError):
        return program


def _edits(tree: ast.Module, keys: Collection[str]) -> Iterator[Edit]:
    pattern = re.compile("|".join(map(re.escape, keys)))
    bare = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text: Any = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(node, ast.Constant) or not isinstance(text, str) or node in bare:
            continue
        found = pattern.findall(text)
        if found:
            texts = pattern.split(text)
            parts = [part for each in texts for part in (each, Value.KEY)][:-1]
            yield Edit(node, tuple(each for each in parts if each), "", node.lineno, tuple(found))


def _keep(folder: Path, name: str, data: bytes) -> None:
    """Write a file that only its owner can read, under a free name."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count():
        with contextlib.suppress(FileExistsError):
            path = folder / (f"{name}.{number}" if number else name)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            return


def _write(target: Path, data: bytes) -> None:
    mode = target.stat().st_mode
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".clarifai-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
