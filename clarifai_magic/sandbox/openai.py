"""OpenAI's protocol: chat completions, responses, embeddings, images and models.

A request becomes a call of PostModelOutputs, so that keys, scopes, IDs and faults are as
everywhere. A model's name is its URL, `user/app/models/id`, or a unique ID. The model answers the
last message; it accepts sampling options, which change nothing. It calls a tool that it must call;
if it may call one, it does so for a message, not for a tool's result: the one whose name and
description are most like the message, which becomes its argument.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.api.answers import described, http_status
from clarifai_magic.loopback.exchanges import EVENTS, Answer, Request
from clarifai_magic.sandbox import auth, predict
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.forms import parsed, require
from clarifai_magic.sandbox.resources import invalid
from clarifai_magic.sandbox.schemas import Maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from clarifai_magic.sandbox.service import Service

PATH = "/v2/ext/openai/v1"

_NAME = re.compile(r"(?:https?://[^/]+/)?([^/]+)/([^/]+)/models/([^/]+)(?:/versions/([^/]+))?/?")
_USEFUL = re.compile("to-text|to-image|embed")  # the model types that this protocol supports
_MOST_IMAGES = 10
_ERRORS = {401: "authentication_error", 429: "rate_limit_error"}
_ERRORS |= {501: "server_error", 503: "server_error"}


class _Call(NamedTuple):
    service: Service
    headers: list[tuple[str, str]]
    body: dict[str, Any]

    def predict(self, inputs: Iterable[Any], field: str) -> list[Any]:
        """Give a model's outputs, whose data have this field."""
        outputs = self.service.outputs(self._meant(self.body["model"]), inputs, self.headers)
        for output in outputs:
            if field not in [each.name for each, _ in output.data.ListFields()]:
                model_id, kind = output.model.id, output.model.model_type_id
                raise invalid(f"model '{model_id}' is a {kind}, which gives no {field}.")
        return outputs

    def _meant(self, name: str) -> tuple[str, ...]:
        if found := _NAME.fullmatch(name):
            return found.groups(default="")
        same = [each for each in self.service.models(self.headers) if each.id == name]
        if not same:
            raise auth.absent(f"model '{name}'")
        if same[1:]:
            raise invalid(f"model '{name}' is one of: {', '.join(map(_name, same))}.")
        return same[0].user_id, same[0].app_id, name, ""


def answer(service: Service, request: Request) -> Answer:
    """Answer one request."""
    path = unquote(urlsplit(request.target).path).removeprefix(PATH)
    verb = "GET" if request.verb == "HEAD" else request.verb
    is_models = path == "/models" or path.startswith("/models/")
    if not is_models and path not in _ENDPOINTS:
        raise RefusedError(codes.CONN_DOES_NOT_EXIST, f"Unknown path {path}.")
    if verb != (wanted := "GET" if is_models else "POST"):
        raise RefusedError(codes.CONN_METHOD_NOT_ALLOWED, f"{path} takes {wanted}, not {verb}.")
    if is_models:
        return _models(service.models(request.headers), path.removeprefix("/models").strip("/"))
    respond, form = _ENDPOINTS[path]
    require(body := parsed(request.body), {"model": str, **form}, "body")
    return respond(_Call(service, request.headers, body))


def refused(code: int, details: str) -> Answer:
    """Convert Clarifai's status to OpenAI's format."""
    status = http_status(code)
    kind = _ERRORS.get(status, "invalid_request_error")
    message = f"{described(code)}: {details}"
    error = {"message": message, "type": kind, "param": None, "code": str(code)}
    return _whole({"error": error}, status)


def _whole(content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, [json.dumps(content).encode()])


def _events(contents: Iterable[tuple[str, str]]) -> Answer:
    events = [f"event: {name}\n" * bool(name) + f"data: {data}\n\n" for name, data in contents]
    return Answer(HTTPStatus.OK, [event.encode() for event in events], EVENTS)


# Models, embeddings and images


def _name(model: Any) -> str:
    return f"{model.user_id}/{model.app_id}/models/{model.id}"


def _models(visible: list[Any], name: str) -> Answer:
    useful = [each for each in visible if _USEFUL.search(each.model_type_id)]
    if name:
        wanted = _NAME.sub(r"\1/\2/models/\3", name)
        useful = [each for each in useful if wanted in (_name(each), each.id)]
    found = [
        {"id": _name(each), "object": "model", "owned_by": each.user_id}
        | {"created": each.created_at.seconds}
        for each in useful
    ]
    if name and len(found) != 1:
        raise auth.absent(f"model '{name}'")
    return _whole(found[0] if name else {"object": "list", "data": found})


