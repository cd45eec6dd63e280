"""How the live API reports a status: its words and, over REST, its HTTP status."""

from __future__ import annotations

from http import HTTPStatus

from clarifai_grpc.grpc.api.status import status_code_pb2

# As the live service words them (https://docs.clarifai.com/resources/api-overview/status-codes/).
_DESCRIPTIONS = {
    status_code_pb2.SUCCESS: "Ok",
    status_code_pb2.MIXED_STATUS: "Mixed Success",
    status_code_pb2.CONN_THROTTLED: "Making too many requests",
    status_code_pb2.CONN_INSUFFICIENT_SCOPES: "API key has insufficient permissions",
    status_code_pb2.CONN_KEY_INVALID: "Invalid API key or Invalid API key/application pair",
    status_code_pb2.CONN_KEY_NOT_FOUND: "API key not found",
    status_code_pb2.CONN_BAD_REQUEST_FORMAT: "Bad request format",
    status_code_pb2.CONN_DOES_NOT_EXIST: "Resource does not exist",
    status_code_pb2.CONN_INVALID_REQUEST: "Invalid request",
    status_code_pb2.CONN_METHOD_NOT_ALLOWED: "Method not allowed",
    status_code_pb2.CONN_AUTH_METHOD_DISABLED: "Authentication method is disabled",
}

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


def described(code: int) -> str:
    """Put a status code in words."""
    name: str = status_code_pb2.StatusCode.Name(code)
    return _DESCRIPTIONS.get(code, name.replace("_", " ").capitalize())


def http_status(code: int) -> HTTPStatus:
    """Give the HTTP status of a response with this code."""
    if status_code_pb2.StatusCode.Name(code).endswith("_DOES_NOT_EXIST"):
        return HTTPStatus.NOT_FOUND
    return _HTTP_STATUS.get(code, HTTPStatus.BAD_REQUEST)
