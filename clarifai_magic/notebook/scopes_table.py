"""What a key may do, as a table: the display of ``%clarifai_scopes``."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from clarifai_magic.api.scopes import Auth, methods, missing_scopes, requirement, routes, spelled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clarifai_magic.client.identity import Identity

_TAKES = {
    Auth.NONE: "no key",
    Auth.KEY: "a PAT or an API key",
    Auth.PAT: "only a PAT",
    Auth.SESSION: "only Clarifai's own pages",
    Auth.ADMIN: "only Clarifai's staff",
}


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under a caption, shown as text or as HTML.

    Parameters
    ----------
    caption : str
        What the table is about.
    header : tuple of str
        The columns' names.
    rows : tuple of tuple of str
        Each with as many cells as the header.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.caption, "", *shown])

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Iterable[str]) -> str:
            inner = "".join(
                f'<{tag} style="text-align:left">{html.escape(cell)}</{tag}>' for cell in cells
            )
            return f"<tr>{inner}</tr>"

        body = "".join(line("td", row) for row in self.rows)
        return (
            f"<table><caption>{html.escape(self.caption)}</caption>"
            f"<thead>{line('th', self.header)}</thead><tbody>{body}</tbody></table>"
        )


def of_key(identity: Identity) -> Table:
    """What the key's scopes allow, grouped by the methods' resource.

    Parameters
    ----------
    identity : Identity
        Of the key.
    """
    rows = []
    for resource, names in _by_resource().items():
        closed = [name for name in names if _lacking(name, identity)]
        shown = ", ".join(closed[:3]) + (f", … ({len(closed)})" if len(closed) > 3 else "")  # noqa: PLR2004
        rows.append((resource, f"{len(names) - len(closed)} of {len(names)}", shown or "-"))
    return Table(_caption(identity), ("resource", "methods open", "not open"), tuple(rows))


def of_methods(names: Iterable[str], identity: Identity) -> Table:
    """What each method needs, and what the key lacks.

    Parameters
    ----------
    names : iterable of str
        Method names, bare or full.
    identity : Identity
        Of the key.

    Raises
    ------
    UnknownMethodError
        If the API has no such method; the nearest name is in the hint.
    """
    rows = []
    for name in names:
        need = requirement(name)
        scopes = ", ".join(sorted(need.scopes)) or "-"
        rows.append((need.method, _TAKES[need.auth], scopes, _lacking(name, identity) or "yes"))
    header = ("method", "takes", "needs at least", "open to this key")
    return Table(_caption(identity), header, tuple(rows))


def _lacking(name: str, identity: Identity) -> str:
    """Why the key may not call a method, empty if it may."""
    need = requirement(name)
    if need.auth is Auth.NONE:
        return ""
    if need.auth in (Auth.SESSION, Auth.ADMIN):
        return f"no: {_TAKES[need.auth]}"
    if need.auth is Auth.PAT and identity.kind == "API key":
        return "no: only a PAT"
    if not (identity.scopes or identity.endpoints):
        return "unknown, because the key's scopes are unknown"
    missing = missing_scopes(name, identity.scopes, identity.endpoints)
    return f"no: lacks {', '.join(sorted(missing))}" if missing else ""


def _caption(identity: Identity) -> str:
    granted = [*map(spelled, identity.scopes), *identity.endpoints]
    owner = f" of {identity.owner}" if identity.owner else ""
    return f"This {identity.kind or 'key'}{owner} has: {', '.join(granted) or 'unknown scopes'}"


@cache
def _by_resource() -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for name in methods():
        groups.setdefault(_resource(routes(name)[0].path), []).append(name)
    return {resource: tuple(groups[resource]) for resource in sorted(groups)}


def _resource(path: str) -> str:
    """The collection of a REST path: the first after the user and the app."""
    parts = path.removeprefix("/v2/").split("/")
    while len(parts) > 2 and parts[0] in {"users", "apps"} and parts[1].startswith("{"):  # noqa: PLR2004
        parts = parts[2:]
    return parts[0]
