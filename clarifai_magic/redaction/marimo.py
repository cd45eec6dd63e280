"""Layers in front of what a marimo notebook's kernel sends, serves and logs.

Everything that a page, an export or the session cache has of a run comes as one of the kernel's
notifications, but for what is too large or binary: files, which the server serves from memory.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import operator
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from clarifai_magic.concurrency import Lock
from clarifai_magic.redaction.guard import Guard, OfProcess
from clarifai_magic.redaction.layers import NOTICE, Layer, OfEach, withheld
from clarifai_magic.redaction.masking import Continuation
from clarifai_magic.redaction.places import Place, of_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.redaction.masking import Masker

# In a text of JSON the quotes would be escaped.
_CONSOLE, _BUFFERS = b'"console":{', b'"buffers":["'


@cache
def guard() -> Guard:
    """The guard of this process's notebooks: that of an app serves each of its viewers."""
    guard = Guard(OfProcess(_places), wanted=lambda: True)
    guard.start()
    return guard


def _places() -> Iterator[Place]:
    from marimo._messaging.streams import ThreadSafeStream
    from marimo._runtime.virtual_file.storage import InMemoryStorage, SharedMemoryStorage

    yield Place(ThreadSafeStream, "write", Notifications)
    for storage in (InMemoryStorage, SharedMemoryStorage):
        yield Place(storage, "store", Served)
    for handler in logging.getLogger("marimo").handlers:
        yield Place(handler, "format", Logged)
    yield from of_streams()


class Notifications(OfEach):
    """In front of the method that sends a kernel's notifications, each a document of JSON."""

    def __init__(self, owner: Any, original: Callable[..., Any], masker: Masker) -> None:
        super().__init__(owner, original, masker)
        self._consoles: WeakKeyDictionary[Any, dict[Any, Continuation]] = WeakKeyDictionary()
        # What is remembered of a console is what is read in it, in that order.
        self._sending = Lock()

    def __call__(self, stream: Any, data: bytes) -> None:
        """Send a notification."""
        masker = self.masker
        if masker is None:
            self.original(stream, data)
            return
        with self._sending:
            mask = partial(self._masked, masker, stream)
            self.original(stream, self.masked(mask, data, self._withheld))

    def _masked(self, masker: Masker, stream: Any, data: bytes) -> bytes:
        if _CONSOLE in data:
            data = self._continued(masker, stream, data)
        if _BUFFERS in data:
            data = _with_buffers(masker, data)
        return masker.json(data)

    def _continued(self, masker: Masker, stream: Any, data: bytes) -> bytes:
        """A notification in whose console no key goes on that one before has begun."""
        message = json.loads(data)
        console = message.get("console")
        if not isinstance(console, dict) or not isinstance(console.get("data"), str):
            return data
        # A thread shares the pipe of the notebook that it belongs to. A console is read by
        # itself, and with those of other cells.
        consoles = self._consoles.setdefault(stream.pipe, {})
        text, channel = console["data"], console["channel"]
        for name in ((message["cell_id"], channel), channel):
            text = consoles.setdefault(name, Continuation()).start(masker, text)
        if text is console["data"]:
            return data
        return json.dumps({**message, "console": {**console, "data": text}}).encode()

    def _withheld(self, data: bytes) -> bytes:
        if self.masker is not None:
            with contextlib.suppress(Exception):
                return self.masker.whole(data)
        message = json.loads(data)
        # What says which notification it is, and which cell's.
        kept = {name: message[name] for name in ("op", "cell_id") if name in message}
        return json.dumps({**withheld(message), **kept}).encode()


def _with_buffers(masker: Masker, data: bytes) -> bytes:
    """A widget's notification with its binary data masked, which is in base64 and stays so."""
    message = json.loads(data)
    content = message.get("message")
    if not isinstance(content, dict) or not isinstance(content.get("buffers"), list):
        return data
    before = [*map(base64.b64decode, content["buffers"])]
    after = [*map(masker.binary, before)]
    if all(map(operator.is_, before, after)):
        return data
    buffers = [base64.b64encode(each).decode() for each in after]
    return json.dumps({**message, "message": {**content, "buffers": buffers}}).encode()


class Served(OfEach):
    """In front of the method that keeps a file, which a page asks for by name and size."""

    def __call__(self, storage: Any, key: str, buffer: Any) -> None:
        """Keep it."""
        if self.masker is not None:
            mask, data = self.masker.binary, bytes(buffer)
            buffer = self.masked(mask, data, lambda data: bytes(len(data)))
        self.original(storage, key, buffer)


class Logged(Layer):
    """In front of the method that makes a line of a log's record."""

    def __call__(self, record: logging.LogRecord) -> str:
        """The line."""
        line: str = self.original(record)
        if self.masker is None:
            return line
        return str(self.masked(self.masker.text, line, lambda _line: NOTICE))
