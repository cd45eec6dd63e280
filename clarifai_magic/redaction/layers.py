"""Layers in front of what sends, writes and remembers output: each masks on the way through."""

from __future__ import annotations

import contextlib
import warnings
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from clarifai_magic.concurrency import Lock
from clarifai_magic.errors import ClarifaiAuthWarning
from clarifai_magic.redaction.history import drop_outputs, mask_outputs
from clarifai_magic.redaction.masking import REACH, Continuation
from clarifai_magic.redaction.spelling import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.redaction.masking import Masker

NOTICE = "[withheld: the guard could not search this for keys]"
_CONTENTS = 4  # frames of a message: header, parent's header, metadata, content


class Layer:
    """Replaces a method.

    Parameters
    ----------
    owner : object
        Whose method it is.
    original : callable
        The replaced method.
    masker : Masker
        The masker; None once the layer must change nothing.
    """

    def __init__(self, owner: Any, original: Callable[..., Any], masker: Masker) -> None:
        self.owner = owner
        self.original = original
        self.masker: Masker | None = masker
        self._complained = False

    def masked(self, mask: Callable[[Any], Any], what: Any, otherwise: Callable[[Any], Any]) -> Any:
        """The text to show: masked or, if that fails, less of it; never the original."""
        try:
            return mask(what)
        except Exception as error:  # noqa: BLE001 - whatever it is, no key must get out
            self._complain(error)
            return otherwise(what)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            warnings.warn(
                f"The guard failed ({type(error).__name__}): output may be withheld.",
                ClarifaiAuthWarning,
                stacklevel=2,
            )


class OfEach(Layer):
    """Stands in place of a method of a class: is called with the object first."""

    def __get__(self, instance: Any, _owner: type | None = None) -> Any:
        return self if instance is None else partial(self, instance)

    @abstractmethod
    def __call__(self, instance: Any, /, *arguments: Any, **options: Any) -> Any:
        """What the object does instead."""


class Frames(Layer):
    """In front of the method that serialises a kernel's messages."""

    def __init__(self, owner: Any, original: Callable[..., Any], masker: Masker) -> None:
        super().__init__(owner, original, masker)
        self._streams: dict[str, Continuation] = {}

    def __call__(self, msg: dict[str, Any], ident: Any = None) -> Any:
        """The message's frames, signed."""
        masker = self.masker
        if masker is None:
            return self.original(msg, ident)
        if msg.get("msg_type") == "stream":
            msg = self._continued(masker, msg)
        frames = self.original(msg, ident)
        parts = frames[-_CONTENTS:]
        masked = self.masked(lambda parts: self._all(masker, parts), parts, self._withheld)
        if masked is not parts:
            frames[-_CONTENTS - 1 :] = [self.owner.sign(masked), *masked]
        return frames

    def _all(self, masker: Masker, parts: list[bytes]) -> list[bytes]:
        """The frames masked; the very same list if there is nothing to mask."""
        if sum(map(len, parts)) < REACH and not masker.finds(b"\n".join(parts)):
            return parts
        masked = [masker.json(part, self.owner.unpack) for part in parts]
        return masked if masked != parts else parts

    def _continued(self, masker: Masker, msg: dict[str, Any]) -> dict[str, Any]:
        """A stream's message without the rest of a key that began in the previous one."""
        content = msg["content"]
        stream = self._streams.setdefault(content["name"], Continuation())
        mask = partial(stream.start, masker)
        text = self.masked(mask, content["text"], lambda _text: NOTICE)
        if text is content["text"]:
            return msg
        return {**msg, "content": {**content, "text": text}}

    def _withheld(self, parts: list[bytes]) -> list[bytes]:
        header, parent, _metadata, content = parts
        if self.masker is not None:
            with contextlib.suppress(Exception):
                return list(map(self.masker.whole, parts))
        pack = self.owner.pack
        return [header, parent, pack({}), pack(withheld(self.owner.unpack(content)))]


def withheld(value: Any) -> Any:
    """A message's content, with a notice in place of each of its texts."""
    if isinstance(value, dict):
        return {name: withheld(each) for name, each in value.items()}
    if isinstance(value, list):
        return [withheld(each) for each in value]
    return NOTICE if isinstance(value, str) and len(value) > SHOWN else value


