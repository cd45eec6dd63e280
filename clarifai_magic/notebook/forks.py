"""Processes forked from this one, which have everything that it had."""

from __future__ import annotations

import sys
from pathlib import Path

_PROC = "/proc"


def forked() -> set[int]:
    """The IDs of living ones that have not executed another program since.

    If the system does not list processes (Linux does), only those of `multiprocessing`.
    """
    return _of_multiprocessing() | _listed("self", _command("self"))


def _of_multiprocessing() -> set[int]:
    module = sys.modules.get("multiprocessing")
    children = module.active_children() if module else []
    forks = [each for each in children if getattr(each, "_start_method", "") == "fork"]
    return {each.pid for each in forks if each.pid is not None}


def _listed(parent: str, command: bytes) -> set[int]:
    found = set()
    for task in _tasks(parent):
        for child in _read(f"{parent}/task/{task}/children").decode().split():
            if _command(child) == command:
                found.add(int(child))
            found |= _listed(child, command)
    return found


def _command(process: str) -> bytes:
    return _read(f"{process}/cmdline")


def _tasks(process: str) -> list[str]:
    try:
        return [each.name for each in Path(_PROC, process, "task").iterdir()]
    except OSError:
        return []


def _read(name: str) -> bytes:
    try:
        return Path(_PROC, name).read_bytes()
    except OSError:
        return b""  # it has ended, or belongs to another user
