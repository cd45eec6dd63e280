"""MCP over streamable HTTP: each model is a server with one tool, which makes the model predict.

There are no sessions and no unsolicited messages, so every response is one JSON object.
"""

from __future__ import annotations

import base64
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from google.protobuf import json_format

from clarifai_magic.api.answers import described, http_status
from clarifai_magic.loopback.exchanges import Answer, Request
from clarifai_magic.sandbox import predict
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.forms import parsed

if TYPE_CHECKING:
    from clarifai_magic.sandbox.service import Service

PATH = "/v2/ext/mcp/v1"

_ADDRESS = re.compile(f"{PATH}/users/([^/]+)/apps/([^/]+)/models/([^/]+)(?:/versions/([^/]+))?/?")
_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")  # of MCP, the newest first
_INPUT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_TOOL = {"name": "predict", "description": predict.DESCRIPTION, "inputSchema": _INPUT}


def answer(service: Service, request: Request) -> Answer:
    """Answer one request."""
    if not (found := _ADDRESS.fullmatch(urlsplit(request.target).path)):
        raise RefusedError(codes.CONN_DOES_NOT_EXIST, "Unknown path.")
    if request.verb != "POST":
        raise RefusedError(codes.CONN_METHOD_NOT_ALLOWED, "Use POST for MCP.")
    user_id, app_id, model_id, version_id = ids = [unquote(each or "") for each in found.groups()]
    wanted = service_pb2.GetModelRequest(model_id=model_id, version_id=version_id)
    wanted.user_app_id.user_id, wanted.user_app_id.app_id = user_id, app_id
    message = parsed(request.body)
    service.call("GetModel", wanted, request.headers)
    given = isinstance(message, dict) and (message.get("params") or {})
    if not isinstance(given, dict) or not isinstance(message.get("method"), str):
        return _failed(-32600, "This is not a JSON-RPC request.")
    if "id" not in message:  # a notification
        return Answer(HTTPStatus.ACCEPTED, [])
    if message["method"] != "tools/call":
        return _described(message["id"], message["method"], given, model_id)
    arguments = given.get("name") == _TOOL["name"] and given.get("arguments")
    if not isinstance(arguments, dict) or not isinstance(text := arguments.get("text"), str):
        return _failed(-32602, "The only tool is predict, with a text.", message["id"])
    [output] = service.outputs(ids, [{"text": {"raw": text}}], request.headers)
    return _told(message["id"], result={"content": [_content(output.data)]})


def refused(code: int, details: str) -> Answer:
    """Convert Clarifai's status to a JSON-RPC error."""
    return _failed(code, f"{described(code)}: {details}")._replace(status=http_status(code))


def _described(number: Any, method: str, given: Any, model_id: str) -> Answer:
    """Say what the server is and can do."""
    asked, info = given.get("protocolVersion"), {"name": f"{model_id} (sandbox)", "version": "1"}
    version = {"protocolVersion": asked if asked in _VERSIONS else _VERSIONS[0]}
    results: dict[str, Any] = {
        "initialize": {**version, "capabilities": {"tools": {}}, "serverInfo": info},
        "ping": {},
        "tools/list": {"tools": [_TOOL]},
    }
    if method not in results:
        return _failed(-32601, f"There is no method '{method}'.", number)
    return _told(number, result=results[method])


def _content(data: Any) -> dict[str, Any]:
    if picture := data.image.base64:
        encoded = base64.b64encode(picture).decode()
        return {"type": "image", "data": encoded, "mimeType": "image/png"}
    found = json_format.MessageToDict(data, preserving_proto_field_name=True)
    return {"type": "text", "text": data.text.raw or json.dumps(found)}


def _told(number: Any, **fields: Any) -> Answer:
    return Answer(HTTPStatus.OK, [json.dumps({"jsonrpc": "2.0", "id": number, **fields}).encode()])


def _failed(code: int, message: str, number: Any = None) -> Answer:
    return _told(number, error={"code": code, "message": message})
