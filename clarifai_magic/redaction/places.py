"""The places where output passes, and the layer for each while the guard is active."""

from __future__ import annotations

import builtins
import contextlib
import gc
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from clarifai_magic.redaction import layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.redaction.masking import Masker

_MARK = "\x7f"  # terminals and logs, to which the thread copies it, show nothing for it
_PATIENCE = 1.0  # seconds for a thread that is late


class Place:
    """A method with a layer in front of it while there is a masker.

    If other code has wrapped the layer since, it stays in that chain and changes nothing.

    Parameters
    ----------
    owner : object
        Whose method it is.
    name : str
        The method's name.
    layer : type of Layer
        The layer's class.

    Attributes
    ----------
    identity : tuple
        Equal for the same method of the same owner.
    """

    def __init__(self, owner: Any, name: str, layer: type[layers.Layer]) -> None:
        self.identity = (id(owner), name)
        self._owner = owner
        self._name = name
        self._make = layer
        self._layer: layers.Layer | None = None
        self._was_its_own = name in vars(owner)

    def mask_with(self, masker: Masker | None) -> None:
        """Mask with `masker` from now on; with None, restore the method."""
        present = getattr(self._owner, self._name)
        if self._layer is not None:
            self._layer.masker = masker
        elif masker is not None:
            self._layer = self._make(self._owner, present, masker)
            setattr(self._owner, self._name, self._layer)
        if self._layer is not None and masker is None:
            if present is self._layer:
                self._put_back(self._layer.original)
            self._layer = None

    def _put_back(self, original: Any) -> None:
        if self._was_its_own:
            setattr(self._owner, self._name, original)
        else:
            delattr(self._owner, self._name)


def of_kernel(kernel: Any) -> Iterator[Place]:
    """The methods that make and send all messages of a kernel."""
    yield Place(kernel.session, "serialize", layers.Frames)
    yield Place(kernel.session, "send", layers.Buffers)


def flush_streams(kernel: Any) -> None:
    """Have sent what was written to a kernel's streams, whatever is in their place just now."""
    for stream in _streams(kernel):
        with contextlib.suppress(Exception):
            _await_programs(stream)
            stream.flush()


def _streams(kernel: Any) -> list[Any]:
    if hasattr(kernel, "_stdout"):
        return [kernel._stdout, kernel._stderr]  # noqa: SLF001 - not public
    from ipykernel.iostream import OutStream

    # An earlier kernel keeps them nowhere.
    return [each for each in gc.get_objects() if issubclass(type(each), OutStream)]


def _await_programs(stream: Any) -> None:
    """Wait for what was written to a stream's file descriptor, which a thread reads from a pipe.

    A mark comes after all of it. The stream's method leaves the mark out.
    """
    reader = getattr(stream, "watch_fd_thread", None)
    if reader is None or not reader.is_alive():  # as in a forked child
        return
    write, came, was_its_own = stream.write, threading.Event(), "write" in vars(stream)

    def write_all_but_the_mark(text: str) -> Any:
        before, mark, behind = text.rpartition(_MARK)
        written = write(before + behind)
        if mark:
            came.set()
        return written

    stream.write = write_all_but_the_mark
    try:
        os.write(1 if stream.name == "stdout" else 2, _MARK.encode())
        came.wait(_PATIENCE)
    finally:
        if vars(stream).get("write") is write_all_but_the_mark:
            del stream.write
            if was_its_own:
                stream.write = write


def of_streams() -> Iterator[Place]:
    """What writes to the standard streams, once each."""
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    written = [getattr(stream, "buffer", stream) for stream in streams if stream is not None]
    for stream in {id(each): each for each in written}.values():
        yield Place(stream, "write", layers.Written)


def of_terminal() -> Iterator[Place]:
    """The methods that write to the standard streams, and what shows text in other ways."""
    from IPython.core import page

    yield from of_streams()
    yield Place(page, "pager_page", layers.Paged)
    if _is_terminal(sys.stdin, sys.__stdin__) and _is_terminal(sys.stdout, sys.__stdout__):
        import getpass
        import pydoc

        yield Place(builtins, "input", layers.Asked)
        yield Place(getpass, "getpass", layers.Asked)
        yield Place(pydoc, "pager", layers.Helped)


def _is_terminal(*streams: Any) -> bool:
    """Whether one of a stream's values, now and when the process began, is a terminal."""
    return any(map(_isatty, streams))


def _isatty(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def of_history(shell: Any) -> Iterator[Place]:
    """The methods of IPython's shell that write and read its log and history."""
    manager = getattr(shell, "history_manager", None)
    if manager is not None:
        yield Place(shell.logger, "log_write", layers.Logged)
        yield Place(manager, "store_output", layers.Stored)
        for name in ("get_range", "get_tail", "search"):
            yield Place(manager, name, layers.Remembered)
