"""The files and messages of a repository's history, each once, and the commit that added one."""

from __future__ import annotations

import subprocess
from typing import IO, TYPE_CHECKING, NamedTuple

from clarifai_magic.audit.findings import Problem
from clarifai_magic.audit.folders import GIT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Blob(NamedTuple):
    """A version of a file, or a message.

    Parameters
    ----------
    name : str
        One of its names; of a commit, what it is.
    data : bytes
    object_id : str
    """

    name: str
    data: bytes
    object_id: str


def blobs(repository: Path, most: int) -> Iterator[Blob | Problem]:
    """All files and messages of all branches, tags, stashes and the reflog.

    Parameters
    ----------
    repository : Path
        A folder in the repository.
    most : int
        Bytes of the largest file to read; larger ones are reported.
    """
    listed = _git(repository, "rev-list", "--objects", "--all", "--reflog")
    if listed is None:
        yield Problem(str(repository), "git has no history here that it can read")
        return
    named = (line.partition(" ")[::2] for line in listed.splitlines())
    names = {object_id: name or "a commit's message" for object_id, name in named}
    with subprocess.Popen(  # noqa: S603
        [*GIT, "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)"],
        cwd=repository,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as checking:
        described = checking.communicate("\n".join(names).encode())[0].decode().splitlines()
    wanted = []
    for line in described:
        object_id, kind, *size = line.split()
        if kind != "tree" and int(size[0]) > most:
            yield Problem(names[object_id], "a version of it in git is too large to search")
        elif kind != "tree":
            wanted.append(object_id)
    yield from _contents(repository, wanted, names)


def first_commit(repository: Path, object_id: str) -> str:
    """The earliest commit with a file, or itself; empty if no remaining commit has it."""
    if _git(repository, "cat-file", "-t", object_id) == "commit\n":
        return object_id
    wanted = f"--find-object={object_id}"
    found = _git(repository, "log", "--all", "--reflog", "--format=%H", wanted)
    return found.split()[-1] if found and found.split() else ""


def _contents(repository: Path, wanted: list[str], names: dict[str, str]) -> Iterator[Blob]:
    with subprocess.Popen(  # noqa: S603
        [*GIT, "cat-file", "--batch"],
        cwd=repository,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reading:
        asked: IO[bytes] = reading.stdin  # type: ignore[assignment]
        answered: IO[bytes] = reading.stdout  # type: ignore[assignment]
        for object_id in wanted:
            asked.write(f"{object_id}\n".encode())
            asked.flush()
            size = int(answered.readline().split()[2])
            data = answered.read(size)
            answered.read(1)
            yield Blob(names[object_id], data, object_id)


def _git(repository: Path, *words: str) -> str | None:
    command = [*GIT, "-c", "core.quotePath=false", *words]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=repository, env=environment(), capture_output=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
