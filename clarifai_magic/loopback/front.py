"""One loopback port, where the first bytes distinguish HTTP/2 from HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from clarifai_magic.loopback.forks import keep_from_children

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]

LOOPBACK = "127.0.0.1"
CHUNK = 2**18

_HTTP2 = b"PRI "  # the start of the connection preface of RFC 9113, section 3.4
_PATIENCE = 10  # seconds for a client to send its first bytes
_LINGER = 2  # seconds for a client to take the last response


class Front:
    """Distinguishes HTTP/2 from HTTP/1.1 by the first bytes, and forwards each.

    Parameters
    ----------
    http1, http2 : coroutine function
        Serves one connection of that protocol: takes its reader, its writer and the first bytes.
        The connection is dropped when it returns.
    most_unknown : int, optional
        The most open connections that are not called known; one more drops the oldest of them.
        None for any number.
    """

    def __init__(self, http1: Serve, http2: Serve, most_unknown: int | None = None) -> None:
        self._http1 = http1
        self._http2 = http2
        self._most_unknown = most_unknown
        self._unknown: dict[asyncio.StreamWriter, None] = {}

    def know(self, writer: asyncio.StreamWriter) -> None:
        """Keep a connection, however many unknown ones there are."""
        self._unknown.pop(writer, None)

    async def serve(
        self,
        port: int,
        context: ssl.SSLContext | None,
        listening: Callable[[int], None],
        stop: asyncio.Event,
    ) -> None:
        """Serve until `stop`.

        Parameters
        ----------
        port : int
            The port, 0 for any that is free.
        context : ssl.SSLContext, optional
            For TLS.
        listening : callable
            Called with the port, once clients can connect.
        stop : asyncio.Event
            Ends it, and every connection.

        Raises
        ------
        OSError
            If the port cannot be used.
        """
        handshake = {"ssl_handshake_timeout": _PATIENCE} if context else {}
        try:
            server = await asyncio.start_server(
                self._accept, LOOPBACK, port, ssl=context, limit=CHUNK, **handshake
            )
        except (OSError, OverflowError) as error:
            raise OSError(
                f"Port {port} cannot be used: {error}.\nUse another port, or 0 for any free port."
            ) from None
        keep_from_children(server)
        listening(server.sockets[0].getsockname()[1])
        await stop.wait()
        # Accepts waiting clients, and closes them: not every kernel does.
        for _ in range(2):  # asyncio's loop looks at the port, then accepts
            await asyncio.sleep(0)
        server.close()
        # Repeatedly, because a connection may be about to get its task.
        while connections := asyncio.all_tasks() - {asyncio.current_task()}:
            # A task that has not begun cannot suppress its cancellation, which is then logged.
            await asyncio.sleep(0)
            for connection in connections:
                connection.cancel()
            # Not forever: asyncio.wait_for may lose a cancellation (before Python 3.12).
            await asyncio.wait(connections, timeout=0.1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep_from_children(writer)
        self._unknown[writer] = None
        if self._most_unknown is not None and len(self._unknown) > self._most_unknown:
            oldest = next(iter(self._unknown))
            del self._unknown[oldest]
            oldest.transport.abort()
        try:
            head = await asyncio.wait_for(reader.readexactly(len(_HTTP2)), _PATIENCE)
            serve = self._http2 if head == _HTTP2 else self._http1
            await serve(reader, writer, head)
        except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError):
            pass  # the client disconnected, or sent nothing
        except asyncio.CancelledError:
            pass  # the server closes; asyncio's streams log a cancellation that gets through
        finally:
            self._unknown.pop(writer, None)
            writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward bytes, no faster than the receiver takes them, until the sender ends."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def relay(
    port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
) -> None:
    """Forward a connection to the server behind the front, at its own port."""
    up_reader, up_writer = await asyncio.open_connection(LOOPBACK, port, limit=CHUNK)
    try:
        up_writer.write(head)
        pumps = [
            asyncio.ensure_future(pump(reader, up_writer)),
            asyncio.ensure_future(pump(up_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pumps:
                each.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        up_writer.transport.abort()


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the last response arrive: closing on unread input would reset the connection."""

    async def discard() -> None:
        while await reader.read(CHUNK):
            pass

    with contextlib.suppress(asyncio.TimeoutError, OSError):
        if writer.can_write_eof():
            writer.write_eof()
        await asyncio.wait_for(discard(), _LINGER)
