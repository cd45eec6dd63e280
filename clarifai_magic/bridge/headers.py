"""HTTP/2 headers: decoded from the client, and encoded again for upstream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import hpack

from clarifai_magic.bridge import frames
from clarifai_magic.bridge.admission import MOST_HEADERS, Request, values
from clarifai_magic.bridge.frames import Http2Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.bridge.admission import Header, Refusal
    from clarifai_magic.bridge.route import Route

# Its log at DEBUG has every header in it.
logging.getLogger("hpack").setLevel(logging.WARNING)

_TABLE = 4096  # default bytes of a header table
_MOST_KNOWN = 64
# A never-indexed literal (RFC 7541, section 6.2.3), with the name `authorization`.
_AUTHORIZATION = b"\x1f\x08"
_MOST_IN_A_BYTE = 127


class Block:
    """A decoded header block.

    Parameters
    ----------
    headers : list of pairs of bytes
        Its headers.

    Attributes
    ----------
    request : Request
        The gate's input.
    begins : bool
        Whether it begins a request, as opposed to trailers.
    is_grpc : bool
        Whether that is a gRPC call, as opposed to a REST request.
    takes_body : bool
        Whether a refusal may have a body.
    written : bytes, optional
        Encoded for upstream without authorisation, once that is done.
    """

    __slots__ = ("begins", "headers", "is_grpc", "request", "takes_body", "written")

    def __init__(self, headers: list[Header]) -> None:
        self.headers = headers
        hosts = values(b":authority", headers) + values(b"host", headers)
        self.request = Request(hosts, values(b"authorization", headers))
        self.begins = any(name.startswith(b":") for name, _ in headers)
        types = values(b"content-type", headers)
        self.is_grpc = any(each.startswith(b"application/grpc") for each in types)
        self.takes_body = not self.is_grpc and values(b":method", headers) != [b"HEAD"]
        self.written: bytes | None = None


class Headers:
    """The headers of one connection's requests, here and upstream.

    A client encodes the headers of successive calls alike, and they mean the same until a header
    table changes: until then, they are neither decoded nor encoded again.

    Parameters
    ----------
    route : Route
        Admits requests.
    know : callable
        Called after it admits one.
    """

    def __init__(self, route: Route, know: Callable[[], None]) -> None:
        self._route = route
        self._know = know
        self._decoder = hpack.Decoder(MOST_HEADERS)
        self._encoder = hpack.Encoder()
        self._known: dict[bytes, Block] = {}
        at = route.upstream
        self._replaced = {b":authority": at.host, b"host": at.host, b":scheme": at.scheme}

    def read(self, written: bytes) -> Block:
        """Decode a block.

        Raises
        ------
        Http2Error
            If it cannot be read, or is too large.
        """
        if written in self._known:
            return self._known[written]
        mark = _Mark(self._decoder)
        try:
            block = Block(list(self._decoder.decode(written, raw=True)))
        except hpack.OversizedHeaderListError:
            raise Http2Error(frames.ENHANCE_YOUR_CALM) from None
        except hpack.HPACKError:
            raise Http2Error(frames.COMPRESSION_ERROR) from None
        if not mark.holds or len(self._known) == _MOST_KNOWN:
            self._known.clear()
        if mark.holds:
            self._known[written] = block
        return block

    def authorized(self, block: Block) -> bytes:
        """A request's block for upstream, with the key.

        Raises
        ------
        Refusal
            If the request is not admitted.
        """
        header = self._route.authorization(block.request, self._know)
        # Encoded here, because hpack logs what it encodes, and keeps it in its table.
        return (block.written or self._written(block)) + _AUTHORIZATION + _text(header)

    def _written(self, block: Block) -> bytes:
        replaced = self._replaced
        block.written = self.trailers(
            [
                (pair[0], replaced[pair[0]]) if pair[0] in replaced else pair
                for pair in block.headers
                if pair[0].lower() != b"authorization"
            ]
        )
        return block.written

    def trailers(self, headers: list[Header]) -> bytes:
        """Unchanged headers for upstream; forgets the known ones if a table changes."""
        mark = _Mark(self._encoder)
        written: bytes = self._encoder.encode(headers)
        if not mark.holds:
            self._known.clear()
        return written

    def settle(self, settings: dict[int, int]) -> None:
        """Obey upstream's settings."""
        size = settings.get(frames.HEADER_TABLE_SIZE, _TABLE)
        self._encoder.header_table_size = min(size, _TABLE)
        self._known.clear()


def answer(refusal: Refusal, *, as_grpc: bool, has_begun: bool = False, body: bytes = b"") -> bytes:
    """The block that answers a request, or ends a started response.

    It leaves no trace in the client's header table, which upstream relies on.
    """
    if as_grpc:
        head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
        pairs = [*([] if has_begun else head), *refusal.trailers]
    else:
        pairs = [(b":status", str(int(refusal.http)).encode())]
        if body:
            pairs.append((b"content-type", b"application/json"))
            pairs.append((b"content-length", str(len(body)).encode()))
    never_indexed = [hpack.NeverIndexedHeaderTuple(*pair) for pair in pairs]
    return bytes(hpack.Encoder().encode(never_indexed, huffman=False))


class _Mark:
    """A snapshot of a header table, to compare later."""

    def __init__(self, side: hpack.Decoder | hpack.Encoder) -> None:
        self._table: Any = side.header_table
        self._was = self._now()

    def _now(self) -> tuple[Any, ...]:
        entries = self._table.dynamic_entries
        newest = entries[0] if entries else None
        return newest, (len(entries), self._table.maxsize, self._table.resized)

    @property
    def holds(self) -> bool:
        """Whether the table is unchanged since."""
        now = self._now()
        return now[0] is self._was[0] and now[1] == self._was[1]


def _text(text: bytes) -> bytes:
    """A string in HPACK (RFC 7541, section 5.2), without Huffman coding."""
    if len(text) < _MOST_IN_A_BYTE:
        return bytes([len(text)]) + text
    rest, length = len(text) - _MOST_IN_A_BYTE, bytearray([_MOST_IN_A_BYTE])
    while rest > _MOST_IN_A_BYTE:
        length.append(rest & _MOST_IN_A_BYTE | 0x80)
        rest >>= 7
    return bytes([*length, rest]) + text
