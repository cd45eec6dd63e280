"""The session's values wanted where a program reaches Clarifai: key, IDs, base of URLs."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.programs import places
from clarifai_magic.programs.claims import Claim, Claims, Edit, Value
from clarifai_magic.programs.reading import Outside
from clarifai_magic.programs.texts import UNKNOWN, Piece, joined_url, pieces, text_of, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from clarifai_magic.programs.flow import Flow
    from clarifai_magic.programs.reading import Node

_DEEPEST = 8
_WORD = r"(?i:Key|Bearer)\s+"
_SCHEME = "Key "
_KEY_IN_PATH = r"(?<=/)[0-9a-f]{32}"


class _Written(NamedTuple):
    """A piece of a text at a sink: its literal or unknown expression, and the path there."""

    text: str
    leaf: Node
    start: int
    via: ast.expr


class Wanted:
    """Claims the values wanted at sinks.

    Parameters
    ----------
    flow : Flow
        The program's flow.
    deployment : str
        The session's base URL.
    ids : mapping of Value to bool
        Which IDs the session has.
    known : callable
        What a name of the notebook's, or of Python's own, stands for; None if nothing.
    key : str
        The session's, which may have an unusual shape.

    Attributes
    ----------
    claims : Claims
    harmless : set of str
        Literals that go to Clarifai and are not a key there.
    headers : dict of ast.expr to Edit
        The notebook's headers that have a placeholder.
    """

    def __init__(
        self,
        flow: Flow,
        deployment: str,
        ids: Mapping[Value, bool],
        known: Callable[[str], object],
        key: str,
    ) -> None:
        self.claims = Claims(flow, self._text)
        self.harmless: set[str] = set()
        self.headers: dict[ast.expr, Edit] = {}
        self._flow = flow
        self._deployment = deployment
        self._ids = ids
        self._known = known
        self._own_key = key

    def keys(self, given: list[tuple[str | None, ast.expr]]) -> None:
        """The bare key, where an argument takes one."""
        names = {name for name, _ in given}
        for name, value in given:
            if name in places.KEY_PARAMETERS and not (name == "token" and "pat" in names):
                self.key(value, value, str(name))
                self.claims.keyed.add(value)

    def authorized(self, argument: ast.expr) -> None:
        """The key, in headers or metadata."""
        for _, value in self.authorizations(argument):
            self.header(value)
            self.claims.keyed.update((argument, value))
        for name, word in self.remembered(argument):
            edit = Edit(argument, (Value.ENTRY, word, Value.KEY), name, argument.lineno)
            self.headers[argument] = edit

    def remembered(self, argument: ast.expr) -> list[tuple[str, str]]:
        """The entries with a placeholder in the notebook's headers, and the word before it."""
        values = [
            self._known(e.name) for e in self._flow.leaves(argument) if isinstance(e, Outside)
        ]
        entries = [entry for each in values if type(each) is dict for entry in each.items()]
        return [
            (name, word[0])
            for name, text in entries
            if str(name).lower() == "authorization" and isinstance(text, str)
            if (word := re.match(_WORD, text)) and self._is_key_place(text[word.end() :])
        ]

    def authorizations(self, argument: ast.expr) -> list[tuple[str, ast.expr]]:
        """The authorization entries of headers or metadata."""
        entries = self._flow.entries(argument)
        return [(key, value) for key, value in entries if key.lower() == "authorization"]

    def has_placeholder(self, argument: ast.expr) -> bool:
        """Whether headers have a placeholder behind the word that is Clarifai's."""
        values = [value for _, value in self.authorizations(argument)]
        given = [text for value in values for text in texts(self._flow, value)]
        keys = [text.removeprefix(_SCHEME) for text in given if text.startswith(_SCHEME)]
        return any(map(self._is_key_place, keys))

    def header(self, value: ast.expr) -> None:
        """The key of a header, after its first word."""
        for leaf in self._flow.leaves(value):
            written = self._written(leaf, value)
            text = "".join(each.text for each in written)
            word = re.match(_WORD, text)
            if word is None:
                continue
            rest = [*_behind(written, word.end())]
            if len(rest) > 1:
                rest = [(each, at) for each, at in rest if each.text]
            if len(rest) == 1:
                self._header_key(*rest[0])

    def _header_key(self, each: _Written, at: int) -> None:
        if each.text == UNKNOWN and isinstance(each.leaf, ast.expr):
            self.key(each.leaf, each.via, "authorization")
        elif self._is_key_place(each.text[at:]):
            self._claim(each, at, len(each.text), Value.KEY, "authorization")

    def key(self, value: ast.expr, via: ast.expr, what: str) -> None:
        """An expression that returns a bare key, or one with the word before it."""
        for leaf in self._flow.leaves(value):
            text = self._text(leaf)
            if text is not None and self._is_key_place(text):
                self._claim(_Written(text, leaf, 0, via), 0, len(text), Value.KEY, what)
            elif self.looked_up(leaf) or self._asks(leaf):
                self._claim(_Written("", leaf, 0, via), 0, 0, Value.KEY, what)

    def is_real_key(self, text: str) -> bool:
        """Whether a text is a key, the session's or another."""
        return places.is_real_key(text) or text == self._own_key != ""

    def _is_key_place(self, text: str) -> bool:
        return places.is_key_place(text) or self.is_real_key(text)

    def _asks(self, node: Node) -> bool:
        return isinstance(node, ast.Call) and bool(self._flow.names(node.func) & places.ASKING)

    def looked_up(self, node: Node) -> set[str]:
        """The names that an expression looks up in the environment."""
        name = self._flow.look_up(node)
        return set(texts(self._flow, name)) if name else set()

    def id(self, expression: ast.expr, value: Value, via: ast.expr, what: str) -> None:
        """The ID of a user or app, in place of a placeholder."""
        for leaf in self._flow.leaves(expression):
            text = self._text(leaf)
            if text is not None and self._ids[value] and places.is_id_place(text):
                self._claim(_Written(text, leaf, 0, via), 0, len(text), value, what)

    def url(self, argument: ast.expr) -> None:
        """The base of a URL, and the IDs in it."""
        for leaf in self._flow.leaves(argument):
            if joined := joined_url(self._flow, leaf):
                base, rest = joined
                self.url(base)
                self.path(rest)
                self.claims.consumed.add(argument)
                continue
            written = self._written(leaf, argument)
            text = "".join(each.text for each in written)
            public = places.api_base(text, self._deployment)
            if public:
                self._base(written, len(public))
            if public or places.host_of(text) == places.HOST:
                self.claims.consumed.add(argument)
                self.harmless.update(re.findall(_KEY_IN_PATH, text))
                self._path(written)

    def _base(self, written: list[_Written], length: int) -> None:
        """The base, which stands in the first piece or in several; then the others lose it."""
        value = Value.BASE
        for each, at in _behind(written, 0):
            end = min(len(each.text), at + length)
            if end > at:
                self._claim(each, at, end, value, "URL")
                value, length = Value.NOTHING, length - (end - at)
            if not length:
                return

    def path(self, argument: ast.expr) -> None:
        """The IDs in a path, to which the base is told elsewhere."""
        self.claims.consumed.add(argument)
        for leaf in self._flow.leaves(argument):
            self._path(self._written(leaf, argument))

    def _path(self, written: list[_Written]) -> None:
        """The IDs in a URL, or in the path of one."""
        for name, start, end in places.id_segments("".join(each.text for each in written)):
            each, at = next(_behind(written, start))
            here = each.text[at : at + end - start]
            whole = len(here) == end - start and places.is_id_place(here)
            if whole and self._ids[Value(name)]:
                self._claim(each, at, at + end - start, Value(name), name)

    def _written(self, node: Node, via: ast.expr, depth: int = 0) -> list[_Written]:
        """The pieces of a text; those written elsewhere in the program come from there."""
        found: list[_Written] = []
        for piece in pieces(self._flow, node) or [Piece(via)]:
            through = (piece.at or piece.node) if node is not piece.node else via
            if piece.text is not None:
                found.append(_Written(piece.text, piece.node, piece.start, through))
                continue
            leaves = self._flow.leaves(piece.node)
            text = self._text(leaves[0]) if len(leaves) == 1 else None
            if text is not None:
                found.append(_Written(text, leaves[0], 0, through))
            elif len(leaves) == 1 and depth < _DEEPEST and len(pieces(self._flow, leaves[0])) > 1:
                found += self._written(leaves[0], through, depth + 1)
            else:
                found.append(_Written(UNKNOWN, piece.node, 0, through))
        return found

    def _claim(self, each: _Written, start: int, end: int, value: Value, what: str) -> None:
        begin = each.start
        self.claims.add(Claim(each.leaf, begin + start, begin + end, value, each.via, what))

    def _text(self, leaf: Node) -> str | None:
        """The text of a leaf: a literal's, a look-up's, or a notebook variable's."""
        if isinstance(leaf, Outside):
            value = self._known(leaf.name)
            return value if type(value) is str else None
        return self._flow.told.get(leaf, text_of(leaf))


def _behind(written: list[_Written], position: int) -> Iterator[tuple[_Written, int]]:
    """The pieces from a position on, each with the offset where it continues."""
    begin = 0
    for each in written:
        end = begin + len(each.text)
        if end > position or (end == position == begin):
            yield each, max(0, position - begin)
        begin = end
