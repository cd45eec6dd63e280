"""REST: JSON over HTTP/1.1, put into protobuf and answered as gRPC is.

The addresses are those of `google.api.http`; the answers of a streaming method follow each other, a
line each. Besides them there are two addresses without a gRPC method: a user's organisations, and
the ways of signing in, where clients look whether the API is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import h11
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from clarifai_magic import scopes
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.service import OutageError, Service, request_class, set_status

if TYPE_CHECKING:
    from concurrent.futures import Executor

MAX_BODY = 128 * 2**20  # bytes; what the live service takes

_PATIENCE = 30  # seconds for a request to arrive whole, or for the next one to begin
_LINGER = 2  # seconds for a client to take the last answer
_CHUNK = 2**18
_HTTP_STATUS = {
    status_code_pb2.SUCCESS: HTTPStatus.OK,
    status_code_pb2.MIXED_STATUS: HTTPStatus.OK,
    status_code_pb2.NOT_IMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    status_code_pb2.CONN_THROTTLED: HTTPStatus.TOO_MANY_REQUESTS,
    status_code_pb2.CONN_INSUFFICIENT_SCOPES: HTTPStatus.UNAUTHORIZED,
    status_code_pb2.CONN_KEY_INVALID: HTTPStatus.UNAUTHORIZED,
    status_code_pb2.CONN_KEY_NOT_FOUND: HTTPStatus.UNAUTHORIZED,
    status_code_pb2.CONN_METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    status_code_pb2.CONN_AUTH_METHOD_DISABLED: HTTPStatus.UNAUTHORIZED,
    status_code_pb2.RPC_REQUEST_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    status_code_pb2.RPC_MAX_MESSAGE_SIZE_EXCEEDED: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    status_code_pb2.RPC_SERVER_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
_ORGANIZATIONS = re.compile(r"/v2/users/([^/]+)/organizations")
_SIGN_IN_METHODS = "/v2/auth/methods"


class Request(NamedTuple):
    """An HTTP request."""

    verb: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    size: int


async def serve(
    service: Service,
    pool: Executor,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: bytes,
) -> None:
    """Answer the requests of one connection until either side ends it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    while connection.our_state is h11.IDLE:
        verb = ""
        try:
            request = await asyncio.wait_for(_read(connection, reader, writer), _PATIENCE)
            verb = request.verb
            loop = asyncio.get_running_loop()
            status, body = await loop.run_in_executor(pool, answer, service, request)
        except h11.RemoteProtocolError as error:
            status, body = _refused(status_code_pb2.CONN_BAD_REQUEST_FORMAT, str(error))
        except asyncio.TimeoutError:
            if connection.their_state is h11.IDLE and not connection.trailing_data[0]:
                return
            status, body = _refused(
                status_code_pb2.RPC_REQUEST_TIMEOUT, f"No whole request in {_PATIENCE} seconds."
            )
        await _send(connection, writer, status, b"" if verb == "HEAD" else body)
        if connection.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            connection.start_next_cycle()
    await _linger(reader, writer)


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
        connection.receive_data(await reader.read(_CHUNK))
    if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
        raise ConnectionResetError
    return event


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, status: HTTPStatus, body: bytes
) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if connection.their_state is not h11.DONE:
        headers.append(("Connection", "close"))
    for event in (
        h11.Response(status_code=status, reason=status.phrase, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ):
        writer.write(connection.send(event) or b"")
    await writer.drain()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the last answer arrive: closing on unread input would reset the connection."""

    async def discard() -> None:
        while await reader.read(_CHUNK):
            pass

    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(discard(), _LINGER)


def answer(service: Service, request: Request) -> tuple[HTTPStatus, bytes]:
    """Answer one request."""
    try:
        return _answer(service, request)
    except RefusedError as refusal:
        return _refused(refusal.code, refusal.details)
    except OutageError as outage:
        return _refused(status_code_pb2.RPC_SERVER_UNAVAILABLE, str(outage))
    except (ValueError, RecursionError, json_format.ParseError) as error:
        return _refused(status_code_pb2.CONN_BAD_REQUEST_FORMAT, str(error))


def _answer(service: Service, request: Request) -> tuple[HTTPStatus, bytes]:
    if request.size > MAX_BODY:
        raise RefusedError(
            status_code_pb2.RPC_MAX_MESSAGE_SIZE_EXCEEDED, f"A body has at most {MAX_BODY} bytes."
        )
    target = urlsplit(request.target)
    verb = "GET" if request.verb == "HEAD" else request.verb
    if verb == "GET" and target.path == _SIGN_IN_METHODS:
        return _refused(status_code_pb2.SUCCESS, "")
    if verb == "GET" and (found := _ORGANIZATIONS.fullmatch(target.path)):
        return _organizations(service, unquote(found[1]), request)
    address, values = _addressed(verb, target.path)
    message = request_class(address.method)()
    if address.has_body:
        _fill_from_json(message, request.body)
    else:
        _fill(message, parse_qs(target.query, keep_blank_values=True))
    _fill(message, {name: [value] for name, value in zip(address.variables, values, strict=True)})
    answers = list(service.answer(address.method, message, request.headers))
    status = _http_status(answers[0].status.code if answers else status_code_pb2.SUCCESS)
    return status, b"\n".join(_json(each) for each in answers)


# Addresses


class _Address(NamedTuple):
    method: str
    verb: str
    pattern: re.Pattern[str]
    variables: list[str]
    has_body: bool


@cache
def _addresses() -> list[_Address]:
    """List every address, those with fewer variables first: `models/types` is no model's ID."""
    addresses = [
        _Address(
            method,
            route.verb,
            re.compile(re.sub(r"\{[^}]+\}", "([^/]+)", route.path)),
            re.findall(r"\{([^}]+)\}", route.path),
            route.has_body,
        )
        for method in scopes.methods()
        for route in scopes.routes(method)
    ]

    def rank(address: _Address) -> tuple[int, bool]:
        # One method that adds is also bound to the GET of the one that lists.
        misbound = address.verb == "GET" and address.method.startswith("Post")
        return len(address.variables), misbound

    return sorted(addresses, key=rank)


def _addressed(verb: str, path: str) -> tuple[_Address, list[str]]:
    fits = [(each, found) for each in _addresses() if (found := each.pattern.fullmatch(path))]
    for address, found in fits:
        if address.verb == verb:
            return address, [unquote(value) for value in found.groups()]
    if fits:
        allowed = ", ".join(sorted({address.verb for address, _ in fits}))
        raise RefusedError(
            status_code_pb2.CONN_METHOD_NOT_ALLOWED, f"{path} takes {allowed}, not {verb}."
        )
    raise RefusedError(status_code_pb2.CONN_DOES_NOT_EXIST, f"There is no address {path}.")


# JSON and protobuf


def _fill_from_json(message: Any, body: bytes) -> None:
    content = json.loads(body or b"{}")
    if not isinstance(content, dict):
        raise RefusedError(
            status_code_pb2.CONN_BAD_REQUEST_FORMAT, "The body is JSON, but no object."
        )
    json_format.ParseDict(content, message)


def _fill(message: Any, named: dict[str, list[str]]) -> None:
    """Put values under dotted names, as query and path have them, into a message."""
    for name, values in named.items():
        json_format.ParseDict(_nested(message.DESCRIPTOR, name, values), message)


def _nested(descriptor: Any, name: str, values: list[str]) -> dict[str, Any]:
    first, _, rest = name.partition(".")
    field = descriptor and descriptor.fields_by_name.get(first)
    if field is None:
        raise RefusedError(
            status_code_pb2.CONN_BAD_REQUEST_FORMAT, f"The request has no field '{first}'."
        )
    if rest:
        return {first: _nested(field.message_type, rest, values)}
    is_flag = field.type == FieldDescriptor.TYPE_BOOL
    typed = [value == "true" if is_flag else value for value in values]
    return {first: typed if scopes.is_repeated(field) else typed[-1]}


def _json(message: Any) -> bytes:
    """Write as the live service does: snake case, codes as numbers, empty lists present."""
    lists: dict[str, Any] = {
        field.name: [] for field in message.DESCRIPTOR.fields if scopes.is_repeated(field)
    }
    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, use_integers_for_enums=True
    )
    return json.dumps(lists | fields).encode()


def _refused(code: int, details: str) -> tuple[HTTPStatus, bytes]:
    response = status_pb2.BaseResponse()
    set_status(response.status, code, details)
    return _http_status(code), _json(response)


def _http_status(code: int) -> HTTPStatus:
    if status_code_pb2.StatusCode.Name(code).endswith("_DOES_NOT_EXIST"):
        return HTTPStatus.NOT_FOUND
    return _HTTP_STATUS.get(code, HTTPStatus.BAD_REQUEST)


def _organizations(service: Service, user_id: str, request: Request) -> tuple[HTTPStatus, bytes]:
    found = service.organizations(user_id, request.headers)
    _, status = _refused(status_code_pb2.SUCCESS, "")
    listed = [{"organization": {"id": each, "name": name}} for each, name in found.items()]
    return HTTPStatus.OK, json.dumps({**json.loads(status), "organizations": listed}).encode()
