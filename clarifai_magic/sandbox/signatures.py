"""The methods of models, as Clarifai's SDK calls them: typed arguments by name, a typed result.

An argument is a part of an input's data, and the result one of an output's. The input's metadata
name the method; without one, model and caller use plain data. Tools and sampling options are
accepted, and change nothing: a model may always answer in words.
"""

from __future__ import annotations

import copy
import json
import struct
from functools import cache
from typing import Any

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from google.protobuf import json_format

from clarifai_magic.sandbox import predict
from clarifai_magic.sandbox.auth import RefusedError

_METHOD = "_method_name"
_LISTING = "_GET_SIGNATURES"  # the method that returns the signatures themselves
_WAYS = resources_pb2.RunnerMethodType


def _field(name: str, form: str, **more: Any) -> Any:
    """Make a field with a type, such as `STR`, or a list type, such as `LIST STR`."""
    outer, *inner = form.split()
    kind = resources_pb2.ModelTypeField.DataType.Value(outer)
    items = [_field(f"{name}_item", each) for each in inner]
    return resources_pb2.ModelTypeField(name=name, type=kind, type_args=items, **more)


_TYPES = {"text": "STR", "image": "IMAGE", "audio": "AUDIO"}
_MEDIA = {name: _field(name, kind, required=True) for name, kind in _TYPES.items()}
_CHAT = (
    _field("prompt", "STR"),
    _field("image", "IMAGE"),
    _field("images", "LIST IMAGE"),
    _field("chat_history", "LIST JSON_DATA"),
    _field("tools", "LIST JSON_DATA"),
    _field("tool_choice", "STR"),
    _field("max_tokens", "INT", default="512", is_param=True),
    _field("temperature", "FLOAT", default="0.7", is_param=True),
    _field("top_p", "FLOAT", default="0.95", is_param=True),
)


def media(kind: str) -> list[str]:
    """List the media that a type of model takes."""
    first = kind.partition("-")[0]
    return ["image", "text"] if first == "multimodal" else [first if first in _MEDIA else "image"]


@cache
def methods(kind: str) -> dict[str, Any]:
    """Give the methods of a type of model by name; none if the SDK has no type for its result."""
    takes: Any = [_MEDIA[each] for each in media(kind)]
    if (gives := predict.gives(kind)) == "IMAGE":
        takes = [_field("prompt", "STR", required=True)]
    elif gives == "STR" and "text" in media(kind):
        takes = _CHAT
    ways = {"predict": _WAYS.UNARY_UNARY, "generate": _WAYS.UNARY_STREAMING}
    return {
        name: resources_pb2.MethodSignature(
            name=name,
            method_type=way,
            description=predict.DESCRIPTION,
            input_fields=takes,
            output_fields=[_field("return", gives, iterator=name == "generate")],
        )
        for name, way in ways.items()
        if gives == "STR" or (gives and name == "predict")
    }


def describe(model: Any, version: Any) -> None:
    """Add a new model version's methods and results."""
    model.output_info.message = predict.DESCRIPTION
    for shown in (model.output_info.output_config, model.workflow_recommended, version.metadata):
        shown.SetInParent()  # although it is empty, like the live service
    if not version.method_signatures:
        version.method_signatures.extend(methods(model.model_type_id).values())


def predicted(model: Any, item: Any) -> Any:
    """Make a model predict, by the input's method, if any: a result in plain data."""
    known = methods(model.model_type_id)
    if (name := _called(item)) == _LISTING and known:
        output = resources_pb2.Output(model=model)
        output.status.code = codes.SUCCESS
        listed = {each: json_format.MessageToDict(known[each]) for each in known}
        output.data.text.raw = json.dumps(listed)
        return output
    if name and name != _LISTING and name not in known:
        raise RefusedError(codes.MODEL_PREDICTION_FAILED, f"The model has no method '{name}'.")
    return predict.predict(model, item)


def typed(response: Any) -> Any:
    """Convert the plain data in a response to typed results, if a method was called."""
    for output in [each for each in response.outputs if _called(each.input)]:
        plain = copy.deepcopy(output.data)
        output.data.Clear()
        if plain.HasField("text"):
            plain.string_value = plain.text.raw
            plain.ClearField("text")
        for embedding in plain.embeddings:
            vector = embedding.vector
            plain.ndarray.buffer = struct.pack(f"<{len(vector)}f", *vector)
            plain.ndarray.shape.append(len(vector))
            plain.ndarray.dtype = "float32"
        plain.ClearField("embeddings")
        output.data.parts.add(id="return", data=plain)
    return response


def _called(item: Any) -> str:
    """Name the method that an input calls, if any."""
    named = item.data.metadata.fields
    return named[_METHOD].string_value if _METHOD in named else ""