class Buffers(Layer):
    """In front of the method that sends a kernel's messages, some of which have binary data."""

    def __call__(  # noqa: PLR0913 - as jupyter_client's own
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> Any:
        """Send a message."""
        if self.masker is not None:
            if not buffers and isinstance(msg_or_type, dict):
                buffers = msg_or_type.get("buffers")
            buffers = [self._masked(self.masker, buffer) for buffer in buffers or ()]
        return self.original(
            stream, msg_or_type, content, parent, ident, buffers, track, header, metadata
        )

    def _masked(self, masker: Masker, buffer: Any) -> Any:
        data = bytes(memoryview(buffer))
        masked = self.masked(masker.binary, data, lambda data: bytes(len(data)))
        return buffer if masked is data else masked


class Written(Layer):
    """In front of the method that writes to a terminal, or to what stands in for one."""

    def __init__(self, owner: Any, original: Callable[..., Any], masker: Masker) -> None:
        super().__init__(owner, original, masker)
        self._stream = Continuation()
        # Stores the stream's text in the order in which it was read.
        self._writing = Lock()

    def __call__(self, what: Any) -> Any:
        """Write; return the length of the argument."""
        masker = self.masker
        if masker is None:
            return self.original(what)
        with self._writing:
            self.original(self._shown(masker, what))
        return len(what)

    def _shown(self, masker: Masker, what: Any) -> Any:
        if isinstance(what, str):
            mask = lambda text: masker.text(self._stream.start(masker, text))  # noqa: E731
            return self.masked(mask, what, lambda _text: NOTICE)
        write = partial(self._stream.data, masker)
        return self.masked(write, bytes(what), lambda _data: NOTICE.encode())


class Asked(Written):
    """In front of a function that asks at a terminal, past the standard streams."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Ask; return the answer."""
        masker = self.masker
        if masker is not None and args:
            args = (self._prompt(masker, args[0]), *args[1:])
        elif masker is not None and "prompt" in options:
            options["prompt"] = self._prompt(masker, options["prompt"])
        return self.original(*args, **options)

    def _prompt(self, masker: Masker, prompt: Any) -> Any:
        text = str(prompt)
        with self._writing:
            return self._shown(masker, text)


class Paged(Layer):
    """In front of the pager, which runs a program to show a text."""

    def __call__(self, what: Any, *args: Any, **options: Any) -> None:
        """Show it."""
        if self.masker is not None:
            text = what["text/plain"] if isinstance(what, dict) else what
            what = self.masked(self.masker.text, text, lambda _text: NOTICE)
        self.original(what, *args, **options)


class Helped(Paged):
    """In front of the pager of ``help``, which replaces itself on first use."""

    def __call__(self, what: Any, *args: Any, **options: Any) -> None:
        """Show it."""
        before = self.owner.pager
        try:
            super().__call__(what, *args, **options)
        finally:
            if self.owner.pager is not before:
                self.original, self.owner.pager = self.owner.pager, before


class Logged(Layer):
    """In front of the method that writes the log of ``%logstart``."""

    def __call__(self, data: str, kind: str = "input") -> None:
        """Write a cell or its result."""
        masker = self.masker
        if masker is not None:
            data = self.masked(masker.text, data, lambda _text: NOTICE)
        self.original(data, kind)


class Stored(Layer):
    """In front of the method that stores a cell's result in IPython's database."""

    def __call__(self, line_num: int) -> None:
        """Store it."""
        results = self.owner.output_hist_reprs
        if self.masker is not None and self.owner.db_log_output and line_num in results:
            mask = self.masker.text
            results[line_num] = self.masked(mask, results[line_num], lambda _text: NOTICE)
        self.original(line_num)


class Remembered(Layer):
    """In front of a method that reads IPython's history; its caller then reads the outputs."""

    def __call__(self, *args: Any, **options: Any) -> Iterator[tuple[Any, ...]]:
        """Session, number and line of each cell."""
        if self.masker is not None:
            mask = partial(mask_outputs, masker=self.masker)
            self.masked(mask, self.owner, drop_outputs)
        for session, number, entry in self.original(*args, **options):
            yield session, number, self._masked(entry)

    def _masked(self, entry: Any) -> Any:
        """A line, or a line and its result."""
        if isinstance(entry, tuple):
            return tuple(map(self._masked, entry))
        if self.masker is None or entry is None:
            return entry
        return self.masked(self.masker.text, entry, lambda _text: NOTICE)
