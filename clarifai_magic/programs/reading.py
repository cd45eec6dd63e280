"""Follows a program's statements in order: what each name may be where it is used."""

from __future__ import annotations

import ast
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping


@dataclass(eq=False)
class Place:
    """Where values meet: a parameter, an attribute, what a function returns.

    Parameters
    ----------
    values : list of Node
        The possible values.
    owner : ast.ClassDef, optional
        For the parameter ``self``: the class.
    """

    values: list[Node] = field(default_factory=list)
    owner: ast.ClassDef | None = None

    def take(self, value: Node) -> None:
        """Add a value."""
        if value not in self.values:
            self.values.append(value)


class Imported(NamedTuple):
    """An imported object, by its full name."""

    name: str


class Outside(NamedTuple):
    """An external name: the notebook's, or Python's own."""

    name: str


Node = ast.AST | Place | Imported | Outside
Env = dict[str, tuple[Node, ...]]


@dataclass(eq=False)
class Program:
    """A program's expressions, by the flow of its values.

    Attributes
    ----------
    parents : dict
        The parent of each node of the tree.
    calls : list of ast.Call
    names : dict
        What each name may be where it is used.
    attributes, returns, parameters : dict
        Where the values of those meet.
    item_stores, attribute_stores : list of tuple
        Container or object, key or name, and value of each assignment to a part of it.
    additions : list of tuple
        Sequences that the program adds to, and what it adds.
    updates : list of tuple
        Containers that the program merges others into, and the calls that do it.
    items : dict
        Unpacked, iterated, matched or entered values, by value and number, key or attribute.
    decorated : list of tuple
        The value of a decorated function's name, and the decorator's call.
    """

    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    calls: list[ast.Call] = field(default_factory=list)
    names: dict[ast.Name, tuple[Node, ...]] = field(default_factory=dict)
    attributes: dict[tuple[ast.ClassDef, str], Place] = field(default_factory=dict)
    returns: dict[Node, Place] = field(default_factory=dict)
    parameters: dict[tuple[ast.AST, str], Place] = field(default_factory=dict)
    item_stores: list[tuple[ast.expr, ast.expr, ast.expr]] = field(default_factory=list)
    attribute_stores: list[tuple[ast.expr, str, ast.expr]] = field(default_factory=list)
    additions: list[tuple[ast.expr, ast.expr]] = field(default_factory=list)
    updates: list[tuple[ast.expr, ast.Call]] = field(default_factory=list)
    items: dict[tuple[ast.expr, object], ast.expr] = field(default_factory=dict)
    decorated: list[tuple[Place, ast.Call]] = field(default_factory=list)

    def load(self, node: ast.Name, values: tuple[Node, ...]) -> None:
        """Note what a name may be where it is used; in a loop this happens more than once."""
        self.names[node] = (*dict.fromkeys((*self.names.get(node, ()), *values)),)

    def parameter(self, function: ast.AST, name: str) -> Place:
        """Where the values of a parameter meet."""
        return self.parameters.setdefault((function, name), Place())

    def returned(self, function: Node) -> Place:
        """Where the values that a function returns meet."""
        return self.returns.setdefault(function, Place())

    def attribute(self, owner: ast.ClassDef, name: str) -> Place:
        """Where the values of an attribute of a class and its objects meet."""
        return self.attributes.setdefault((owner, name), Place())

    def part(self, value: ast.expr, name: str) -> ast.expr:
        """An attribute of a value."""
        part = ast.copy_location(ast.Attribute(value, name, ast.Load()), value)
        return self.items.setdefault((value, (name,)), part)

    def places(self) -> Iterator[Place]:
        """All places where values meet."""
        for table in (self.attributes, self.returns, self.parameters):
            yield from table.values()


def read(tree: ast.Module) -> Program:
    """Read a program: what each of its names may be where it is used.

    Follows the statements in order, so that a variable used for two things counts as two.
    """
    program = Program()
    for node in ast.walk(tree):
        program.parents.update(dict.fromkeys(ast.iter_child_nodes(node), node))
        if isinstance(node, ast.Call):
            program.calls.append(node)
    _Reader(program).read(tree)
    return program


@dataclass(eq=False)
class _Scope:
    """A module's or a function's variables.

    Parameters
    ----------
    parent : _Scope, optional
        The enclosing scope.
    seen : dict
        The variables of `parent` at the function's definition.
    since : int
        The number of assignments read there.
    shared : collection of str
        The names declared global or nonlocal, in a function or within it.
    """

    parent: _Scope | None = None
    seen: Env = field(default_factory=dict)
    since: int = 0
    shared: Collection[str] = ()
    assigned: list[tuple[str, Node]] = field(default_factory=list)


