"""Sockets that a forked child closes at once: it would hold ports and connections open."""

from __future__ import annotations

import asyncio
import os
import weakref

_Holder = asyncio.AbstractServer | asyncio.StreamWriter

_private: weakref.WeakSet[_Holder] = weakref.WeakSet()


def keep_from_children(holder: _Holder) -> None:
    """Make the sockets of a server, or of a connection, this process's own."""
    _private.add(holder)


def _descriptors(holder: _Holder) -> list[int]:
    if isinstance(holder, asyncio.StreamWriter):
        sockets = [holder.get_extra_info("socket")]
    else:
        sockets = list(getattr(holder, "sockets", ()))
    return [each.fileno() for each in sockets]


def _give_back() -> None:
    """In a forked child: replace every socket with /dev/null.

    The socket objects stay, and close their file number at their end; a freed number might by
    then belong to another file.
    """
    held = [each for holder in list(_private) for each in _descriptors(holder) if each >= 0]
    _private.clear()
    if held:
        nothing = os.open(os.devnull, os.O_RDWR)
        for each in held:
            os.dup2(nothing, each, inheritable=False)
        os.close(nothing)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_give_back)
