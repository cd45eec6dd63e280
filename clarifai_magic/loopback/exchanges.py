"""HTTP/1.1 on the server's side: reads complete requests in order, and answers them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import h11

from clarifai_magic.loopback.front import CHUNK, linger

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

JSON = "application/json"
EVENTS = "text/event-stream"
MAX_BODY = 128 * 2**20  # bytes; the live service's limit

_PATIENCE = 30  # seconds for a complete request, or until the next one begins


class Request(NamedTuple):
    """An HTTP request; a body larger than `MAX_BODY` is not read, only its size given."""

    verb: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    size: int


class Answer(NamedTuple):
    """An HTTP response; the parts of an event stream are sent one by one."""

    status: HTTPStatus
    parts: list[bytes]
    media_type: str = JSON


async def serve(  # noqa: PLR0913 - half of them are one connection
    answer: Callable[[Request], Answer],
    refused: Callable[[HTTPStatus, str], Answer],
    pool: Executor,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: bytes,
) -> None:
    """Answer the requests of one connection until either side ends it.

    Parameters
    ----------
    answer : callable
        Answers a request, in a thread of the pool.
    refused : callable
        Says what is wrong with a malformed request.
    pool : Executor
        Runs `answer`.
    reader, writer : asyncio streams
        The connection.
    head : bytes
        The bytes already read.
    """
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    while connection.our_state is h11.IDLE:
        verb = ""
        try:
            request = await asyncio.wait_for(_read(connection, reader, writer), _PATIENCE)
            verb = request.verb
            given = await asyncio.get_running_loop().run_in_executor(pool, answer, request)
        except h11.RemoteProtocolError as error:
            given = refused(HTTPStatus.BAD_REQUEST, str(error))
        except asyncio.TimeoutError:
            if connection.their_state is h11.IDLE and not connection.trailing_data[0]:
                return
            given = refused(HTTPStatus.REQUEST_TIMEOUT, f"No whole request in {_PATIENCE} seconds.")
        await _send(connection, writer, given, head_alone=verb == "HEAD")
        if connection.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            connection.start_next_cycle()
    await linger(reader, writer)


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request:
    body = bytearray()
    while not isinstance(event := await _event(connection, reader, writer), h11.Request):
        pass
    verb, target = event.method.decode(), event.target.decode()
    headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
    size = int(dict(headers).get("content-length", 0))
    while size <= MAX_BODY:
        event = await _event(connection, reader, writer)
        if isinstance(event, h11.EndOfMessage):
            break
        if isinstance(event, h11.Data):
            body += event.data
            size = max(size, len(body))
    return Request(verb, target, headers, bytes(body), size)


async def _event(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> h11.Event:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[])
            writer.write(connection.send(go_on) or b"")
        connection.receive_data(await reader.read(CHUNK))
    if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
        raise ConnectionResetError
    return event


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, given: Answer, *, head_alone: bool
) -> None:
    status, parts, media_type = given
    headers = [("Content-Type", media_type)]
    if media_type != EVENTS:  # sent in chunks
        parts = [b"".join(parts)]
        headers.append(("Content-Length", str(len(parts[0]))))
    if connection.their_state is not h11.DONE:
        headers.append(("Connection", "close"))
    response = h11.Response(status_code=status, reason=status.phrase, headers=headers)
    body = [h11.Data(data=part) for part in parts if not head_alone]
    for event in (response, *body, h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
        await writer.drain()
