"""What a documentation sample does to sign in, found in its syntax tree and replaced.

A sample is told by what its code does, not by how its variables are called: what flows into a
header that starts with ``Key`` is a key, whatever its name; a call that makes a channel makes a
channel. Each replacement keeps its place, so that line numbers stay the sample's own.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clarifai_magic.deployment import PUBLIC_BASE
from clarifai_magic.keys import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

HOLDER = "_clarifai_sample"
"""The name that the replacements refer to; see `samples.Substitutes`."""

_KEY_VARIABLES = {"CLARIFAI_PAT", "CLARIFAI_API_KEY", "CLARIFAI_KEY", "PAT", "API_KEY"}
_KEY_KEYWORDS = {"pat", "token", "api_key"}
_CHANNEL_MAKERS = {
    "get_grpc_channel",
    "get_insecure_grpc_channel",
    "get_json_channel",
    "secure_channel",
    "insecure_channel",
}
_ID_IN_TEXT = re.compile(r"\{?YOUR_(USER|APP)_ID(?:_HERE)?\}?")
_REAL_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass
class Changes:
    """What was replaced in a sample.

    Parameters
    ----------
    words : dict of str to None
        Each kind of replacement in words, in order of appearance.
    exposed : list of str
        Real keys that stood in the sample.
    edits : list of tuple
        The nodes that were replaced, and the attribute of the holder in each's place.
    """

    words: dict[str, None] = field(default_factory=dict)
    exposed: list[str] = field(default_factory=list)
    edits: list[tuple[ast.expr, str]] = field(default_factory=list)


def replace(
    tree: ast.Module, known: Collection[str], *, base: str, user_id: str, app_id: str
) -> Changes:
    """Replace a sample's preamble in place.

    Parameters
    ----------
    tree : ast.Module
        The sample.
    known : collection of str
        The notebook's names: metadata of a name that is neither there nor made by the sample
        was made in another sample, and is the session's.
    base, user_id, app_id : str
        The session's, for literals that have Clarifai's own base URL or placeholders in them.

    Returns
    -------
    Changes
    """
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and _stores(node)}
    ids = {"USER": user_id, "APP": app_id}
    replacer = _Replacer(_names_of_keys(tree), stored.union(known), base, ids)
    replacer.visit(tree)
    ast.fix_missing_locations(tree)
    return replacer.changes


class _Replacer(ast.NodeTransformer):
    def __init__(
        self, keys: set[str], known: Collection[str], base: str, ids: dict[str, str]
    ) -> None:
        self.changes = Changes()
        self._keys = keys
        self._known = known
        self._base = base
        self._ids = ids

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        for target in node.targets:
            node.value = self._assigned(target, node.value)
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self._assigned(node.target, node.value)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _called(node) in _CHANNEL_MAKERS:
            return self._put("channel", node, "channel")
        if _key_variable(node):
            return self._put("key", node, "key")
        for keyword in node.keywords:
            if keyword.arg in _KEY_KEYWORDS and self._is_key(keyword.value):
                keyword.value = self._put("key_text", keyword.value, keyword.arg)
            elif keyword.arg == "metadata" and self._is_unknown(keyword.value):
                keyword.value = self._put("metadata", keyword.value, ast.unparse(keyword.value))
            elif keyword.arg and _placeholder(keyword.value):
                keyword.value = self._filled(keyword.arg, keyword.value)
        self.generic_visit(node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and _key_variable(node):
            return self._put("key", node, "key")
        self.generic_visit(node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        return self._header_or(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return self._header_or(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if _is_header(node):
            return self._header_or(node)
        if isinstance(node.value, str):
            node.value = self._addressed(node.value)
        return node

    def _addressed(self, text: str) -> str:
        """A text with the session's base URL and IDs in place of the documentation's."""
        if PUBLIC_BASE in text and self._base != PUBLIC_BASE:
            self.changes.words["base URL"] = None
            text = text.replace(PUBLIC_BASE, self._base)
        if _ID_IN_TEXT.search(text):
            self.changes.words["IDs"] = None
        return _ID_IN_TEXT.sub(lambda match: self._ids[match[1]], text)

    def _header_or(self, node: ast.expr) -> ast.AST:
        if _is_header(node):
            return self._put("authorization", node, "header")
        self.generic_visit(node)
        return node

    def _assigned(self, target: ast.expr, value: ast.expr) -> ast.expr:
        """What an assignment gives to its target."""
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts, strict=False)
            value.elts = [self._assigned(*pair) for pair in pairs]
        elif isinstance(target, ast.Name) and target.id in self._keys and not _is_header(value):
            return self._put("key", value, target.id)
        elif isinstance(target, ast.Name) and _placeholder(value):
            return self._filled(target.id, value)
        elif isinstance(target, ast.Subscript) and _key_variable(target):
            return self._put("key_text", value, "key")
        return value

    def _filled(self, name: str, value: ast.expr) -> ast.expr:
        """What stands for a placeholder, by the name it is given to or by its own words."""
        text = f"{name} {getattr(value, 'value', '')}".lower()
        for word, attribute in (("user", "user_id"), ("app_id", "app_id"), ("app id", "app_id")):
            if word in text:
                return self._put(attribute, value, name)
        if any(part in {"pat", "key", "token"} for part in re.split(r"[\W_]+", text)):
            return self._put("key", value, name)
        return value

    def _is_unknown(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Name) and value.id not in self._known

    def _is_key(self, value: ast.expr) -> bool:
        named = isinstance(value, ast.Name) and value.id in self._keys
        return named or _placeholder(value) or _key_variable(value) or bool(_literal_key(value))

    def _put(self, attribute: str, node: ast.expr, name: str) -> ast.expr:
        for part in ast.walk(node):
            if isinstance(part, ast.expr) and (key := _literal_key(part)):
                self.changes.exposed.append(key)
        self.changes.words[name] = None
        self.changes.edits.append((node, attribute))
        return ast.copy_location(
            ast.Attribute(ast.Name(HOLDER, ast.Load()), attribute, ast.Load()), node
        )


def _names_of_keys(tree: ast.Module) -> set[str]:
    """The variables whose values end up in a header, as a key of the SDK, or in its environment."""
    names: set[str] = set()
    copies: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and _is_header(node):
            names.update(part.id for part in _operands(node) if isinstance(part, ast.Name))
        elif isinstance(node, ast.keyword) and node.arg in _KEY_KEYWORDS:
            names.update({node.value.id} if isinstance(node.value, ast.Name) else ())
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    copies.append((target.id, node.value.id))
                elif _key_variable(target):
                    names.add(node.value.id)
    for _ in copies:
        names.update(source for target, source in copies if target in names)
    return names


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    """The values that are put together in a header, rather than what they are taken from."""
    if isinstance(node, ast.BinOp):
        yield from (*_operands(node.left), *_operands(node.right))
    elif isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
    elif isinstance(node, ast.Tuple):
        yield from node.elts
    elif isinstance(node, ast.Call):
        yield from node.args
    else:
        yield node


def _is_header(node: ast.expr) -> bool:
    """Whether an expression makes a text that starts with ``Key`` and goes on with a key."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        return _starts_with_key(node.left)
    if isinstance(node, ast.JoinedStr):
        return bool(node.values) and _starts_with_key(node.values[0])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "format" and _starts_with_key(node.func.value)
    if isinstance(node, ast.Constant) and _starts_with_key(node):
        rest = str(node.value)[4:]
        return bool(rest) and (is_placeholder(rest) or bool(_REAL_KEY.fullmatch(rest)))
    return False


def _starts_with_key(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _starts_with_key(node.left)
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("Key ")
    )


def _placeholder(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and is_placeholder(node.value)
    )


def _literal_key(node: ast.expr) -> str:
    text = node.value if isinstance(node, ast.Constant) else ""
    found = _REAL_KEY.fullmatch(text.removeprefix("Key ")) if isinstance(text, str) else None
    return found[0] if found else ""


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _key_variable(node: ast.expr) -> bool:
    """Whether an expression is about an environment variable or secret that holds a key."""
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.value).endswith("environ") and _names_key(node.slice)
    if isinstance(node, ast.Call) and node.args:
        function = ast.unparse(node.func)
        asks = ("environ.get", "getenv", "userdata.get", "get_secret")
        return function.endswith(asks) and _names_key(node.args[0])
    return False


def _names_key(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in _KEY_VARIABLES
