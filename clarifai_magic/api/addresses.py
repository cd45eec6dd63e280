"""Which method a REST address calls, by `google.api.http`."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple
from urllib.parse import unquote

from clarifai_magic.api import scopes


class Address(NamedTuple):
    """An address, and the method that it calls; its pattern's groups are the variables."""

    method: str
    verb: str
    pattern: re.Pattern[str]
    variables: list[str]
    has_body: bool


@cache
def addresses() -> list[Address]:
    """List every address, fewest variables first: `models/types` is not a model's ID."""
    addresses = [
        Address(
            method,
            route.verb,
            re.compile(re.sub(r"\{[^}]+\}", "([^/]+)", route.path)),
            re.findall(r"\{([^}]+)\}", route.path),
            route.has_body,
        )
        for method in scopes.methods()
        for route in scopes.routes(method)
    ]

    def rank(address: Address) -> tuple[int, bool]:
        # One method that adds is also bound to the GET of the method that lists.
        misbound = address.verb == "GET" and address.method.startswith("Post")
        return len(address.variables), misbound

    return sorted(addresses, key=rank)


def at(path: str) -> dict[str, tuple[Address, dict[str, list[str]]]]:
    """Map each verb to the addresses that match a path, with the values of their variables."""
    found: dict[str, tuple[Address, dict[str, list[str]]]] = {}
    for address in addresses():
        if match := address.pattern.fullmatch(path):
            pairs = zip(address.variables, match.groups(), strict=True)
            values = {name: [unquote(value)] for name, value in pairs}
            found.setdefault(address.verb, (address, values))
    return found
