"""Where values flow in a program: from an expression back to what it may be, and on to its uses.

It follows the statements in order, so that a variable used for two things counts as two. It also
follows the arguments and results of the program's functions, and the attributes of its own
classes. Nothing runs.
"""

from __future__ import annotations

import ast
import builtins
import sys
from typing import TYPE_CHECKING, Any

from clarifai_magic.programs.origins import Origins, decorators
from clarifai_magic.programs.reading import Node, Place, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_ROUNDS = 4  # a call that one round finds to be the program's own is followed in the next


class Flow(Origins):
    """The flow of values in one program.

    Parameters
    ----------
    tree : ast.Module
        The program.
    outside : callable
        The full name of what an external name stands for; empty if it has none.
    """

    def __init__(self, tree: ast.Module, outside: Callable[[str], str]) -> None:
        super().__init__(read(tree), outside)
        self._packed: dict[tuple[ast.Call, ast.AST], tuple[ast.Tuple, ast.Dict]] = {}
        known = -1
        for _ in range(_ROUNDS):
            self._connect()
            lists = [*self._results.values(), *(each.values for each in self.program.places())]
            before, known = known, sum(map(len, lists))
            if before == known:
                break
        self._find_look_ups()
        self.remembered.clear()
        self._onward: dict[Node, list[Node]] = {}
        program = self.program
        nodes: list[Node] = [*program.parents, *program.places(), *program.items.values()]
        for node in nodes:
            for origin in self.origins(node):
                self._onward.setdefault(origin, []).append(node)

    def strays(self, node: Node, consumed: set[Node]) -> bool:
        """Whether a value also goes where it is neither consumed nor only inspected."""
        reached: set[Node] = set()
        waiting = [node]
        while waiting:
            this = waiting.pop()
            if this in reached or this in consumed:
                continue
            reached.add(this)
            onward = self._onward.get(this, [])
            around = self._around(this)
            if around is None and not onward:
                return True
            waiting += [*onward, *(around or [])]
        return False

    def uses(self, node: Node) -> list[Node]:
        """The places and expressions that a value flows on to, including containers and texts."""
        reached: dict[Node, None] = {}
        waiting = [node]
        while waiting:
            this = waiting.pop()
            if this not in reached:
                reached[this] = None
                waiting += [*self._onward.get(this, []), *(self._around(this) or [])]
        return list(reached)

    def _around(self, node: Node) -> list[Node] | None:
        """What a value becomes a part of; None if an unknown expression takes it."""
        parent = self.program.parents.get(node) if isinstance(node, ast.AST) else None
        if isinstance(parent, (ast.BinOp, ast.JoinedStr, ast.FormattedValue, *_CONTAINERS)):
            return [parent]
        if parent is None or isinstance(parent, _HARMLESS):
            return []
        return None

    def within(self, nodes: Iterable[ast.expr]) -> list[ast.expr]:
        """The expressions themselves, the contents of containers, and the parts of texts."""
        found: dict[ast.expr, None] = {}
        waiting = [*nodes]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found[node] = None
                waiting += [value for _, value in self.entries(node)]
                waiting += self._inside(node)
                waiting += [each for leaf in self.leaves(node) for each in self._made_of(leaf)]
        return list(found)

    def _made_of(self, leaf: Node) -> list[ast.expr]:
        """What Python's own functions and string methods convert."""
        match leaf:
            case ast.Subscript(value, ast.Slice()):
                return [value]
            case ast.BinOp(left, _, right):
                return [left, right]
            case ast.JoinedStr(values):
                return [each.value for each in values if isinstance(each, ast.FormattedValue)]
            case ast.Call(function):
                positional, named = self.given(leaf)
                values = [*positional, *(value for _, value in named)]
                owner = [function.value] if isinstance(function, ast.Attribute) else []
                if names := self.names(function):
                    return [*owner, *values] if any(map(is_pythons, names)) else []
                begins = {type(each) for text in owner for each in self.leaves(text)}
                return [*owner, *values] if begins and begins <= _TEXTS else []
        return []

    def is_own(self, call: ast.Call) -> bool:
        """Whether a call is only of the program's own functions and classes."""
        called = self.leaves(call.func)
        return bool(called) and all(
            isinstance(each, _FUNCTIONS)
            or (isinstance(each, ast.ClassDef) and not self._is_derived(each))
            for each in called
        )

    def _is_derived(self, owner: ast.ClassDef) -> bool:
        """Whether an external class makes the objects of one of the program's classes."""
        family = self._family(owner)
        made = [each for each in family if self.program.attribute(each, "__init__").values]
        bases = [leaf for each in family for base in each.bases for leaf in self.leaves(base)]
        return not made and not all(isinstance(each, ast.ClassDef) for each in bases)

    def _connect(self) -> None:
        """Follow attributes and calls, once every name is known."""
        self.remembered.clear()
        for base, name, value in self.program.attribute_stores:
            for owner in self._classes(base):
                self.program.attribute(owner, name).take(value)
        self.remembered.clear()
        for call in self.program.calls:
            self._hand_on(call)
            for called in self.leaves(call.func):
                if isinstance(called, ast.ClassDef):
                    self._construct(call, called)
                elif isinstance(called, _FUNCTIONS):
                    self._give(call, called, self._skipped(call, called))
                    results = self._results.setdefault(call, [])
                    if self.program.returned(called) not in results:
                        results.append(self.program.returned(called))
        for place, call in self.program.decorated:
            # Assumes that an external decorator leaves a function's arguments alone.
            place.values = self._results.get(call) or place.values

    def _find_look_ups(self) -> None:
        """Find the calls of functions that look up in the environment what they are given."""
        for call, returned in self._results.items():
            read = [self.look_up(leaf) for place in returned for leaf in self.leaves(place)]
            behind = {each for name in read if name for each in self.behind(name)}
            for called in self.leaves(call.func) if behind else ():
                for place, value in self._bound(call, called, self._skipped(call, called)):
                    if place in behind:
                        self.look_ups[call] = value

    def _hand_on(self, call: ast.Call) -> None:
        """Let arguments beside a passed function flow into it: ``map(f, xs)``, ``submit(f, x)``."""
        positional, _ = self.given(call)
        for position, given in enumerate(positional, start=1):
            functions: list[Any] = [f for f in self.leaves(given) if isinstance(f, _FUNCTIONS)]
            for function in functions:
                parameters = [*function.args.posonlyargs, *function.args.args]
                for parameter, each in zip(parameters, positional[position:], strict=False):
                    for value in self._inside(each) or [each]:
                        self.program.parameter(function, parameter.arg).take(value)

    def _construct(self, call: ast.Call, owner: ast.ClassDef) -> None:
        for each in self._family(owner):
            for made_by in self.leaves(self.program.attribute(each, "__init__")):
                if isinstance(made_by, _FUNCTIONS):
                    self._give(call, made_by, 1)
                    return
        fields = [
            each.target.id
            for each in owner.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
        positional, named = self.given(call)
        for name, value in [*zip(fields, positional, strict=False), *named]:
            self.program.attribute(owner, name).take(value)

    def _skipped(self, call: ast.Call, function: Any) -> int:
        """How many parameters of a function the call of a method fills by itself."""
        method = isinstance(call.func, ast.Attribute)
        return int(method and _takes_self(function, self.program.parents))

    def _bound(self, call: ast.Call, function: Any, skipped: int) -> list[tuple[Place, ast.expr]]:
        """The parameters that the arguments of a call fill."""
        parameters, names = _parameters(function, skipped)
        positional, named = self.given(call)
        given = [*zip(parameters, positional, strict=False), *named]
        return [
            (self.program.parameter(function, name), value)
            for name, value in given
            if name in names
        ]

    def _give(self, call: ast.Call, function: Any, skipped: int) -> None:
        """Let the arguments of a call flow into the parameters."""
        for place, value in self._bound(call, function, skipped):
            place.take(value)
        takes = function.args
        parameters, names = _parameters(function, skipped)
        positional, named = self.given(call)
        # One object per call, whatever each round finds out about it.
        rest, others = self._packed.setdefault((call, function), (ast.Tuple([]), ast.Dict([], [])))
        rest.elts = positional[len(parameters) :]
        entries = [(name, value) for name, value in named if name not in names]
        others.keys = [ast.Constant(name) for name, _ in entries]
        others.values = [value for _, value in entries]
        for parameter, value in ((takes.vararg, rest), (takes.kwarg, others)):
            if parameter is not None:
                self.program.parameter(function, parameter.arg).take(value)


_TEXTS = {ast.Constant, ast.BinOp, ast.JoinedStr, ast.Subscript}
_CONTAINERS = (ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Starred)
# Testing, iterating or naming a value sends it nowhere.
_HARMLESS = (
    ast.Compare,
    ast.If,
    ast.While,
    ast.Assert,
    ast.UnaryOp,
    ast.IfExp,
    ast.BoolOp,
    ast.Assign,
    ast.AnnAssign,
    ast.NamedExpr,
    ast.Expr,
    ast.Return,
    ast.For,
    ast.AsyncFor,
    ast.comprehension,
    ast.arguments,
)


def is_pythons(name: str) -> bool:
    """Whether a full name is from Python's own modules or built in."""
    module = name.removesuffix("()").partition(".")[0]
    return module in sys.stdlib_module_names or hasattr(builtins, module)


def _parameters(function: Any, skipped: int) -> tuple[list[str], set[str]]:
    """The names of a function's parameters: by position, and all of them."""
    takes = function.args
    parameters = [each.arg for each in (*takes.posonlyargs, *takes.args)][skipped:]
    return parameters, {*parameters, *(each.arg for each in takes.kwonlyargs)}


def _takes_self(function: Any, parents: Mapping[ast.AST, ast.AST]) -> bool:
    static = any(getattr(each, "id", "") == "staticmethod" for each in decorators(function))
    return isinstance(parents.get(function), ast.ClassDef) and not static
