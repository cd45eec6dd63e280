"""Clients' JSON: parsed by the standard, and checked against its required form.

A form is a type; a list with the form of each item; a dict with the forms of an object's fields,
which may have others; or a tuple of alternative forms. A field whose name ends in `?` may be null
or omitted.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_NAMES: dict[type, str] = {str: "a string", bool: "true or false", type(None): "null"}
_NAMES |= {int: "a whole number", float: "a number", dict: "an object", list: "an array"}


def parsed(text: bytes) -> Any:
    """Parse JSON; raise ValueError for invalid JSON and numbers that JSON cannot have."""
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def require(value: Any, form: Any, place: str) -> None:
    """Refuse a value without the form, with ValueError; `place` is its name there."""
    forms = form if isinstance(form, tuple) else (form,)
    fitting = [each for each in forms if type(value) is _kind(each)]
    if not fitting:
        names = " or ".join(_NAMES[_kind(each)] for each in forms)
        raise ValueError(f"{place} must be {names}.")
    for each in fitting[:-1]:
        try:
            return _require_parts(value, each, place)
        except ValueError:
            pass
    return _require_parts(value, fitting[-1], place)


def _require_parts(value: Any, form: Any, place: str) -> None:
    if isinstance(form, list):
        for number, each in enumerate(value):
            require(each, form[0], f"{place}[{number}]")
    elif isinstance(form, dict):
        for name, each in form.items():
            found = value.get(name.removesuffix("?"))
            if found is not None or not name.endswith("?"):
                require(found, each, f"{place}.{name.removesuffix('?')}")


def _kind(form: Any) -> type:
    return form if isinstance(form, type) else type(form)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_number(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a valid JSON number.")
