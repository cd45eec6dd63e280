"""REST: JSON over HTTP/1.1, converted to protobuf and answered like gRPC.

The paths are those of `google.api.http`; a streaming method sends one response per line. Two more
paths have no gRPC method: a user's organisations, and the sign-in methods, which clients use to
check that the API is there. Requests for other protocols' paths go to `openai` and `mcp`.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from clarifai_grpc.grpc.api.status import status_pb2
from google.protobuf import json_format

from clarifai_magic.api.addresses import at
from clarifai_magic.api.answers import http_status
from clarifai_magic.api.scopes import request_class
from clarifai_magic.api.transcoding import fill, fill_from_json, to_json
from clarifai_magic.loopback.exchanges import MAX_BODY, Answer, Request
from clarifai_magic.sandbox import auth, mcp, openai
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.service import OutageError, Service, set_status

_ORGANIZATIONS = re.compile(r"/v2/users/([^/]+)/organizations")
_SIGN_IN_METHODS = "/v2/auth/methods"


def unreadable(status: HTTPStatus, details: str) -> Answer:
    """Answer a malformed request."""
    late = status is HTTPStatus.REQUEST_TIMEOUT
    code = codes.RPC_REQUEST_TIMEOUT if late else codes.CONN_BAD_REQUEST_FORMAT
    return _refused(code, details)


def answer(service: Service, request: Request) -> Answer:
    """Answer one request."""
    respond, refuse = _answer, _refused
    for other in (openai, mcp):
        if request.target.startswith(f"{other.PATH}/"):
            respond, refuse = other.answer, other.refused
            request = request._replace(headers=auth.keyed(request.headers))
    if request.size > MAX_BODY:
        details = f"A body has at most {MAX_BODY} bytes."
        return refuse(codes.RPC_MAX_MESSAGE_SIZE_EXCEEDED, details)
    try:
        return respond(service, request)
    except RefusedError as refusal:
        return refuse(refusal.code, refusal.details)
    except OutageError as outage:
        return refuse(codes.RPC_SERVER_UNAVAILABLE, str(outage))
    except (ValueError, RecursionError, json_format.ParseError) as error:
        return refuse(codes.CONN_BAD_REQUEST_FORMAT, str(error))


def _answer(service: Service, request: Request) -> Answer:
    target = urlsplit(request.target)
    verb = "GET" if request.verb == "HEAD" else request.verb
    if verb == "GET" and target.path == _SIGN_IN_METHODS:
        return _refused(codes.SUCCESS, "")
    if verb == "GET" and (user := _ORGANIZATIONS.fullmatch(target.path)):
        return _organizations(service, unquote(user[1]), request)
    if not (found := at(target.path)):
        raise RefusedError(codes.CONN_DOES_NOT_EXIST, f"Unknown path {target.path}.")
    if verb not in found:
        details = f"{target.path} takes {', '.join(sorted(found))}, not {verb}."
        raise RefusedError(codes.CONN_METHOD_NOT_ALLOWED, details)
    address, values = found[verb]
    message = request_class(address.method)()
    if address.has_body:
        fill_from_json(message, request.body)
    else:
        fill(message, parse_qs(target.query, keep_blank_values=True))
    fill(message, values)
    answers = list(service.answer(address.method, message, request.headers))
    status = http_status(answers[0].status.code if answers else codes.SUCCESS)
    return Answer(status, [b"\n".join(to_json(each) for each in answers)])


def _refused(code: int, details: str) -> Answer:
    response = status_pb2.BaseResponse()
    set_status(response.status, code, details)
    return Answer(http_status(code), [to_json(response)])


def _organizations(service: Service, user_id: str, request: Request) -> Answer:
    found = service.organizations(user_id, request.headers)
    status, [body] = _refused(codes.SUCCESS, "")[:2]
    listed = [{"organization": {"id": each, "name": name}} for each, name in found.items()]
    return Answer(status, [json.dumps({**json.loads(body), "organizations": listed}).encode()])
