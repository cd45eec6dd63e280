"""Values that a schema admits, as the validator jsonschema sees it, or the schema is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from clarifai_magic.sandbox.schemas import Maker

limits = st.integers(-20, 20) | st.floats(-5, 5)
sizes = st.integers(0, 12)


def described(kind, **words):
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=words)


scalars = st.one_of(
    st.sampled_from([True, {}, {"const": None}, {"enum": ["a", 5]}, {"type": ["null", "string"]}]),
    described("boolean"),
    described("null"),
    described(
        "string",
        minLength=sizes,
        maxLength=sizes,
        pattern=st.sampled_from(["^[a-z]+$", r"\d", "@"]),
        format=st.sampled_from(["date", "uuid", "unheard-of"]),
    ),
    *(
        described(
            kind,
            minimum=limits,
            maximum=limits,
            exclusiveMinimum=limits,
            exclusiveMaximum=limits,
            multipleOf=st.sampled_from([1, 3, 0.5]),
        )
        for kind in ("integer", "number")
    ),
)


def composed(inner):
    names = st.sampled_from("abc")
    return st.one_of(
        described("array", items=inner, minItems=sizes, maxItems=sizes, uniqueItems=st.booleans()),
        described(
            "object",
            properties=st.dictionaries(names, inner),
            required=st.lists(names, unique=True),
            additionalProperties=st.booleans(),
        ),
        st.lists(inner, min_size=1).map(lambda parts: {"anyOf": parts}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"allOf": parts}),
    )


schemas = st.recursive(scalars, composed, max_leaves=8)
referred = schemas.map(lambda part: {"$ref": "#/$defs/x%20~1y", "$defs": {"x /y": part}})


def validated(schema, text="A red dog"):
    value = Maker(schema, text).value(schema)
    check(schema, value)
    return value


def check(schema, value):
    from jsonschema import (
        Draft202012Validator,  # a second or more, also for those who try other files
    )

    Draft202012Validator(schema).validate(value)


@given(schemas | referred, st.text())
def test_a_value_is_valid_or_the_schema_refused(schema, text):
    made = "refused"
    with contextlib.suppress(ValueError, LookupError):
        Maker(schema, text).value(schema)
        made = "made"
    event(made)
    if made == "made":
        check(schema, Maker(schema, text).value(schema))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "A red dog"),
        ({"type": "string", "maxLength": 5}, "A red"),
        ({"type": "string", "minLength": 11}, "A red dog.."),
        ({"type": "string", "pattern": "^[a-z]{3}-[0-9]+$"}, "aaa-0"),
        ({"type": "string", "pattern": "@", "minLength": 3}, "@.."),
        ({"type": "string", "format": "date"}, "1970-01-01"),
        ({"type": "integer"}, 2),
        ({"type": "integer", "minimum": 10, "multipleOf": 4}, 12),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"enum": [None, 1]}, None),
        ({"type": ["null", "string"]}, None),
        ({"oneOf": [{"type": "string", "pattern": r"^\bnever$"}, {"const": 5}]}, 5),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [2, 2]),
        ({"allOf": [{"type": "string"}, {"maxLength": 1}], "title": "x"}, "A"),
        (
            {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
            {"next": {"next": None}},
        ),
    ],
)
def test_a_value_is_made_of_the_text(schema, value):
    assert validated(schema) == value


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"not": {}},
        {"enum": []},
        {"enum": ["a", "b"], "const": "c"},
        {"enum": [1], "type": "string"},
        {"enum": [1], "minimum": 2},
        {"type": "string", "pattern": "^never$", "maxLength": 4},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "a", "format": "date"},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 2, "uniqueItems": True},
        {"type": "integer", "minimum": 1, "maximum": 0},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"allOf": [{"minimum": 1}, {"minimum": 2}]},
    ],
)
def test_a_schema_that_is_not_understood_is_refused(schema):
    with pytest.raises(ValueError, match="The s"):
        Maker(schema, "A red dog").value(schema)


TWO = {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/0"}}
DOUBLED = {
    **TWO,
    "$defs": {f"{n}": {**TWO, "items": {"$ref": f"#/$defs/{n + 1}"}} for n in range(30)},
}
DOUBLED["$defs"]["30"] = {}


@pytest.mark.parametrize(
    "schema",
    [
        5,
        {"minLength": "1"},
        {"maxLength": None},
        {"pattern": "("},
        {"pattern": 1},
        {"type": "text"},
        {"type": []},
        {"type": "object", "properties": [1]},
        {"type": "object", "properties": {"a": 1}, "required": ["a"]},
        {"type": "object", "required": "a"},
        {"type": "integer", "minimum": True},
        {"type": "integer", "multipleOf": 0},
        {"type": "number", "minimum": 10**400, "multipleOf": 0.5},
        {"anyOf": []},
        {"allOf": [1]},
        {"$ref": "#/$defs/none"},
        {"$ref": "#/enum/0", "enum": [1]},
        {"type": "array", "minItems": 300, "items": {"type": "array", "minItems": 300}},
        DOUBLED,
    ],
    ids=lambda schema: repr(schema)[:60],
)
def test_what_is_no_schema_or_one_for_too_much_is_refused(schema):
    for root in (schema, {"oneOf": [schema, schema]}):
        with pytest.raises(ValueError):  # noqa: PT011 - in whatever words
            Maker(root, "A red dog").value(root)