def _embeddings(call: _Call) -> Answer:
    asked = call.body["input"]
    if isinstance(asked, str) or all(isinstance(each, int) for each in asked):
        asked = [asked]
    if call.body.get("dimensions") not in (None, predict.DIMENSIONS):
        raise invalid(f"dimensions: the sandbox's models have {predict.DIMENSIONS}.")
    texts = [each if isinstance(each, str) else " ".join(map(str, each)) for each in asked]
    outputs = call.predict(map(_data, texts), "embeddings")
    vectors: list[Any] = [list(output.data.embeddings[0].vector) for output in outputs]
    if call.body.get("encoding_format") == "base64":
        packed = [struct.pack(f"<{predict.DIMENSIONS}f", *vector) for vector in vectors]
        vectors = [base64.b64encode(each).decode() for each in packed]
    numbered = enumerate(vectors)
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in numbered]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _whole({"object": "list", "data": data, "model": call.body["model"], "usage": usage})


def _images(call: _Call) -> Answer:
    count = 1 if (wanted := call.body.get("n")) is None else wanted
    if not 0 < count <= _MOST_IMAGES:
        raise invalid(f"n: from 1 to {_MOST_IMAGES}.")
    [output] = call.predict([_data(call.body["prompt"])], "image")
    content = base64.b64encode(output.data.image.base64).decode()
    image = {"b64_json": content}
    if call.body.get("response_format") == "url":
        image = {"url": f"data:image/png;base64,{content}"}
    image["revised_prompt"] = predict.DESCRIPTION
    return _whole({"created": int(time.time()), "data": [image] * count})


# The request, and the reply


class _Reply(NamedTuple):
    text: str  # of a message, or the arguments of a function
    function: str  # that is called; empty for a message
    asked_tokens: int
    number: str

    @property
    def pieces(self) -> list[str]:
        return re.findall(r"\s*\S+", self.text)

    def usage(self, asked: str, replied: str) -> dict[str, Any]:
        count = len(self.pieces)
        total = self.asked_tokens + count
        return {asked: self.asked_tokens, replied: count, "total_tokens": total}


def _reply(call: _Call, said: list[Any], form: Any) -> _Reply:
    """Make a model reply to the last message, in a form such as a JSON schema's."""
    if not said:
        raise invalid("The request has no message for the model to reply to.")
    require(turn := said[-1], _TURN, "the last message")
    data = _data(turn.get("output") or turn.get("content") or "")
    [output] = call.predict([data], "text")
    text, asked = output.data.text.raw, data.text.raw
    is_result = turn.get("role") == "tool" or turn.get("type") == "function_call_output"
    if function := _function(call.body, asked, is_result=is_result):
        schema = function.get("parameters") or {"type": "object"}
        text = json.dumps(Maker(schema, asked).value(schema))
    elif form.get("type") == "json_schema":
        schema = (form.get("json_schema") or form).get("schema")
        if schema is None:
            raise invalid("The format json_schema has no schema.")
        text = json.dumps(Maker(schema, text).value(schema))
    elif form.get("type") == "json_object":
        text = json.dumps({"answer": text})
    name = function["name"] if function else ""
    return _Reply(text, name, output.prompt_tokens, uuid.uuid4().hex)


def _data(content: Any) -> Any:
    """Put a message's contents, texts and a picture, into protobuf."""
    data = resources_pb2.Data()
    parts = [{"text": content}] if isinstance(content, str) else content
    data.text.raw = "\n".join(part["text"] for part in parts if part.get("text"))
    for url in [part["image_url"] for part in parts if part.get("image_url")]:
        address = url if isinstance(url, str) else url["url"]
        _, is_base64, encoded = address.partition(";base64,")
        if is_base64:
            data.image.base64 = base64.b64decode(encoded, validate=True)
        else:
            data.image.url = address
    return data


def _function(body: dict[str, Any], asked: str, *, is_result: bool) -> Any:
    """Choose the function to call, if any."""
    tools = [tool for tool in body.get("tools") or [] if tool["type"] == "function"]
    functions = [tool.get("function") or tool for tool in tools]
    require(functions, [_FUNCTION], "tools")
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        name = (choice.get("function") or choice).get("name")
        functions = [each for each in functions if each["name"] == name]
        if not functions:
            raise invalid("tool_choice names none of the functions.")
    elif choice == "none" or (choice == "auto" and is_result):
        return None

    def likeness(function: dict[str, Any]) -> float:
        words = f"{function['name']} {function.get('description')}"
        return predict.likeness(words.encode(), asked.encode())

    return max(functions, key=likeness, default=None)


# Chat completions


def _chat(call: _Call) -> Answer:
    body = call.body
    if body.get("n") not in (None, 1):
        raise invalid("n: the sandbox gives one choice.")
    reply = _reply(call, body["messages"], body.get("response_format") or {})
    common = {"id": f"chatcmpl-{reply.number}", "created": int(time.time()), "model": body["model"]}
    end = "tool_calls" if reply.function else "stop"
    usage = reply.usage("prompt_tokens", "completion_tokens")
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.function:
            message |= {"content": None, "tool_calls": [_called(reply, reply.text)]}
        choices = [{"index": 0, "message": message, "finish_reason": end}]
        return _whole({**common, "object": "chat.completion", "choices": choices, "usage": usage})
    common["object"] = "chat.completion.chunk"
    told = [*((delta, None) for delta in _deltas(reply)), ({}, end)]
    chunks = [
        {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in told
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**common, "choices": [], "usage": usage})
    return _events([*(("", json.dumps(each)) for each in chunks), ("", "[DONE]")])


