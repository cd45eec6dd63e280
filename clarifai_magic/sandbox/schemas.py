"""A value that a JSON schema allows, made from a text: structured output, and tool arguments.

The value satisfies the schema, or ValueError refuses the schema; for `oneOf`, it satisfies one
alternative, whether or not it also satisfies others.
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import unquote

from clarifai_magic.sandbox.forms import require
from clarifai_magic.sandbox.patterns import matching
from clarifai_magic.sandbox.predict import words_of

_MOST = 10_000  # characters of a string, items of an array, values within a value
_BEYOND = {
    *("not", "if", "contains", "propertyNames", "minProperties", "maxProperties"),
    *("dependentRequired", "dependentSchemas", "dependencies", "prefixItems", "$dynamicRef"),
}
_TYPES = {"string": [str], "boolean": [bool], "object": [dict], "array": [list]}
_TYPES |= {"integer": [int], "number": [int, float], "null": [type(None)]}
_FORMS: dict[str, Any] = {
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), int),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    **dict.fromkeys(("items", "additionalProperties"), (dict, bool)),
    **dict.fromkeys(("pattern", "format", "$ref"), str),
    **{word: [(dict, bool)] for word in ("allOf", "anyOf", "oneOf")},
}
_FORMS |= {"type": (str, [str]), "enum": list, "properties": dict, "required": [str]}
_FORMS |= {"multipleOf": (int, float), "uniqueItems": bool}
_LIMITS = _FORMS.keys() - {"type", "enum", "$ref", "allOf", "anyOf", "oneOf"}
_ANNOTATIONS = {"title", "description", "default", "examples", "$defs", "definitions"}
_FORMATS = {
    "date-time": "1970-01-01T00:00:00Z",
    "date": "1970-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "sandbox@example.com",
    "hostname": "sandbox.example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://sandbox.example.com",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


class Maker:
    """Makes values whose strings are a text, and whose numbers count its words."""

    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._text = text
        self._words = words_of(text.encode())
        self._left = _MOST

    def value(self, schema: Any, opened: frozenset[str] = frozenset()) -> Any:
        """Make a value; `opened` are its enclosing references, so that recursion ends."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"The sandbox makes no more than {_MOST} values.")
        if beyond := _BEYOND & (schema := _object(schema)).keys():
            raise ValueError(f"The sandbox makes no value for '{min(beyond)}'.")
        if address := schema.get("$ref"):
            if address in opened:
                raise ValueError(f"The schema has no end: '{address}' requires itself.")
            return self.value(_joined(schema, self._found(address), "$ref"), opened | {address})
        if parts := schema.get("allOf"):
            return self.value(_joined({**schema, "allOf": parts[1:]}, parts[0], ""), opened)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self._one_of([_joined(schema, each, word) for each in schema[word]], opened)
        if isinstance(kind := schema.get("type"), list):
            return self._one_of([{**schema, "type": each} for each in kind], opened)
        return self._of_type(schema, opened)

    def _of_type(self, schema: Any, opened: frozenset[str]) -> Any:
        if "const" in schema or "enum" in schema:
            return _chosen(schema)
        kind = schema.get("type")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._mapping(schema, opened)
        if kind == "array" or (kind is None and "items" in schema):
            return self._array(schema, opened)
        if kind in ("integer", "number"):
            try:
                return self._number(schema, whole=kind == "integer")
            except ArithmeticError:  # numbers too large for each other, or in steps of 0
                raise ValueError("The sandbox cannot count with the schema's numbers.") from None
        if kind in (None, "string"):
            return self._string(schema)
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        raise ValueError(f"There is no type '{kind}'.")

    def _found(self, address: str) -> Any:
        found = self._root
        for part in unquote(address).removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise ValueError(f"The schema has nothing at '{address}'.")
            found = found[name]
        return found

    def _one_of(self, alternatives: list[Any], opened: frozenset[str]) -> Any:
        if not alternatives:
            raise ValueError("The schema has an empty list of alternatives.")
        for each in alternatives[:-1]:
            try:
                return self.value(each, opened)
            except ValueError:
                pass
        return self.value(alternatives[-1], opened)

    def _mapping(self, schema: Any, opened: frozenset[str]) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        made = {}
        for name in dict.fromkeys([*properties, *required]):
            own = properties.get(name, schema.get("additionalProperties", True))
            try:
                made[name] = self.value(own, opened)
            except ValueError:
                if name in required:
                    raise
        return made

    def _array(self, schema: Any, opened: frozenset[str]) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", _MOST)
        count = max(least, min(1, most))
        if count > min(most, _MOST) or (count > 1 and schema.get("uniqueItems")):
            raise ValueError(f"The sandbox makes no array of {count} such items.")
        try:
            return [self.value(schema.get("items", True), opened) for _ in range(count)]
        except ValueError:
            if least:
                raise
            return []

    def _number(self, schema: Any, *, whole: bool) -> float:
        limits = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        low, above, high, below = (schema.get(word) for word in limits)
        ends = [end for end in (low, above, high, below) if end is not None]
        step = schema.get("multipleOf", 1)
        near = [len(self._words), *ends, sum(ends) / max(len(ends), 1)]
        steps = [(math.floor(each / step) + more) * step for each in near for more in (0, 1, -1)]
        for each in [*steps, *near]:
            if (
                (low is None or each >= low)
                and (above is None or each > above)
                and (high is None or each <= high)
                and (below is None or each < below)
                and (not whole or each == int(each))
                and ("multipleOf" not in schema or (each / step).is_integer())
            ):
                return int(each) if whole else each
        raise ValueError("The sandbox finds no number that the schema allows.")

    def _string(self, schema: Any) -> str:
        least, most = schema.get("minLength", 0), min(schema.get("maxLength", _MOST), _MOST)
        form = schema.get("format")
        if "pattern" in schema:
            if form in _FORMATS:
                raise ValueError("The sandbox makes no string for both 'pattern' and 'format'.")
            return matching(schema["pattern"], least, most)
        made: str = _FORMATS.get(form) or self._text[:most].ljust(min(least, _MOST), ".")
        if not least <= len(made) <= most:
            raise ValueError("The sandbox finds no string that the schema allows.")
        return made


def _chosen(schema: Any) -> Any:
    """Give the first of a schema's own values that is of its type."""
    if limits := _LIMITS & schema.keys():
        raise ValueError(f"The sandbox makes no value for both '{min(limits)}' and given values.")
    values = [schema["const"]] if "const" in schema else schema["enum"]
    types: Any = _TYPES.get(schema.get("type", ""))
    for each in values:
        if each in schema.get("enum", values) and type(each) in (types or [type(each)]):
            return each
    raise ValueError("The schema allows none of its own values.")


def _object(schema: Any) -> dict[str, Any]:
    if schema is False:
        raise ValueError("The schema allows no value.")
    if schema is True:
        return {}
    require(schema, dict, "A schema")
    for word in _FORMS.keys() & schema.keys():
        require(schema[word], _FORMS[word], word)
    return dict(schema)


def _joined(schema: Any, part: Any, instead_of: str) -> dict[str, Any]:
    """Merge two schemas that both apply, without the keyword that joined them."""
    joined = {word: value for word, value in schema.items() if word != instead_of}
    for one, other in ((schema, part := _object(part)), (part, schema)):
        if "additionalProperties" in one and "properties" in other.keys() - one.keys():
            raise ValueError("The sandbox makes no value for properties that two schemas list.")
    for word, value in part.items():
        if word not in _ANNOTATIONS and joined.setdefault(word, value) != value:
            raise ValueError(f"The sandbox makes no value for two of '{word}'.")
    return joined
