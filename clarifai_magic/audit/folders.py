"""The files that an audit searches: those that git does not ignore, or all."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clarifai_magic.audit.findings import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

# A repository's own settings may make git start programs.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
_LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")


def files(path: Path, *, everything: bool) -> Iterator[Path | Problem]:
    """The files of a folder, in order; a file yields itself.

    Parameters
    ----------
    path : Path
    everything : bool
        Whether to also include what .gitignore names.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        yield Problem(str(path), f"it cannot be read: {error.strerror}")
        return
    if not is_folder:
        yield path
    elif everything or (names := _not_ignored(path)) is None:
        yield from _all(path)
    else:
        for name in names:
            file = path / name
            if file.is_dir() and not file.is_symlink():  # a nested repository
                yield from files(file, everything=False)
            elif not _leads_to_folder(file) and os.path.lexists(file):
                yield file


def _all(folder: Path) -> Iterator[Path | Problem]:
    failed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=failed.append):
        folders[:] = sorted(each for each in folders if each != ".git")
        yield from (Path(parent, name) for name in sorted(names))
        while failed:
            error = failed.pop()
            yield Problem(str(error.filename), f"it cannot be read: {error.strerror}")


def _not_ignored(folder: Path) -> list[str] | None:
    """The files of a folder that git tracks or would add; None without git."""
    try:
        listed = _git(folder, *GIT, *_LIST)
        if listed is None:
            with tempfile.TemporaryDirectory() as empty:  # a folder outside any repository
                _git(folder, *GIT, "init", "--quiet", "--bare", empty)
                places = (f"--git-dir={empty}", f"--work-tree={folder.resolve()}")
                listed = _git(folder, *GIT, *places, *_LIST)
    except FileNotFoundError:
        return None
    return None if listed is None else sorted({*filter(None, listed.split("\0"))})


def environment() -> dict[str, str]:
    """The environment for git, without variables that name another repository, as in a hook."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _git(folder: Path, *words: str) -> str | None:
    done = subprocess.run(  # noqa: S603
        words, cwd=folder, env=environment(), capture_output=True, check=False
    )
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def _leads_to_folder(file: Path) -> bool:
    return file.is_symlink() and file.is_dir()
