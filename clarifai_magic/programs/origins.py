"""What an expression of a program may be: one step back, and where that begins.

How containers, calls and attributes of the program's own classes are made tells their values.
Nothing runs.
"""

from __future__ import annotations

import ast
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from clarifai_magic.programs import places
from clarifai_magic.programs.reading import Imported, Node, Outside, Place, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_DEEPEST = 60
_PASSING = {"strip", "lstrip", "rstrip", "get_secret_value"}
"""Methods that return their object, as far as a key is concerned."""
_COPYING = {"copy", "items"}
"""Methods that return their object's contents."""
_COPIES = {"dict", "list", "tuple", "copy.copy", "copy.deepcopy"}
_FIELDS = {"dataclasses.field", "pydantic.Field"}
_NEXT = {"next", "anext"}
_KNOWN = "argparse.ArgumentParser().parse_known_args"
_PARSERS = {"argparse.ArgumentParser().parse_args", _KNOWN}
_PARTIAL = {"functools.partial"}
_VARIABLES = {"vars", "dataclasses.asdict"}
"""Functions that return an object's attributes as a mapping."""
_WRAPPERS = {"str", "pydantic.SecretStr", "pydantic.types.SecretStr"}


T = TypeVar("T")


def followed(function: Callable[[Any, Any], list[T]]) -> Callable[[Any, Any], list[T]]:
    """Cache a method's result for a node, and end recursion."""

    @wraps(function)
    def once(self: Any, node: Any) -> list[T]:
        memory = self.remembered.setdefault(function, {})
        if node not in memory:
            memory[node] = []
            self.depth += 1
            if self.depth < _DEEPEST:
                memory[node] = function(self, node)
            self.depth -= 1
        found: list[T] = memory[node]
        return found

    return once


