"""HTTP/1.1 through the broker: one connection here and one upstream, message by message."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11

from clarifai_magic.bridge.admission import (
    MOST_HEADERS,
    Refusal,
    Request,
    malformed,
    unavailable,
    values,
    without,
)
from clarifai_magic.loopback.front import CHUNK, linger

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.bridge.admission import Header
    from clarifai_magic.bridge.route import Route

_PATIENCE = 30  # seconds for a request's headers to arrive
_IDLE = 300  # seconds until the next request
_MOST_AHEAD = 2**16  # bytes of further requests that may arrive before the response

# Apply to one connection, not to the message (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Apply to the message, even if `Connection` names them.
_OF_THE_MESSAGE = frozenset({b"authorization", b"content-length", b"host"})


async def serve(
    route: Route,
    know: Callable[[asyncio.StreamWriter], None],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: bytes,
) -> None:
    """Serve one connection, until either side ends it."""
    client = _Side(h11.SERVER, reader, writer)
    client.wire.receive_data(head)
    relay = _Relay(route, lambda: know(writer), client)
    try:
        await relay.run()
    finally:
        relay.drop_upstream()


class _Side:
    """One of the two connections."""

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.wire = h11.Connection(role, max_incomplete_event_size=MOST_HEADERS)
        self.reader = reader
        self.writer = writer

    async def event(self) -> Any:
        """The next event."""
        while (event := self.wire.next_event()) is h11.NEED_DATA:
            self.wire.receive_data(await self.reader.read(CHUNK))
        return event

    async def send(self, event: Any) -> None:
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.writelines(self.wire.send_with_data_passthrough(event) or ())
        await self.writer.drain()

    @property
    def may_go_on(self) -> bool:
        """Whether the connection can take another request."""
        return self.wire.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}


class _Relay:
    """The requests of one client connection, in order."""

    def __init__(self, route: Route, know: Callable[[], None], client: _Side) -> None:
        self._route = route
        self._know = know
        self._client = client
        self._upstream: _Side | None = None
        self._verb = b""

    def drop_upstream(self) -> None:
        """End the upstream connection, and everything in flight on it."""
        if self._upstream is not None:
            self._upstream.writer.transport.abort()
            self._upstream = None

    async def run(self) -> None:
        """Forward requests until the connection takes no more."""
        patience = _PATIENCE
        while self._client.wire.our_state is h11.IDLE:
            self._verb = b""
            try:
                request = await asyncio.wait_for(self._client.event(), patience)
                if isinstance(request, h11.ConnectionClosed):
                    return
                await self._carry(request)
            except h11.RemoteProtocolError as error:
                await self._refuse(malformed(str(error), HTTPStatus(error.error_status_hint)))
            except Refusal as refusal:
                await self._refuse(refusal)
            if self._client.may_go_on:
                self._client.wire.start_next_cycle()
            patience = _IDLE
        await linger(self._client.reader, self._client.writer)

    async def _carry(self, request: h11.Request) -> None:
        """Forward one request, and its response back.

        Raises
        ------
        Refusal
            If upstream will not respond.
        """
        self._verb = request.method
        upstream = await self._begun(request)
        asking = asyncio.ensure_future(self._ask(upstream))
        answering = asyncio.ensure_future(self._answer(upstream))
        try:
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                asking.result()  # the client is gone, or its request is malformed
            await answering
        finally:
            for each in (asking, answering):
                each.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            if not upstream.may_go_on:
                self.drop_upstream()
        if self._upstream is not None:
            self._upstream.wire.start_next_cycle()

    async def _begun(self, request: h11.Request) -> _Side:
        """Send a request's head upstream. Separate, so that the key is released afterwards."""
        authorized = self._authorized(request)
        upstream = await self._connected()
        await upstream.send(authorized)
        return upstream

    def _authorized(self, request: h11.Request) -> h11.Request:
        """The request for upstream."""
        headers: list[Header] = request.headers.raw_items()
        if sum(len(name) + len(value) + 4 for name, value in headers) > MOST_HEADERS:
            raise malformed(
                f"Headers may have at most {MOST_HEADERS} bytes.",
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            )
        if not request.target.startswith(b"/") and request.target != b"*":
            raise malformed("A request's target must begin with a slash.")
        asked = Request(values(b"host", headers), values(b"authorization", headers))
        authorization = self._route.authorization(asked, self._know)
        replaced = {b"host": self._route.upstream.host, b"authorization": authorization}
        sent = [(name, replaced.get(name.lower(), value)) for name, value in _end_to_end(headers)]
        if values(b"transfer-encoding", headers):
            sent = [*without({b"content-length"}, sent), (b"Transfer-Encoding", b"chunked")]
        return h11.Request(method=request.method, target=request.target, headers=sent)

    async def _connected(self) -> _Side:
        if self._upstream is None or self._upstream.reader.at_eof():
            self.drop_upstream()
            reader, writer = await self._route.upstream.connect("http/1.1")
            self._upstream = _Side(h11.CLIENT, reader, writer)
        return self._upstream

    async def _ask(self, upstream: _Side) -> None:
        """Forward the request's body, then watch for the client to disconnect.

        Raises
        ------
        ConnectionError
            If it is gone.
        """
        client = self._client
        event = None
        while not isinstance(event, h11.EndOfMessage):
            event = await client.event()
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError
            try:
                await upstream.send(event)
            except ConnectionError:
                return  # it may have responded anyway
        ahead = 0
        while ahead < _MOST_AHEAD:
            if not (data := await client.reader.read(CHUNK)):
                raise ConnectionResetError
            client.wire.receive_data(data)
            ahead += len(data)
        await asyncio.Event().wait()

    async def _answer(self, upstream: _Side) -> None:
        """Forward the response as it arrives.

        Raises
        ------
        Refusal
            If upstream ends before it responds.
        ConnectionError
            If it ends in the middle of its response.
        """
        try:
            event = await upstream.event()
            while isinstance(event, h11.InformationalResponse):
                await self._client.send(_passed_on(event))
                event = await upstream.event()
            if not isinstance(event, h11.Response):
                raise ConnectionResetError
        except (h11.RemoteProtocolError, ConnectionError):
            self.drop_upstream()
            raise unavailable(f"{self._route.upstream.base} ended without a response.") from None
        try:
            await self._client.send(_passed_on(event))
            while not isinstance(event, h11.EndOfMessage):
                event = await upstream.event()
                await self._client.send(event)
        except h11.ProtocolError:
            raise ConnectionResetError from None

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer a request here; end the connection if more of the request's body is due."""
        wire = self._client.wire
        if wire.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            raise ConnectionResetError
        _take_body_at_hand(wire)
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(refusal.json)).encode()),
        ]
        if wire.their_state is not h11.DONE:
            headers.append((b"Connection", b"close"))
        status, send = refusal.http, self._client.send
        await send(h11.Response(status_code=status, reason=status.phrase, headers=headers))
        await send(h11.Data(data=b"" if self._verb == b"HEAD" else refusal.json))
        await send(h11.EndOfMessage())


def _take_body_at_hand(wire: h11.Connection) -> None:
    """Take the received part of a request's body: the connection goes on if that is all."""
    with contextlib.suppress(h11.RemoteProtocolError):
        while wire.their_state is h11.SEND_BODY and wire.next_event() is not h11.NEED_DATA:
            pass


def _passed_on(response: Any) -> Any:
    """A response's head for the client."""
    return type(response)(
        status_code=response.status_code,
        reason=response.reason,
        headers=_end_to_end(response.headers.raw_items()),
    )


def _end_to_end(headers: list[Header]) -> list[Header]:
    """The headers of the message, as opposed to those of its connection."""
    named = b",".join(values(b"connection", headers)).lower().split(b",")
    others = {each.strip() for each in named} - _OF_THE_MESSAGE
    return without(_HOP_BY_HOP | others, headers)
