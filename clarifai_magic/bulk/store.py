"""Stores a map's answers: in memory, or in a file as they arrive."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, EncodeError

from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.bulk.saved import SavedMap

_EVERY = 0.5  # seconds between writes to the file
_MANY = 1_000  # answers that are written at once


class Store:
    """The answers of a map by the items' indices.

    Any operation may be repeated after an interrupt in its middle.

    Parameters
    ----------
    read : callable
        Parses an answer's bytes.
    key : str
        Enters no file, even if an answer contains it.
    """

    def __init__(self, read: Callable[[bytes], Any], key: str) -> None:
        self._read = read
        self._key = key
        self._file: SavedMap | None = None
        self._fresh: dict[int, Any] = {}  # not written yet: all of them without a file
        self._digests: dict[int, bytes] = {}
        self._refused: set[int] = set()
        self._done = bytearray()  # one byte per item, 1 if it has an answer; only with a file
        self._written = 0.0

    @property
    def file(self) -> SavedMap | None:
        """The file for the answers."""
        return self._file

    def save(self, file: SavedMap) -> None:
        """Write all answers to a file from now on, including the current ones."""
        for number in file.numbers(answered=True):
            self._mark(number)
        for number in list(self._fresh):  # another thread may be filling it
            self._mark(number)
        self._file = file
        self.write()

    def _mark(self, number: int) -> None:
        if missing := number + 1 - len(self._done):
            self._done.extend(bytes(max(missing, len(self._done)) if missing > 0 else 0))
        self._done[number] = 1

    def __len__(self) -> int:
        return self._done.count(1) if self._file else len(self._fresh)

    def __contains__(self, number: int) -> bool:
        return number in self._fresh or (number < len(self._done) and bool(self._done[number]))

    def get(self, number: int) -> Any:
        """The answer to an item; None if there is none."""
        if number in self._fresh or self._file is None:
            return self._fresh.get(number)
        data = self._file.answer(number) if number in self else None
        try:
            return None if data is None else self._read(data)
        except DecodeError:
            raise self._file.damaged() from None

    def put(self, number: int, answer: Any, item: Any) -> None:
        """Store the answer to an item."""
        if self._file is not None:
            self._digests[number] = _digest(item)
        self._fresh[number] = answer
        if self._file is not None:
            self._mark(number)

    def begin(self, items: dict[int, Any]) -> None:
        """Note that a call for some items is about to start, which may change something."""
        if self._file is not None and items:
            self._refused -= items.keys()  # or the note would be forgotten with the refusal before
            self._file.begin([(number, _digest(item)) for number, item in items.items()])

    def lock(self) -> bool:
        """Lock the file, and tell whether others have changed it since; their answers count."""
        if self._file is None or not self._file.lock():
            return False
        for number in self._file.numbers(answered=True):
            self._mark(number)
        return True

    def refuse(self, number: int) -> None:
        """Note that nothing was done for an item after all."""
        if self._file is not None:
            self._refused.add(number)

    def check(self, number: int, item: Any) -> None:
        """Compare an item with the one that the file has an answer to.

        Raises
        ------
        ItemsError
            If it is a different one.
        """
        known = self._file and self._file.digest(number)
        if self._file and known and known != _digest(item):
            raise ItemsError(
                f"Item {number} is not the one that {self._file.path.name} has an answer to.",
                "Pass the same items in the same order.",
            )

    def write(self, *, due: bool = True) -> None:
        """Write new answers to the file.

        Parameters
        ----------
        due : bool
            Whether to write at once; otherwise only after a while or if there is much.

        Raises
        ------
        CallError
            If writing fails; the answers then stay in memory.
        """
        file = self._file
        late = time.monotonic() - self._written > _EVERY
        if file is None or not (due or late or len(self._fresh) > _MANY):
            return
        fresh, refused = dict(self._fresh), set(self._refused)
        if fresh:
            file.write(
                (number, self._digests.get(number), self._keyless(answer))
                for number, answer in fresh.items()
            )
        if refused:
            file.forget(refused)
        for number in fresh:
            self._mark(number)  # again: an interrupt may have come before the first time
            self._fresh.pop(number, None)
            self._digests.pop(number, None)
        self._refused -= refused
        self._written = time.monotonic()

    def has_key(self, data: bytes) -> bool:
        """Whether the key is in some bytes."""
        return self._key.encode() in data

    def _keyless(self, answer: Any) -> bytes:
        data: bytes = answer.SerializeToString()
        # As long as the key: lengths are part of a message's bytes.
        key = self._key.encode()  # not kept: a Secret is shown masked, its bytes are not
        return data.replace(key, b"*" * len(key))


def _digest(item: Any) -> bytes:
    """An item's digest, which is the same in another process; empty for what has none."""
    try:
        written = item.SerializeToString(deterministic=True)
    except (AttributeError, EncodeError, ValueError):  # no message, or one that fails alone
        return b""
    return hashlib.blake2b(written, digest_size=8).digest()