class Origins:
    """Where the values of one program come from.

    Parameters
    ----------
    program : Program
    outside : callable
        The full name of what an external name stands for; empty if it has none.

    Attributes
    ----------
    told : dict of Node to str
        The texts of look-ups, as far as they are known.
    look_ups : dict of Node to ast.expr
        What calls of the program's own functions look up in the environment.
    """

    def __init__(self, program: Program, outside: Callable[[str], str]) -> None:
        self.remembered: dict[Any, dict[Any, list[Any]]] = {}
        self.depth = 0
        self.program = program
        self.told: dict[Node, str] = {}
        self._outside = outside
        self.look_ups: dict[Node, ast.expr] = {}
        self._results: dict[ast.Call, list[Node]] = {}
        self._pairs_made: dict[tuple[str, ast.expr], ast.expr] = {}

    @followed
    def origins(self, node: Node) -> list[Node]:  # noqa: PLR0911 - one for each kind of node
        """What the value of a node may be, one step back; empty where it begins."""
        match node:
            case Place():
                return node.values
            case ast.Name():
                return list(self.program.names.get(node, ()))
            case ast.IfExp():
                return [node.body, node.orelse]
            case ast.BoolOp() | ast.JoinedStr(values=[_]):
                return list(node.values)
            case ast.NamedExpr() | ast.Await() | ast.FormattedValue(format_spec=None):
                return [node.value]
            case ast.Attribute():
                return self._of_attribute(node)
            case ast.Subscript(ctx=ast.Load()):
                return self._items(node.value, node.slice)
            case ast.Call():
                return self._of_call(node)
        return []

    @followed
    def leaves(self, node: Node) -> list[Node]:
        """Where the value of a node may begin."""
        return [each for each in self.behind(node) if not self.origins(each)]

    @followed
    def behind(self, node: Node) -> list[Node]:
        """The node, and everything that its value may pass through."""
        found: dict[Node, None] = {}
        waiting = [node]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found[node] = None
                waiting += self.origins(node)
        return list(found)

    def names(self, node: Node) -> set[str]:
        """The full names that an expression may have; an object's is its class's with ``()``."""
        return set(self._named(node))

    @followed
    def _named(self, node: Node) -> list[str]:
        found = []
        for leaf in self.leaves(node):
            if isinstance(leaf, Imported):
                found.append(leaf.name)
            elif isinstance(leaf, Outside):
                found.append(self._outside(leaf.name))
            elif isinstance(leaf, ast.Attribute):
                found += [f"{name}.{leaf.attr}" for name in self._named(leaf.value)]
            elif isinstance(leaf, ast.Call):
                found += [f"{name}()" for name in self._named(leaf.func)]
        return [name for name in found if name]

    @followed
    def entries(self, node: Node) -> list[tuple[str, ast.expr]]:
        """The entries of a mapping, or of a sequence of pairs, that have strings as keys."""
        leaves = self.leaves(node)
        found = [entry for leaf in leaves for entry in self._entries(leaf)]
        return [*found, *self._added(set(leaves))]

    def _entries(self, leaf: Node) -> list[tuple[str, ast.expr]]:  # noqa: PLR0911 - by kind
        match leaf:
            case ast.Dict(keys, values):
                pairs = zip(keys, values, strict=True)
                return [e for k, v in pairs for e in (self._pairs(k, v) if k else self.entries(v))]
            case ast.Tuple() | ast.List():
                return self._of_pairs(self._elements(leaf))
            # One that only chooses entries of another mapping keeps key and value together.
            case ast.DictComp(
                ast.Name(k),
                ast.Name(v),
                [ast.comprehension(ast.Tuple([ast.Name(first), ast.Name(second)]), of)],
            ) if (k, v) == (first, second):
                return self._of_pairs(self._inside(of))
            case ast.DictComp(key, value):
                return self._pairs(key, value)
            case ast.BinOp(left, ast.BitOr() | ast.Add(), right):
                return [*self.entries(left), *self.entries(right)]
            case ast.Call():
                return self._in_call(leaf)
            case ast.Attribute(owner, "__dict__"):
                return self._variables(owner)
        return []

    def _of_pairs(self, items: list[ast.expr]) -> list[tuple[str, ast.expr]]:
        pairs = [leaf for each in items for leaf in self.leaves(each)]
        two = [each.elts for each in pairs if isinstance(each, (ast.Tuple, ast.List))]
        return [entry for each in two if len(each) == 2 for entry in self._pairs(*each)]  # noqa: PLR2004

    def _pairs(self, key: ast.expr, value: ast.expr) -> list[tuple[str, ast.expr]]:
        return [
            (leaf.value, value)
            for leaf in self.leaves(key)
            if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
        ]

    def _in_call(self, node: ast.Call) -> list[tuple[str, ast.expr]]:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _COPYING:
            return self.entries(node.func.value)
        if node.args and self.names(node.func) & _VARIABLES:
            return self._variables(node.args[0])
        if self.names(node.func).isdisjoint(_COPIES):
            return []
        positional, named = self.given(node)
        return [*named, *(entry for each in positional for entry in self.entries(each))]

    def _variables(self, node: ast.expr) -> list[tuple[str, ast.expr]]:
        """The attributes of an object, as the entries of a mapping."""
        leaves = self.leaves(node)
        names = [
            name
            for base, name, _ in self.program.attribute_stores
            if not set(leaves).isdisjoint(self.leaves(base))
        ]
        for leaf in leaves:
            if isinstance(leaf, ast.Call):
                names += [name for name, _ in self.given(leaf)[1]]
                names += [_destination(each) for each in self._options(leaf)]
        family = [each for owner in self._classes(node) for each in self._family(owner)]
        names += [name for owner, name in self.program.attributes if owner in family]
        return [(name, self.program.part(node, name)) for name in dict.fromkeys(names)]

    def _added(self, leaves: set[Node]) -> Iterator[tuple[str, ast.expr]]:
        """What the program adds to a mapping later."""
        for container, key, value in self.program.item_stores:
            if not leaves.isdisjoint(self.leaves(container)):
                yield from self._pairs(key, value)
        for container, call in self.program.updates:
            if not leaves.isdisjoint(self.leaves(container)):
                positional, named = self.given(call)
                yield from named
                for each in positional:
                    yield from self.entries(each)

    def _of_attribute(self, node: ast.Attribute) -> list[Node]:
        leaves = self.leaves(node.value)
        found: list[Node] = [
            value
            for leaf in leaves
            if isinstance(leaf, ast.Call)
            for name, value in self.given(leaf)[1]
            if name == node.attr
        ]
        found += [
            value
            for base, name, value in self.program.attribute_stores
            if name == node.attr and not set(leaves).isdisjoint(self.leaves(base))
        ]
        found += [each for leaf in leaves for each in self._arguments(leaf, node.attr)]
        for owner in self._classes(node.value):
            for each in self._family(owner):
                for value in self.program.attribute(each, node.attr).values:
                    properties = [made for made in self.leaves(value) if _is_property(made)]
                    found += [self.program.returned(made) for made in properties] or [value]
        return found

    def look_up(self, node: Node) -> ast.expr | None:
        """The name that an expression looks up in the environment, if it does."""
        match node:
            case ast.Subscript(value, key, ast.Load()) if self.names(value) & places.ENVIRONMENTS:
                return key
            case ast.Call(function, [key, *_]) if self.names(function) & places.LOOK_UPS:
                return key
        return self.look_ups.get(node)

    def methods(self, node: Node, names: Collection[str]) -> list[Any]:
        """The methods of those names that the objects of the program's own classes have."""
        family = [each for owner in self._classes(node) for each in self._family(owner)]
        values = [self.program.attribute(each, name) for each in family for name in names]
        leaves = [leaf for value in values for leaf in self.leaves(value)]
        return [each for each in leaves if isinstance(each, ast.FunctionDef)]

    def _arguments(self, leaf: Node, name: str) -> list[Node]:
        """The defaults of what a command line is read for under a name."""
        return [
            each.value
            for call in self._options(leaf)
            if _destination(call) == name
            for each in call.keywords
            if each.arg == "default"
        ]

    def _options(self, leaf: Node) -> list[ast.Call]:
        """What a command line is read for."""
        if not isinstance(leaf, ast.Call) or self.names(leaf.func).isdisjoint(_PARSERS):
            return []
        return [
            call
            for call in self.program.calls
            if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        ]

    def _classes(self, node: Node) -> list[ast.ClassDef]:
        """The program's own classes that the value of a node may be, or may be an instance of."""
        found = []
        for leaf in self.behind(node):
            if isinstance(leaf, ast.ClassDef):
                found.append(leaf)
            elif isinstance(leaf, Place) and leaf.owner:
                found.append(leaf.owner)
            elif isinstance(leaf, ast.Call):
                found += [each for each in self.leaves(leaf.func) if isinstance(each, ast.ClassDef)]
        return found

    def _family(self, owner: ast.ClassDef) -> list[ast.ClassDef]:
        found, waiting = [], [owner]
        while waiting:
            if (this := waiting.pop()) not in found:
                found.append(this)
                for base in this.bases:
                    waiting += [
                        each for each in self.leaves(base) if isinstance(each, ast.ClassDef)
                    ]
        return found

    def _items(self, container: ast.expr, key: ast.expr) -> list[Node]:
        if not isinstance(key, ast.Constant):
            return []
        if isinstance(key.value, str):
            return [value for name, value in self.entries(container) if name == key.value]
        if key.value is ...:  # what a context manager returns: itself, or what a generator yields
            return self._items(container, ast.Constant(None)) or [container]
        found: list[Node] = []
        if key.value is None:
            return [*self._inside(container)]
        for leaf in self.leaves(container):
            items = self._elements(leaf)
            if isinstance(key.value, int):
                known = -len(items) <= key.value < len(items)
                # A comprehension has more items than expressions for them.
                found += [items[key.value]] if known else items
        return found

    @followed
    def _elements(self, leaf: Node) -> list[ast.expr]:  # noqa: PLR0911 - one for each kind of leaf
        """The contents of a sequence."""
        match leaf:
            case ast.Tuple() | ast.List() | ast.Set():
                added = [
                    value
                    for sequence, value in self.program.additions
                    if leaf in self.leaves(sequence)
                ]
                return [*self._spread(leaf.elts), *added]
            case ast.BinOp(left, ast.Add() | ast.Mult(), right):
                return [*self._inside(left), *self._inside(right)]
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return [leaf.elt]
            case ast.Call(ast.Attribute(mapping, "values")):
                return [value for _, value in self.entries(mapping)]
            case ast.Call(ast.Attribute(mapping, "items")):
                return [self._pair(key, value) for key, value in self.entries(mapping)]
            case ast.Call(function, [given, *_]) if self.names(function) & _COPIES:
                return self._inside(given)
            case ast.Call(function) if _KNOWN in self.names(function):
                return [leaf]  # which stands for what was known, and for the rest
        return []

    def items(self, node: ast.expr) -> list[ast.expr]:
        """The items of a sequence in their order; empty if that may be one of several."""
        leaves = self.leaves(node)
        whole = len(leaves) == 1 and isinstance(leaves[0], (ast.Tuple, ast.List))
        return self._elements(leaves[0]) if whole else []

    def _spread(self, items: list[ast.expr]) -> list[ast.expr]:
        """The items of a sequence, including those unpacked into it."""
        nested = [self._inside(e.value) if isinstance(e, ast.Starred) else [e] for e in items]
        return [each for inner in nested for each in inner]

    def _inside(self, sequence: ast.expr) -> list[ast.expr]:
        """The contents of any sequence that an expression may be."""
        return [each for leaf in self.leaves(sequence) for each in self._elements(leaf)]

    def _pair(self, key: str, value: ast.expr) -> ast.expr:
        return self._pairs_made.setdefault(
            (key, value), ast.copy_location(ast.Tuple([ast.Constant(key), value]), value)
        )

    def _of_call(self, node: ast.Call) -> list[Node]:
        if node in self.look_ups:
            return []
        match node:
            case ast.Call(ast.Attribute(value, method)) if method in _PASSING:
                return [value]
            case ast.Call(ast.Attribute(mapping, "get"), [key, *_]):
                return self._items(mapping, key)
            case ast.Call(ast.Name("getattr"), [owner, ast.Constant(str(name)), *_]):
                return self._of_attribute(ast.Attribute(owner, name, ast.Load()))
        return self._results.get(node) or self._of_known(node)

    def _of_known(self, node: ast.Call) -> list[Node]:
        names = self.names(node.func)
        if len(node.args) == 1 and names & _WRAPPERS:
            return [node.args[0]]
        if names & _FIELDS:
            made = {each.arg: each.value for each in node.keywords}
            factories = self.leaves(made["default_factory"]) if "default_factory" in made else []
            results = [self.program.returned(each) for each in factories]
            return [*results, made["default"]] if "default" in made else [*results]
        if node.args and names & _NEXT:
            return self._items(node.args[0], ast.Constant(None))
        return [node.args[0]] if self._is_partial(node) else []

    def _is_partial(self, node: Node) -> bool:
        """Whether a call returns a function with some of its arguments bound."""
        return isinstance(node, ast.Call) and bool(node.args and self.names(node.func) & _PARTIAL)

    def given(self, call: ast.Call) -> tuple[list[ast.expr], list[tuple[str, ast.expr]]]:
        """The arguments of a call by position and by name, including unpacked ones."""
        positional: list[ast.expr] = []
        named: list[tuple[str, ast.expr]] = []
        for partial in self.behind(call.func):
            if isinstance(partial, ast.Call) and self._is_partial(partial):
                first, more = self.given(partial)
                positional += first[1:]
                named += more
        positional += self._spread(call.args)
        for keyword in call.keywords:
            if keyword.arg is None:
                named += self.entries(keyword.value)
            else:
                named.append((keyword.arg, keyword.value))
        return positional, named


def _destination(call: ast.Call) -> str:
    """Under what name an argument of a command line is had."""
    named = [each.value for each in call.keywords if each.arg == "dest"]
    values = [each.value for each in [*named, *call.args] if isinstance(each, ast.Constant)]
    texts = [each for each in values if isinstance(each, str)]
    if named:
        return texts[0] if texts else ""
    long = [each for each in texts if each.startswith("--")]
    return next(iter([*long, *texts]), "").lstrip("-").replace("-", "_")


def _is_property(node: Node) -> bool:
    names = {getattr(each, "id", getattr(each, "attr", "")) for each in decorators(node)}
    return not names.isdisjoint({"property", "cached_property"})


def decorators(node: Any) -> list[ast.expr]:
    """The decorators of a function; none for anything else."""
    return getattr(node, "decorator_list", [])
