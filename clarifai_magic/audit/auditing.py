"""An audit: all files of some paths, or of their history, in order."""

from __future__ import annotations

import stat
import time
from codecs import EncodedFile
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.audit.findings import Finding, Problem
from clarifai_magic.audit.folders import files
from clarifai_magic.audit.history import Blob, blobs, first_commit
from clarifai_magic.audit.reading import Reader, wide
from clarifai_magic.client.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WHOLE = 64 * 2**20
"""Bytes of the largest file that is read as its type; a larger one is read as text, in blocks."""

MOST = 2**30
"""The most bytes of a file to read."""

SECONDS = 900
"""The seconds that an audit may take."""

_BLOCK = 8 * 2**20
_OVERLAP = 1 << 12
_HEAD = 1 << 13
_TEXTS = {".env", ".ipynb", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}


class Scope(NamedTuple):
    """What to search.

    Parameters
    ----------
    paths : tuple of Path
    everything : bool
        Whether to also search what .gitignore names.
    history : bool
        Whether to search git's history of the paths instead.
    """

    paths: tuple[Path, ...]
    everything: bool = False
    history: bool = False


def audit(scope: Scope) -> Iterator[Finding | Problem]:
    """Search for keys; report what cannot be read, and continue.

    Parameters
    ----------
    scope : Scope

    Yields
    ------
    Finding or Problem
        Each key once per line.
    """
    reader = Reader(sorted(map(str.__str__, registry.secrets())))
    end = time.monotonic() + SECONDS
    look = _history if scope.history else _present
    for path in scope.paths:
        for each in look(reader, path, scope):
            yield from _once(each)
            if time.monotonic() > end:
                yield Problem(
                    str(path),
                    f"the audit stopped after {SECONDS // 60} minutes; it did not search the rest",
                )
                return


def _present(reader: Reader, path: Path, scope: Scope) -> Iterator[list[Finding | Problem]]:
    for file in files(path, everything=scope.everything):
        yield [file] if isinstance(file, Problem) else _of_file(reader, file, named=file == path)


def _of_file(reader: Reader, file: Path, *, named: bool) -> list[Finding | Problem]:
    name = str(file)
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            return [Problem(name, "it is not a file")]
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
            if is_binary(name, head) and not named:
                return []
            if about.st_size > WHOLE:
                opened.seek(0)
                mark = wide(head)
                stream = EncodedFile(opened, "utf-8", mark[1], "replace") if mark else opened
                return list(_in_blocks(reader, name, stream, about.st_size))
            return list(reader.read(name, head + opened.read()))
    except OSError as error:
        return [Problem(name, f"it cannot be read: {error.strerror}")]


def is_binary(name: str, head: bytes) -> bool:
    """Whether a file that begins so is not text; a file with a text name is searched as text."""
    path = PurePath(name)
    is_odd = b"\0" in head and not wide(head)
    return is_odd and (path.suffix or path.name).lower() not in _TEXTS


def _in_blocks(
    reader: Reader, name: str, opened: Iterable[bytes], size: int
) -> Iterator[Finding | Problem]:
    yield Problem(name, f"it has {size / 1e6:,.0f} MB; the audit searched it as text, in blocks")
    line, before, done = 1, b"", 0
    while (block := opened.read(_BLOCK)) and done < MOST:  # type: ignore[attr-defined]
        for each in reader.as_text(before + block, line):
            yield each.of(name)
        done += len(block)
        line += (before + block)[:-_OVERLAP].count(b"\n")
        before = (before + block)[-_OVERLAP:]
    if block:
        yield Problem(name, f"what is behind {MOST / 1e6:,.0f} MB was not searched")


def _history(reader: Reader, path: Path, _scope: Scope) -> Iterator[list[Finding | Problem]]:
    folder = path if path.is_dir() else path.parent
    for blob in blobs(folder, WHOLE):
        if isinstance(blob, Problem):
            yield [blob]
        elif not is_binary(blob.name, blob.data[:_HEAD]):
            yield list(_of_blob(reader, folder, blob))


def _of_blob(reader: Reader, folder: Path, blob: Blob) -> Iterator[Finding | Problem]:
    found = list(reader.read(blob.name, blob.data))
    commit = first_commit(folder, blob.object_id) if found else ""
    for each in found:
        if isinstance(each, Finding):
            yield each.of(each.file, commit)
        else:
            yield Problem(f"{each.file} in {commit[:12] or 'git'}", each.reason)


def _once(found: list[Finding | Problem]) -> Iterator[Finding | Problem]:
    """Without repeats of a key on the same line."""
    seen = set()
    for each in found:
        place = (each.fingerprint, each.place) if isinstance(each, Finding) else each
        if place not in seen:
            seen.add(place)
            yield each
