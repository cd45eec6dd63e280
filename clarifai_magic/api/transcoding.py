"""REST's form of messages: filled in from a query or JSON, and written as JSON."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from clarifai_grpc.grpc.api.utils import extensions_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from clarifai_magic.api.scopes import is_repeated


def fill(message: Any, named: dict[str, list[str]]) -> None:
    """Put values into a message, under dotted names as in a query or path.

    Raises
    ------
    ValueError
        For a name or value that the message cannot have; `json_format.ParseError` is one too.
    """
    for name, values in named.items():
        json_format.ParseDict(_nested(message.DESCRIPTOR, name, values), message)


def fill_from_json(message: Any, body: bytes) -> None:
    """Put the body of a request into a message; an empty body is an empty object."""
    content = json.loads(body or b"{}")
    if not isinstance(content, dict):
        raise ValueError("The body is JSON, but not an object.")  # noqa: TRY004 - about a value sent
    json_format.ParseDict(content, message)


def to_json(message: Any) -> bytes:
    """Write as the live service does: snake case, codes as numbers, some empty fields."""
    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, use_integers_for_enums=True
    )
    _as_the_service_does(message, fields)
    return json.dumps(fields).encode()


def _as_the_service_does(message: Any, fields: dict[str, Any]) -> None:
    """Show empty fields where the descriptors say so, and integers of any size as numbers."""
    for name, value in _shown_if_empty(message.DESCRIPTOR).items():
        fields.setdefault(name, value)
    for field, value in message.ListFields():
        if field.cpp_type in _LARGE:
            fields[field.name] = list(value) if is_repeated(field) else value
        elif field.message_type and not _has_a_form_of_its_own(field.message_type):
            parts = value if is_repeated(field) else [value]
            shown = fields[field.name] if is_repeated(field) else [fields[field.name]]
            for each, part in zip(parts, shown, strict=True):
                _as_the_service_does(each, part)


def _has_a_form_of_its_own(descriptor: Any) -> bool:
    """Whether JSON represents a message as something other than an object of its fields."""
    is_entry = descriptor.GetOptions().map_entry
    return bool(is_entry or descriptor.file.package == "google.protobuf")


_LARGE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
# In addition to the descriptors' own; seen in the documentation's REST outputs.
_ALSO_SHOWN = {
    "clarifai.api.Model": {"toolkits", "use_cases", "languages", "languages_full", "check_consents"}
}


@cache
def _shown_if_empty(descriptor: Any) -> dict[str, Any]:
    """Give a message's fields that appear even if empty, with their values."""
    option = extensions_pb2.cl_show_if_empty
    also = _ALSO_SHOWN.get(descriptor.full_name, ())
    return {
        field.name: [] if is_repeated(field) else {} if field.message_type else field.default_value
        for field in descriptor.fields
        if field.name in also or field.GetOptions().Extensions[option]
    }


def _nested(descriptor: Any, name: str, values: list[str]) -> dict[str, Any]:
    first, _, rest = name.partition(".")
    field = descriptor and descriptor.fields_by_name.get(first)
    if field is None:
        raise ValueError(f"The request has no field '{first}'.")
    if rest:
        return {first: _nested(field.message_type, rest, values)}
    is_flag = field.type == FieldDescriptor.TYPE_BOOL
    typed = [value == "true" if is_flag else value for value in values]
    return {first: typed if is_repeated(field) else typed[-1]}