def _called(reply: _Reply, arguments: str) -> dict[str, Any]:
    function = {"name": reply.function, "arguments": arguments}
    return {"id": f"call_{reply.number}", "type": "function", "function": function}


def _deltas(reply: _Reply) -> Iterator[dict[str, Any]]:
    if reply.function:
        yield {"role": "assistant", "tool_calls": [{"index": 0, **_called(reply, "")}]}
        for piece in reply.pieces:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    else:
        yield {"role": "assistant", "content": ""}
        yield from ({"content": piece} for piece in reply.pieces)


# Responses


def _responses(call: _Call) -> Answer:
    body, said = call.body, call.body["input"]
    if before := body.get("previous_response_id"):
        raise auth.absent(f"The sandbox keeps no responses: previous_response_id '{before}'")
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    reply = _reply(call, [{"content": said}] if isinstance(said, str) else said, form)
    item = _item(reply)
    usage = reply.usage("input_tokens", "output_tokens")
    usage["input_tokens_details"] = {"cached_tokens": 0, "cache_write_tokens": 0}
    usage["output_tokens_details"] = {"reasoning_tokens": 0}
    tools = [{"parameters": None, "strict": None, **tool} for tool in body.get("tools") or []]
    response = {"id": f"resp_{reply.number}", "object": "response", "model": body["model"]}
    response |= {"created_at": int(time.time()), "status": "completed", "output": [item]}
    response |= {"usage": usage, "instructions": body.get("instructions"), "text": {"format": form}}
    response |= {"tools": tools, "tool_choice": body.get("tool_choice") or "auto"}
    response["parallel_tool_calls"] = False
    if not body.get("stream"):
        return _whole(response)
    return _events(
        (kind, json.dumps({"type": kind, "sequence_number": number, **fields}))
        for number, (kind, fields) in enumerate(_told(response, item, reply))
    )


def _item(reply: _Reply) -> dict[str, Any]:
    if reply.function:
        function = {"name": reply.function, "arguments": reply.text}
        call = {"type": "function_call", "call_id": f"call_{reply.number}", **function}
        return {**call, "id": f"fc_{reply.number}", "status": "completed"}
    part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
    message = {"type": "message", "role": "assistant", "content": [part]}
    return {**message, "id": f"msg_{reply.number}", "status": "completed"}


def _told(response: Any, item: Any, reply: _Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream a response, event by event, from its start to the whole."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    unsaid: dict[str, Any] = {"arguments": ""} if reply.function else {"content": []}
    new = {**item, **unsaid, "status": "in_progress"}
    yield "response.output_item.added", {"output_index": 0, "item": new}
    at: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
    if reply.function:
        for piece in reply.pieces:
            yield "response.function_call_arguments.delta", {**at, "delta": piece}
        yield "response.function_call_arguments.done", {**at, "arguments": reply.text}
    else:
        at["content_index"], [part] = 0, item["content"]
        yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
        for piece in reply.pieces:
            yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**at, "text": reply.text, "logprobs": []}
        yield "response.content_part.done", {**at, "part": part}
    yield "response.output_item.done", {"output_index": 0, "item": item}
    yield "response.completed", {"response": response}


# The checks of requests before anything else; other fields change nothing.

_PART = {"text?": str, "image_url?": (str, {"url": str})}
_TURN = {"role?": str, "type?": str, "content?": (str, [_PART]), "output?": (str, [_PART])}
_FORMAT = {"type": str, "schema?": dict, "json_schema?": {"schema?": dict}}
_FUNCTION = {"name": str, "description?": str, "parameters?": dict}
_REPLY = {
    "stream?": bool,
    "tools?": [{"type": str, "function?": dict}],
    "tool_choice?": (str, {"name?": str, "function?": {"name": str}}),
}
_CHAT = {"messages": [dict], "n?": int, "response_format?": _FORMAT}
_CHAT |= {"stream_options?": {"include_usage?": bool}, **_REPLY}
_RESPONSE = {"input": (str, [dict]), "instructions?": str, "previous_response_id?": str}
_RESPONSE |= {"text?": {"format?": _FORMAT}, **_REPLY}
_EMBEDDING = {"input": (str, [str], [int], [[int]]), "dimensions?": int, "encoding_format?": str}
_IMAGE = {"prompt": str, "n?": int, "response_format?": str}
_ENDPOINTS: dict[str, tuple[Callable[[_Call], Answer], dict[str, Any]]] = {
    "/chat/completions": (_chat, _CHAT),
    "/responses": (_responses, _RESPONSE),
    "/embeddings": (_embeddings, _EMBEDDING),
    "/images/generations": (_images, _IMAGE),
}