class _Reader:
    """Follows a program's statements, and determines what each name may be where it is used."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._module = _Scope()
        self._scope = self._module
        self._function: ast.AST | None = None
        self._later: list[tuple[Any, _Scope]] = []
        self._stars: list[str] = []
        # What functions assign to names that they declare global.
        self._shared: dict[str, Place] = {}

    def read(self, tree: ast.Module) -> None:
        self._module.shared = _declared(tree)
        self._shared = {name: Place() for name in self._module.shared}
        self._block(tree.body, {})
        while self._later:
            self._read_function(*self._later.pop(0))

    def _read_function(self, function: Any, scope: _Scope) -> None:
        self._scope, self._function = scope, function
        env: Env = {
            each.arg: (self._program.parameter(function, each.arg),) for each in _all(function)
        }
        body = function.body if isinstance(function.body, list) else [ast.Return(function.body)]
        self._block(body, env)

    def _define(self, function: Any, env: Env) -> None:
        """Register a function; its body is read after the code around it."""
        takes = function.args
        positional = [*takes.posonlyargs, *takes.args]
        defaults = [*zip(reversed(positional), reversed(takes.defaults), strict=False)]
        defaults += zip(takes.kwonlyargs, takes.kw_defaults, strict=True)
        for argument, default in defaults:
            if default is not None:
                self._expression(default, env)
                place = self._program.parameter(function, argument.arg)
                place.take(default)
        owner = self._program.parents.get(function)
        if isinstance(owner, ast.ClassDef) and positional:
            self._program.parameter(function, positional[0].arg).owner = owner
        around = self._around_class if isinstance(owner, ast.ClassDef) else env
        since = len(self._scope.assigned)
        scope = _Scope(self._scope, dict(around), since, shared=_declared(function))
        self._later.append((function, scope))

    _around_class: Env = {}  # noqa: RUF012 - replaced, never changed

    def _block(self, body: Iterable[ast.stmt], env: Env) -> None:
        for statement in body:
            self._statement(statement, env)

    def _statement(self, node: ast.stmt, env: Env) -> None:  # noqa: C901, PLR0912 - Python's grammar
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._expressions(node.decorator_list, env)
            self._define(node, env)
            self._assign_name(node.name, (self._decorated(node),), env)
        elif isinstance(node, ast.ClassDef):
            self._class(node, env)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, env)
        elif isinstance(node, ast.Assign):
            self._expression(node.value, env)
            for target in node.targets:
                self._assign(target, node.value, env)
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
            self._change(node, env)
        elif isinstance(node, ast.Return):
            if node.value is not None and self._function is not None:
                self._expression(node.value, env)
                self._program.returned(self._function).take(node.value)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._expression(node.iter, env)
            self._assign(node.target, self._item(node.iter, None), env, joined=True)
            self._branches(env, [node.body, node.orelse, []], again=True)
        elif isinstance(node, ast.While):
            self._expression(node.test, env)
            self._branches(env, [node.body, node.orelse, []], again=True)
            self._expression(node.test, env)
        elif isinstance(node, ast.If):
            self._expression(node.test, env)
            self._branches(env, [node.body, node.orelse])
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                self._expression(item.context_expr, env)
                if item.optional_vars is not None:
                    self._assign(item.optional_vars, self._item(item.context_expr, ...), env)
            self._block(node.body, env)
        elif isinstance(node, ast.Match):
            self._match(node, env)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            self._try(node, env)
        else:
            self._expressions(ast.iter_child_nodes(node), env)

    def _branches(self, env: Env, bodies: list[list[ast.stmt]], *, again: bool = False) -> None:
        """Follow every branch; afterwards a name may have its value at the end of any of them."""
        for _ in range(2 if again else 1):
            ends = []
            for body in bodies:
                end = dict(env)
                self._block(body, end)
                ends.append(end)
            _join(env, ends)

    def _match(self, node: ast.Match, env: Env) -> None:
        self._expression(node.subject, env)
        ends = [env]
        for case in node.cases:
            end = dict(env)
            self._capture(case.pattern, node.subject, end)
            if case.guard is not None:
                self._expression(case.guard, end)
            self._block(case.body, end)
            ends.append(end)
        _join(env, ends)

    def _capture(self, pattern: ast.pattern, value: ast.expr, env: Env) -> None:
        """Bind the names of a pattern to what they capture of a value."""
        name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
        if name is not None:
            self._assign_name(name, (value,), env)
        for part, captured in self._parts(pattern, value):
            self._capture(part, captured, env)

    def _parts(self, pattern: ast.pattern, value: ast.expr) -> list[tuple[ast.pattern, ast.expr]]:
        """The patterns within one, and what each captures of a value."""
        match pattern:
            case ast.MatchAs(ast.pattern() as inner):
                return [(inner, value)]
            case ast.MatchOr(patterns):
                return [(each, value) for each in patterns]
            case ast.MatchSequence(patterns):
                items = [self._item(value, number) for number, _ in enumerate(patterns)]
                stars = [isinstance(each, ast.MatchStar) for each in patterns]
                captured = [
                    value if star else item for item, star in zip(items, stars, strict=True)
                ]
                return [*zip(patterns, captured, strict=True)]
            case ast.MatchMapping(keys, patterns):
                texts = [key.value if isinstance(key, ast.Constant) else None for key in keys]
                return [*zip(patterns, (self._item(value, text) for text in texts), strict=True)]
            case ast.MatchClass(_, patterns, names, named):
                attributes = [self._program.part(value, name) for name in names]
                return [*((each, value) for each in patterns), *zip(named, attributes, strict=True)]
        return []

    def _try(self, node: Any, env: Env) -> None:
        before = dict(env)
        self._block(node.body, env)
        _join(before, [before, env])
        ends = [env]
        self._block(node.orelse, env)
        for handler in node.handlers:
            end = dict(before)
            if handler.name is not None:
                self._assign_name(handler.name, (handler,), end)
            self._block(handler.body, end)
            end.pop(handler.name, None)
            ends.append(end)
        _join(env, ends)
        self._block(node.finalbody, env)

    def _class(self, node: ast.ClassDef, env: Env) -> None:
        self._expressions([*node.bases, *node.keywords, *node.decorator_list], env)
        outer, self._around_class = self._around_class, dict(env)
        inner = dict(env)
        self._block(node.body, inner)
        self._around_class = outer
        for name, values in inner.items():
            if values is not env.get(name):
                self._program.attribute(node, name).values += values
        self._assign_name(node.name, (node,), env)

    def _import(self, node: ast.Import | ast.ImportFrom, env: Env) -> None:
        for each in node.names:
            if each.name == "*" and isinstance(node, ast.ImportFrom):
                self._stars.append(f"{node.module}")
                for name, values in env.items():
                    env[name] = (*values, Imported(f"{node.module}.{name}"))
                continue
            if isinstance(node, ast.ImportFrom):
                name, found = each.asname or each.name, f"{node.module}.{each.name}"
            else:
                name = each.asname or each.name.partition(".")[0]
                found = each.name if each.asname else name
            self._assign_name(name, (Imported(found),), env)

    def _change(self, node: ast.AnnAssign | ast.AugAssign, env: Env) -> None:
        if node.value is None:
            return
        self._expression(node.value, env)
        if isinstance(node, ast.AnnAssign):
            self._assign(node.target, node.value, env)
        elif isinstance(node.target, ast.Name):
            # The text before, and what is appended.
            before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            self._program.load(before, self._look_up(before.id, env))
            added = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
            self._program.parents.update({before: added, added: node, node.value: added})
            self._assign_name(node.target.id, (added,), env)
        else:
            self._expressions(ast.iter_child_nodes(node.target), env)
            into: Any = copy(node.target)
            into.ctx = ast.Load()
            merge = ast.copy_location(
                ast.Call(ast.Attribute(into, "update"), [node.value], []), node
            )
            self._program.updates.append((into, merge))

    def _assign(self, target: ast.expr, value: ast.expr, env: Env, *, joined: bool = False) -> None:
        if isinstance(target, ast.Name):
            before = env.get(target.id, ()) if joined else ()
            self._assign_name(target.id, (*before, value), env)
        elif isinstance(target, ast.Subscript):
            self._expressions([target.value, target.slice], env)
            self._program.item_stores.append((target.value, target.slice, value))
        elif isinstance(target, ast.Attribute):
            self._expression(target.value, env)
            self._program.attribute_stores.append((target.value, target.attr, value))
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = _unpacked(value, len(target.elts))
            for number, each in enumerate(target.elts):
                if values is not None and not isinstance(each, ast.Starred):
                    self._assign(each, values[number], env, joined=joined)
                else:
                    self._assign(getattr(each, "value", each), self._item(value, number), env)

    def _item(self, value: ast.expr, key: object) -> ast.expr:
        """One of the items of a value, or any of them if the key is unknown."""
        item = ast.Subscript(value, ast.Constant(key), ast.Load())  # type: ignore[arg-type]
        return self._program.items.setdefault((value, key), ast.copy_location(item, value))

    def _decorated(self, function: Any) -> Node:
        """A function, or the place for the result of its decorators."""
        value: Node = function
        for decorator in reversed(function.decorator_list):
            name = ast.copy_location(ast.Name(function.name, ast.Load()), decorator)
            self._program.load(name, (value,))
            call = ast.copy_location(ast.Call(decorator, [name], []), decorator)
            self._program.calls.append(call)
            value = Place([value])
            self._program.decorated.append((value, call))
        return value

    def _assign_name(self, name: str, values: tuple[Node, ...], env: Env) -> None:
        env[name] = values
        for value in values:
            self._scope.assigned.append((name, value))
        if name in self._scope.shared and self._scope is not self._module:
            self._shared[name].values += values

    def _expressions(self, nodes: Iterable[ast.AST], env: Env) -> None:
        for node in nodes:
            self._expression(node, env)

    def _expression(self, node: ast.AST, env: Env) -> None:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self._program.load(node, self._look_up(node.id, env))
        elif isinstance(node, ast.NamedExpr):
            self._expression(node.value, env)
            self._assign(node.target, node.value, env)
        elif isinstance(node, ast.Lambda):
            self._define(node, env)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            env = dict(env)
            for each in node.generators:
                self._expression(each.iter, env)
                self._bind(each.target, self._item(each.iter, None), env)
                self._expressions(each.ifs, env)
            parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
            self._expressions(parts, env)
        elif isinstance(node, (ast.Yield, ast.YieldFrom)) and node.value and self._function:
            self._expression(node.value, env)
            whole = isinstance(node, ast.YieldFrom)
            yielded = node.value if whole else ast.List([node.value], ast.Load())
            self._program.returned(self._function).take(yielded)
        else:
            self._put_in(node)
            self._expressions(ast.iter_child_nodes(node), env)

    def _bind(self, target: ast.expr, value: ast.expr, env: Env) -> None:
        """Bind the names of a comprehension, which no other code sees."""
        if isinstance(target, ast.Name):
            env[target.id] = (value,)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for number, each in enumerate(target.elts):
                self._bind(each, self._item(value, number), env)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, value, env)

    def _put_in(self, node: ast.AST) -> None:
        """Note a call that adds something to a container."""
        if not isinstance(node, ast.Call):
            return
        match node:
            case ast.Call(ast.Name("setattr"), [owner, ast.Constant(str(name)), value]):
                self._program.attribute_stores.append((owner, name, value))
        if not isinstance(node.func, ast.Attribute):
            return
        if node.func.attr in {"update", "extend"}:
            self._program.updates.append((node.func.value, node))
        elif node.func.attr in {"append", "add", "insert"} and node.args:
            self._program.additions.append((node.func.value, node.args[-1]))
        elif node.func.attr in {"add_header", "putheader"} and len(node.args) == 2:  # noqa: PLR2004
            headers = self._program.part(node.func.value, "headers")
            self._program.item_stores.append((headers, node.args[0], node.args[1]))
        elif node.func.attr == "setdefault" and len(node.args) == 2:  # noqa: PLR2004
            key, value = node.args
            self._program.item_stores.append((node.func.value, key, value))

    def _look_up(self, name: str, env: Env) -> tuple[Node, ...]:
        scope = self._scope
        if name in env:
            return (*env[name], *self._elsewhere(name, scope))
        while scope.parent is not None:
            later = [value for each, value in scope.parent.assigned[scope.since :] if each == name]
            if found := (*scope.seen.get(name, ()), *later):
                return (*found, *self._elsewhere(name, scope.parent))
            scope = scope.parent
        starred = [Imported(f"{module}.{name}") for module in self._stars]
        return self._elsewhere(name, scope) or (Outside(name), *starred)

    def _elsewhere(self, name: str, scope: _Scope) -> tuple[Place, ...]:
        """What functions assign to a scope's variable that they declare."""
        return (self._shared[name],) if name in scope.shared else ()


def _declared(tree: ast.AST) -> set[str]:
    """The names declared global or nonlocal anywhere in a tree."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, (ast.Global, ast.Nonlocal)))
    return {name for node in nodes for name in node.names}


def _join(env: Env, ends: Iterable[Mapping[str, tuple[Node, ...]]]) -> None:
    joined: dict[str, dict[Node, None]] = {}
    for end in ends:
        for name, values in end.items():
            joined.setdefault(name, {}).update(dict.fromkeys(values))
    env.update({name: tuple(values) for name, values in joined.items()})


def _all(function: Any) -> Iterator[ast.arg]:
    takes = function.args
    yield from (*takes.posonlyargs, *takes.args, *takes.kwonlyargs)
    yield from (each for each in (takes.vararg, takes.kwarg) if each is not None)


def _unpacked(value: ast.expr, number: int) -> list[ast.expr] | None:
    """The unpacked values, if they are literal."""
    if not isinstance(value, (ast.Tuple, ast.List)) or len(value.elts) != number:
        return None
    return None if any(isinstance(each, ast.Starred) for each in value.elts) else value.elts
