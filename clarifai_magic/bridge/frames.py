"""HTTP/2's frames (RFC 9113), as far as an intermediary needs them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9  # bytes before a frame's payload
LARGEST = 2**14  # bytes of a payload, unless a receiver allows more

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 5, 6, 7, 8, 9,
)  # fmt: skip
PRIORITY = 2
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE = 1, 3, 5

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR = 0, 1, 2
FRAME_SIZE_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 6, 9, 11

BLOCKS = frozenset({HEADERS, PUSH_PROMISE, CONTINUATION})


class Http2Error(Exception):
    """The other side violates HTTP/2; `code` tells it why the connection ends."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Frame(NamedTuple):
    """One frame, and its bytes as received."""

    kind: int
    flags: int
    stream: int
    raw: bytes

    @property
    def payload(self) -> bytes:
        """Its payload."""
        return self.raw[HEAD:]

    @property
    def block(self) -> bytes:
        """Its part of a header block, without padding and priority."""
        start, end = HEAD, len(self.raw)
        if self.flags & PADDED and self.kind == HEADERS:
            start, end = HEAD + 1, end - (self.raw[HEAD] if end > HEAD else end)
        if self.flags & WITH_PRIORITY and self.kind == HEADERS:
            start += 5
        if start > end:
            raise Http2Error(PROTOCOL_ERROR)
        return self.raw[start:end]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame's bytes to send."""
    return (
        struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload
    )


def header_frames(stream: int, block: bytes, flags: int) -> bytes:
    """A header block's bytes to send, in as many frames as necessary."""
    if len(block) <= LARGEST:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [block[at : at + LARGEST] for at in range(0, len(block), LARGEST)]
    return b"".join(
        [
            frame(HEADERS, flags, stream, parts[0]),
            *(frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]),
            frame(CONTINUATION, END_HEADERS, stream, parts[-1]),
        ]
    )


def settings(*pairs: tuple[int, int]) -> bytes:
    """The payload of a SETTINGS frame."""
    return b"".join(struct.pack(">HI", *pair) for pair in pairs)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The pairs in a SETTINGS frame's payload."""
    if len(payload) % 6:
        raise Http2Error(FRAME_SIZE_ERROR)
    return list(struct.iter_unpack(">HI", payload))


def number(value: int) -> bytes:
    """The payload of a WINDOW_UPDATE or RST_STREAM frame."""
    return struct.pack(">I", value)


class Frames:
    """Takes bytes as they arrive and returns complete frames, none larger than `LARGEST`."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes; return the complete frames.

        Raises
        ------
        Http2Error
            If a frame is too large.
        """
        data = self._data + data if self._data else data
        at, end = 0, len(data)
        while end - at >= HEAD:
            high, low, kind, flags, stream = struct.unpack_from(">HBBBI", data, at)
            length = high << 8 | low
            if length > LARGEST:
                raise Http2Error(FRAME_SIZE_ERROR)
            if end - at - HEAD < length:
                break
            start, at = at, at + HEAD + length
            yield Frame(kind, flags, stream & 0x7FFFFFFF, data[start:at])
        self._data = data[at:]


class Passage:
    """Forwards frames as their bytes arrive, and inserts others between them.

    Parameters
    ----------
    on_frame : callable
        Called with the kind, flags and stream of each starting frame.
    on_settings : callable
        Returns the replacement of a SETTINGS frame, from its flags and payload.
    """

    def __init__(
        self,
        on_frame: Callable[[int, int, int], None],
        on_settings: Callable[[int, bytes], bytes],
    ) -> None:
        self._on_frame = on_frame
        self._on_settings = on_settings
        self._head = b""
        self._rest = 0  # remaining bytes of the current frame
        self._in_block = False  # within headers, which no other frame may split
        self._between: list[bytes] = []

    @property
    def is_between(self) -> bool:
        """Whether a frame may be sent now."""
        return not (self._rest or self._head or self._in_block)

    def insert(self, data: bytes) -> bytes:
        """Send a frame as soon as possible; return the bytes to send now."""
        self._between.append(data)
        return self._due() if self.is_between else b""

    def _due(self) -> bytes:
        due = b"".join(self._between)
        self._between.clear()
        return due

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the bytes to forward."""
        data = self._head + data if self._head else data
        start, end = 0, len(data)
        at = min(self._rest, end)
        self._rest -= at
        sent: list[bytes] = []
        while not self._rest:
            if self._between and not self._in_block:
                sent += (data[start:at], self._due())
                start = at
            if end - at < HEAD:
                break
            high, low, kind, flags, stream = struct.unpack_from(">HBBBI", data, at)
            length = high << 8 | low
            after = at + HEAD + length
            if kind == SETTINGS:
                if length > LARGEST:
                    raise Http2Error(FRAME_SIZE_ERROR)
                if after > end:
                    break
                sent += (data[start:at], self._on_settings(flags, data[at + HEAD : after]))
                start = at = after
                continue
            self._on_frame(kind, flags, stream & 0x7FFFFFFF)
            if kind in BLOCKS:
                self._in_block = not flags & END_HEADERS
            at = min(after, end)
            self._rest = after - at
        sent.append(data[start:at])
        self._head = data[at:]
        return sent
