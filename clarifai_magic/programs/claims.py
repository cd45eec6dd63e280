"""What the sinks of a program want replaced, and the best place for it."""

from __future__ import annotations

import ast
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.programs.places import is_real_key
from clarifai_magic.programs.texts import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from clarifai_magic.programs.flow import Flow
    from clarifai_magic.programs.reading import Node


class Value(Enum):
    """A session's value in a program."""

    KEY = "key"
    NO_KEY = "no key"
    NOTHING = "nothing"
    USER_ID = "user_id"
    APP_ID = "app_id"
    BASE = "base"
    CHANNEL = "channel"
    AIO_CHANNEL = "aio channel"
    CONNECTION = "connection"
    ADDED = "an argument"
    ENTRY = "an entry"
    RUN = "a loop of its own"


class Edit(NamedTuple):
    """A replacement.

    Parameters
    ----------
    node : ast.expr
        The replaced expression.
    parts : tuple of str or Value
        The new text; one value if it is not a text. The value of an argument added to a call
        follows `ADDED`, that of an entry in one of the notebook's mappings follows `ENTRY`.
    what : str
        Its description in the program's own words; for an argument or entry, the name.
    line : int
    was : tuple of str
        The parts of a text that the values replace.
    """

    node: ast.expr
    parts: tuple[str | Value, ...]
    what: str
    line: int
    was: tuple[str, ...] = ()


class Claim(NamedTuple):
    """A part of a text, or an expression, that a sink wants replaced.

    Parameters
    ----------
    leaf : Node
        Where it begins.
    start, end : int
        The part of its text.
    value : Value
    via : ast.expr
        The expression of the sink that takes it from there.
    what : str
    """

    leaf: Node
    start: int
    end: int
    value: Value
    via: ast.expr
    what: str


class Claims:
    """Collects claims, and decides them.

    Parameters
    ----------
    flow : Flow
        The program's flow.
    text : callable
        The text of a leaf; None if it is not a text.

    Attributes
    ----------
    consumed : set of Node
        Arguments that end at a sink.
    keyed : set of Node
        Those that end at a key's.
    read : set of Node
        Look-ups that find a key, among others, in the environment.
    """

    def __init__(self, flow: Flow, text: Callable[[Node], str | None]) -> None:
        self.consumed: set[Node] = set()
        self.keyed: set[Node] = set()
        self.read: set[Node] = set()
        self._flow = flow
        self._text = text
        self._claims: dict[Claim, None] = {}

    def add(self, claim: Claim) -> None:
        """Add a claim."""
        self._claims[claim] = None

    def keys(self) -> set[str]:
        """The literals in keys' places."""
        return {
            (self._text(claim.leaf) or "")[claim.start : claim.end]
            for claim in self._claims
            if claim.value is Value.KEY
        }

    def settled(self) -> dict[ast.expr, Edit]:
        """Replacements where values begin, or at the sink if a value has another use too."""
        by_leaf: dict[Node, list[Claim]] = {}
        for claim in self._claims:
            by_leaf.setdefault(claim.leaf, []).append(claim)
        edits: dict[ast.expr, Edit] = {}
        for leaf, claims in by_leaf.items():
            if isinstance(leaf, ast.expr) and not self._stays(leaf, claims):
                edits[leaf] = self._edit(leaf, leaf, claims)
            else:
                for via in {claim.via for claim in claims}:
                    here = [each for each in claims if each.via is via]
                    edits[via] = self._edit(via, leaf, here)
        return edits

    def _stays(self, leaf: ast.expr, claims: list[Claim]) -> bool:
        """Whether a leaf stays unchanged because another use of it wants something else."""
        values = {(claim.start, claim.end): claim.value for claim in claims}
        if any(values[claim.start, claim.end] is not claim.value for claim in claims):
            return True
        text = self._text(leaf) or ""
        real = any(is_real_key(text[claim.start : claim.end]) for claim in claims)
        # An ID is not a secret, but a real key must not stay anywhere.
        if real or {Value.KEY, Value.BASE, Value.NOTHING}.isdisjoint(values.values()):
            return False
        # What a helper reads or asks for is another value at each of its calls.
        taken = self.keyed if self._text(leaf) is None else self.keyed | self.consumed
        return self._flow.strays(leaf, taken)

    def _edit(self, node: ast.expr, leaf: Node, claims: list[Claim]) -> Edit:
        what = ", ".join(dict.fromkeys(claim.what for claim in claims))
        text = self._text(leaf)
        if text is None:
            return Edit(node, (claims[0].value,), what, node.lineno)
        parts: list[str | Value] = []
        was: list[str] = []
        at = 0
        spans = {(claim.start, claim.end): claim.value for claim in claims}
        for (start, end), value in sorted(spans.items(), key=lambda item: item[0]):
            parts += [text[at:start], value]
            was.append(text[start:end])
            at = end
        parts = [part for part in [*parts, text[at:]] if part]
        return Edit(node, tuple(parts), what, node.lineno, tuple(was))

    def withheld(self, values: Iterable[ast.expr], edits: dict[ast.expr, Edit]) -> bool:
        """Whether one of the values would have been a key; afterwards none of them is.

        A placeholder stays as written; a look-up or a real key becomes empty.
        """
        keys: set[Node] = {each.leaf for each in self._claims if each.value is Value.KEY}
        keys |= {node for node, edit in edits.items() if Value.KEY in edit.parts} | self.read
        replaced = edits.keys() | self.read
        found = False
        for value in values:
            for leaf in self._flow.leaves(value):
                parts = [each.node for each in pieces(self._flow, leaf)]
                for each in [value] if parts in ([], [leaf]) else parts:
                    behind = self._flow.behind(each)
                    at = each
                    # An attribute of what is passed on whole stands nowhere itself.
                    if isinstance(leaf, ast.expr) and each not in self._flow.program.parents:
                        at = leaf
                    found |= not keys.isdisjoint(behind)
                    if not replaced.isdisjoint(behind) and not keys.isdisjoint(behind):
                        was = edits[at].was if at in edits else ()
                        if was and not any(map(is_real_key, was)):
                            del edits[at]
                        else:
                            edits[at] = Edit(at, (Value.NO_KEY,), "", at.lineno)
        return found
