"""HTTP/2, and so gRPC, through the broker: frames pass unchanged, except for requests' headers.

Each client connection has one upstream connection, opened for its first admitted request. Streams
keep their numbers, windows and deadlines, which the two ends negotiate. The broker decodes and
encodes only headers on their way upstream; responses pass unread.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.bridge import frames
from clarifai_magic.bridge.admission import MOST_HEADERS, Refusal, unavailable
from clarifai_magic.bridge.frames import Frames, Http2Error, Passage, frame, header_frames
from clarifai_magic.bridge.headers import Headers, answer
from clarifai_magic.loopback.front import CHUNK, linger

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.bridge.frames import Frame
    from clarifai_magic.bridge.route import Route

_IDLE = 300  # seconds until the first request
_MOST_KEPT = 2**18  # bytes buffered until upstream is connected: a window of data, and headers
_MOST_REFUSED = 1000  # refused streams that the client has not ended
_MOST_AT_ONCE = 100  # streams, until upstream states its limit
_UNLIMITED = 2**32 - 1
# Each side of the broker has its own.
_OWN_SETTINGS = {frames.HEADER_TABLE_SIZE, frames.MAX_FRAME_SIZE}


async def serve(
    route: Route,
    know: Callable[[asyncio.StreamWriter], None],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: bytes,
) -> None:
    """Serve one connection, until either side ends it."""
    missing = len(frames.PREFACE) - len(head)
    if head + await asyncio.wait_for(reader.readexactly(missing), _IDLE) != frames.PREFACE:
        return
    relay = _Relay(route, lambda: know(writer), reader, writer)
    try:
        await relay.run()
    finally:
        await relay.drop_upstream()


class _Stream(NamedTuple):
    """A request without a complete response from upstream."""

    is_grpc: bool
    takes_body: bool  # when it is refused
    has_begun: bool = False  # to be answered


class _Relay:
    """One client's connection."""

    def __init__(
        self,
        route: Route,
        know: Callable[[], None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._route = route
        self._reader, self._writer = reader, writer
        self._headers = Headers(route, know)
        self._down = Passage(self._on_frame, self._on_settings)
        self._up: asyncio.StreamWriter | None = None
        self._pumping: asyncio.Future[None] | None = None
        self._over = asyncio.get_running_loop().create_future()
        self._for_upstream: list[bytes] = []
        # Acknowledgements for the broker, not for the other end.
        self._acks_from_client, self._acks_from_upstream = 1, 0
        self._has_settled = False  # whether the client's, and upstream's, first settings are in
        self._is_settled = False
        self._streams: dict[int, _Stream] = {}
        self._refused: set[int] = set()
        self._last = 0
        self._block: tuple[int, int, list[bytes]] | None = None

    async def run(self) -> None:
        """Forward frames until either side ends the connection."""
        most = frames.settings((frames.MAX_CONCURRENT_STREAMS, _MOST_AT_ONCE))
        self._send_client(frame(frames.SETTINGS, 0, 0, most))
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({reading, self._over}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        except Refusal as refusal:
            self._give_up(refusal)
        except Http2Error as error:
            self._say_goodbye(error.code)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await linger(self._reader, self._writer)

    async def drop_upstream(self) -> None:
        """End the upstream connection, and everything in flight on it."""
        try:
            if self._pumping is not None:
                self._pumping.cancel()
                await asyncio.gather(self._pumping, return_exceptions=True)
        finally:  # the end of the broker may interrupt this
            if self._up is not None:
                self._up.transport.abort()

    # From the client

    async def _read(self) -> None:
        parser = Frames()
        while data := await self._more():
            for each in parser.feed(data):
                self._take(each)
            if self._streams and self._up is None:
                await self._connect()
            await self._flush()

    async def _more(self) -> bytes:
        if self._up is not None:
            return await self._reader.read(CHUNK)
        return await asyncio.wait_for(self._reader.read(CHUNK), _IDLE)

    async def _connect(self) -> None:
        reader, self._up = await self._route.upstream.connect("h2")
        self._up.write(frames.PREFACE)
        self._pumping = asyncio.ensure_future(self._pump(reader))

    async def _flush(self) -> None:
        if self._up is None:
            if sum(map(len, self._for_upstream)) > _MOST_KEPT:
                raise Http2Error(frames.ENHANCE_YOUR_CALM)
            await self._writer.drain()
        elif self._for_upstream:
            self._up.write(b"".join(self._for_upstream))
            self._for_upstream.clear()
            with suppress(ConnectionError):  # its remaining frames are still being read
                await self._up.drain()

    def _take(self, each: Frame) -> None:
        """Forward one of the client's frames, answer it here, or neither."""
        if (each.kind == frames.CONTINUATION) != (self._block is not None):
            raise Http2Error(frames.PROTOCOL_ERROR)
        if not self._has_settled and each.kind != frames.SETTINGS:
            raise Http2Error(frames.PROTOCOL_ERROR)
        if each.kind in {frames.HEADERS, frames.CONTINUATION}:
            self._take_headers(each)
        elif each.stream in self._refused:
            self._take_refused(each)
        elif each.kind == frames.SETTINGS:
            self._take_settings(each)
        elif each.kind == frames.PUSH_PROMISE:
            raise Http2Error(frames.PROTOCOL_ERROR)
        elif self._up is None and each.kind == frames.PING:
            if not each.flags & frames.ACK:
                self._send_client(frame(frames.PING, frames.ACK, 0, each.payload))
        else:
            if each.kind == frames.RST_STREAM:
                self._streams.pop(each.stream, None)
            self._for_upstream.append(each.raw)

    def _take_settings(self, each: Frame) -> None:
        self._has_settled = True
        if each.flags & frames.ACK:
            if self._acks_from_client:
                self._acks_from_client -= 1
                return
        elif self._up is None:
            self._send_client(frame(frames.SETTINGS, frames.ACK, 0))
            self._acks_from_upstream += 1
        self._for_upstream.append(each.raw)

    def _take_refused(self, each: Frame) -> None:
        """Drop frames of a stream unknown to upstream."""
        if each.kind == frames.DATA and each.payload:
            # The connection's window is upstream's, which will not return this.
            returned = frames.number(len(each.payload))
            self._send_client(frame(frames.WINDOW_UPDATE, 0, 0, returned))
        ends = each.kind == frames.DATA and each.flags & frames.END_STREAM
        if ends or each.kind == frames.RST_STREAM:
            self._refused.discard(each.stream)

    def _take_headers(self, each: Frame) -> None:
        stream, flags, parts = self._block or (each.stream, each.flags & frames.END_STREAM, [])
        if stream != each.stream or not stream % 2:
            raise Http2Error(frames.PROTOCOL_ERROR)
        self._block = (stream, flags, [*parts, each.block])
        if each.flags & frames.END_HEADERS:
            block = b"".join(self._block[2])
            self._block = None
            self._take_block(stream, flags, block)
        elif sum(map(len, self._block[2])) > MOST_HEADERS:
            raise Http2Error(frames.ENHANCE_YOUR_CALM)

    def _take_block(self, stream: int, flags: int, written: bytes) -> None:
        """Forward a request's headers or trailers."""
        block = self._headers.read(written)
        if stream > self._last:
            self._last = stream
            asked = _Stream(block.is_grpc, block.takes_body)
            try:
                written = self._headers.authorized(block)
            except Refusal as refusal:
                self._refuse(stream, refusal, asked, ended=bool(flags))
                return
            self._streams[stream] = asked
        elif block.begins or not flags:
            raise Http2Error(frames.PROTOCOL_ERROR)
        elif stream in self._refused:
            self._refused.discard(stream)
            return
        else:
            written = self._headers.trailers(block.headers)
        self._for_upstream.append(header_frames(stream, written, flags))

    # To the client

    def _send_client(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():  # asyncio would complain of each in its log
            self._writer.write(self._down.insert(data))

    def _refuse(self, stream: int, refusal: Refusal, asked: _Stream, *, ended: bool) -> None:
        """Answer a request here."""
        # A body uses part of upstream's window, so it must be the connection's last response.
        is_last = asked.takes_body and not self._streams
        self._answer(stream, refusal, asked, with_body=is_last)
        if is_last:
            raise Http2Error(frames.NO_ERROR)
        if not ended:
            self._reset(stream, frames.NO_ERROR)
            self._refused.add(stream)
        if len(self._refused) > _MOST_REFUSED:
            raise Http2Error(frames.ENHANCE_YOUR_CALM)

    def _give_up(self, refusal: Refusal) -> None:
        """Answer every request that upstream left open, and end."""
        for stream, each in self._streams.items():
            if each.is_grpc or not each.has_begun:
                self._answer(stream, refusal, each, with_body=each.takes_body)
            else:
                self._reset(stream, frames.INTERNAL_ERROR)
        self._say_goodbye(frames.NO_ERROR)

    def _answer(self, stream: int, refusal: Refusal, asked: _Stream, *, with_body: bool) -> None:
        """Answer a request, or end its response."""
        as_grpc, has_begun = asked.is_grpc, asked.has_begun
        body = refusal.json if with_body else b""
        block = answer(refusal, as_grpc=as_grpc, has_begun=has_begun, body=body)
        self._send_client(header_frames(stream, block, 0 if body else frames.END_STREAM))
        if body:
            self._send_client(frame(frames.DATA, frames.END_STREAM, stream, body))

    def _reset(self, stream: int, code: int) -> None:
        self._send_client(frame(frames.RST_STREAM, 0, stream, frames.number(code)))

    def _say_goodbye(self, code: int) -> None:
        last = frames.number(self._last) + frames.number(code)
        self._send_client(frame(frames.GOAWAY, 0, 0, last))

    # From upstream

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, Http2Error):
            while data := await reader.read(CHUNK):
                self._writer.write(b"".join(self._down.feed(data)))
                await self._writer.drain()
        if self._streams:
            words = f"{self._route.upstream.base} ended the connection without a response."
            self._give_up(unavailable(words))
        self._over.set_result(None)

    def _on_frame(self, kind: int, flags: int, stream: int) -> None:
        """Track the progress of a response."""
        ends = kind in {frames.DATA, frames.HEADERS} and flags & frames.END_STREAM
        if ends or kind == frames.RST_STREAM:
            self._streams.pop(stream, None)
        elif kind == frames.HEADERS and stream in self._streams:
            self._streams[stream] = self._streams[stream]._replace(has_begun=True)

    def _on_settings(self, flags: int, payload: bytes) -> bytes:
        """Upstream's settings for the client."""
        if flags & frames.ACK:
            if self._acks_from_upstream:
                self._acks_from_upstream -= 1
                return b""
            return frame(frames.SETTINGS, frames.ACK, 0)
        pairs = frames.read_settings(payload)
        self._headers.settle(dict(pairs))
        told = [(name, value) for name, value in pairs if name not in _OWN_SETTINGS]
        if not self._is_settled and frames.MAX_CONCURRENT_STREAMS not in dict(told):
            told.append((frames.MAX_CONCURRENT_STREAMS, _UNLIMITED))
        self._is_settled = True
        return frame(frames.SETTINGS, 0, 0, frames.settings(*told))
