"""Which requests the broker accepts: those with the session's token, addressed to this machine."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from google.protobuf import any_pb2
from google.rpc import status_pb2 as rpc_status_pb2
from grpc import StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Header = tuple[bytes, bytes]

MOST_HEADERS = 2**16  # bytes of a request's headers, as sent and as decoded

_WORDS = {b"key", b"bearer"}
_VISIBLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class Refusal(Exception):  # noqa: N818 - an answer, no failure
    """The broker answers a request itself, in the API's format, and sends nothing upstream.

    Parameters
    ----------
    http : HTTPStatus
        The response's HTTP status.
    rpc : grpc.StatusCode
        Its gRPC status.
    code : int
        The `clarifai.api.status.StatusCode`.
    description, details : str
        What is wrong, in a few words and in a sentence.
    """

    def __init__(
        self, http: HTTPStatus, rpc: StatusCode, code: int, description: str, details: str
    ) -> None:
        super().__init__(details)
        self.http = http
        self.rpc = rpc
        self._status = status_pb2.Status(
            code=code, description=description, details=details, req_id=uuid.uuid4().hex
        )

    @property
    def json(self) -> bytes:
        """The body of a REST response."""
        names = ("code", "description", "details", "req_id")
        return json.dumps(
            {"status": {each: getattr(self._status, each) for each in names}}
        ).encode()

    @property
    def trailers(self) -> list[Header]:
        """The trailers of a gRPC call, with the API's status in the details of gRPC's."""
        number: int = self.rpc.value[0]
        words = f"{self._status.description}: {self._status.details}"
        rich = rpc_status_pb2.Status(code=number, message=words, details=[any_pb2.Any()])
        rich.details[0].Pack(self._status)
        return [
            (b"grpc-status", str(number).encode()),
            (b"grpc-message", quote(words, safe=_VISIBLE).encode()),
            (b"grpc-status-details-bin", base64.b64encode(rich.SerializeToString()).rstrip(b"=")),
        ]


class Request(NamedTuple):
    """What a request says about its destination and its caller.

    Parameters
    ----------
    hosts : list of bytes
        The values of `Host` or ``:authority``.
    authorizations : list of bytes
        The values of `Authorization`.
    """

    hosts: list[bytes]
    authorizations: list[bytes]


class Gate:
    """Admits requests with a token, and returns the header for upstream.

    Parameters
    ----------
    token : str
        The session's token.
    key : callable
        Returns the key; called for each request, and stored nowhere.
    """

    def __init__(self, token: str, key: Callable[[], str]) -> None:
        self._token = token.encode()
        self._key: Callable[[], str] | None = key

    def close(self) -> None:
        """Stop admitting requests, and release the key."""
        self._key = None

    def authorization(self, request: Request) -> bytes:
        """The header for upstream.

        Raises
        ------
        Refusal
            If the request is not admitted.
        """
        _require_this_machine(request.hosts)
        if len(request.authorizations) != 1:
            raise _no_token()
        word, _, token = request.authorizations[0].partition(b" ")
        if word.lower() not in _WORDS:
            raise _no_token()
        key = self._key
        if key is None or not hmac.compare_digest(token, self._token):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                StatusCode.UNAUTHENTICATED,
                status_code_pb2.CONN_KEY_NOT_FOUND,
                "Session token not found",
                "This is not the token of the session at this port; a token ends at logout.",
            )
        return word + b" " + key().encode()


def without(names: Iterable[bytes], headers: Iterable[Header]) -> list[Header]:
    """The headers except some names."""
    unwanted = set(names)
    return [(name, value) for name, value in headers if name.lower() not in unwanted]


def values(name: bytes, headers: Iterable[Header]) -> list[bytes]:
    """The values of every header with a name."""
    return [bytes(value) for each, value in headers if each.lower() == name]


def unavailable(details: str) -> Refusal:
    """The response if upstream sends none."""
    return Refusal(
        HTTPStatus.BAD_GATEWAY,
        StatusCode.UNAVAILABLE,
        status_code_pb2.RPC_SERVER_UNAVAILABLE,
        "Server unavailable",
        details,
    )


def malformed(details: str, http: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Refusal:
    """The response to an unreadable request."""
    return Refusal(
        http,
        StatusCode.INTERNAL,
        status_code_pb2.CONN_BAD_REQUEST_FORMAT,
        "Bad request format",
        details,
    )


def _no_token() -> Refusal:
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        StatusCode.UNAUTHENTICATED,
        status_code_pb2.CONN_INVALID_REQUEST,
        "Invalid request",
        "A request needs one header 'Authorization: Key TOKEN' with the session's token.",
    )


def _require_this_machine(hosts: list[bytes]) -> None:
    """Refuse requests from a page whose host name points to this machine (DNS rebinding)."""
    if not hosts or not all(_is_loopback(host) for host in hosts):
        raise Refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            StatusCode.PERMISSION_DENIED,
            status_code_pb2.CONN_INVALID_REQUEST,
            "Invalid request",
            "The broker accepts only requests to 127.0.0.1 or localhost.",
        )


def _is_loopback(host: bytes) -> bool:
    try:
        text = host.decode("ascii")
        parts = urlsplit(f"//{text}")
        name, _ = parts.hostname or "", parts.port
        if parts.netloc != text or parts.username is not None:  # more than host and port
            return False
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
