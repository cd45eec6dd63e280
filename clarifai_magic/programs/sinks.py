"""The places where a program reaches Clarifai, and which of a session's values belong there."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.programs import places
from clarifai_magic.programs.calls import Calls
from clarifai_magic.programs.claims import Edit, Value
from clarifai_magic.programs.flow import Flow, is_pythons
from clarifai_magic.programs.reading import Imported
from clarifai_magic.programs.texts import UNKNOWN, texts
from clarifai_magic.programs.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.programs.reading import Node

_IDS = {"user_id", "app_id"}


class Found(NamedTuple):
    """The findings in a program.

    Parameters
    ----------
    edits : list of Edit
    ids : set of str
        Literals that go to Clarifai and are not a key there.
    foreign : dict of str to int
        Hosts that a key would have gone to, and the line; an empty host if unknown.
    """

    edits: list[Edit]
    ids: set[str]
    foreign: dict[str, int]


def find(  # noqa: PLR0913 - what is known around a program, kind by kind
    tree: ast.Module,
    *,
    deployment: str,
    ids: dict[Value, bool],
    known: Callable[[str], object],
    parameters: Callable[[set[str]], list[str]],
    key: str = "",
) -> Found:
    """Find what a program sends to Clarifai.

    Parameters
    ----------
    tree : ast.Module
        The program.
    deployment : str
        The session's base URL.
    ids : dict of Value to bool
        Which IDs the session has.
    known : callable
        What a name of the notebook's, or of Python's own, stands for; None if nothing.
    parameters : callable
        The parameter names of one of the SDK's callables, by all its full names.
    key : str
        The session's, which may have an unusual shape.
    """
    return _Finder(tree, deployment, ids, known, parameters, key).found()


class _Finder:
    def __init__(  # noqa: PLR0913 - what `find` takes
        self,
        tree: ast.Module,
        deployment: str,
        ids: dict[Value, bool],
        known: Callable[[str], object],
        parameters: Callable[[set[str]], list[str]],
        key: str,
    ) -> None:
        self._tree = tree
        self._deployment = deployment
        self._ids = ids
        self._flow = Flow(tree, lambda name: _full_name(known(name)))
        self._calls = Calls(self._flow, deployment, parameters)
        self._wanted = Wanted(self._flow, deployment, ids, known, key)
        self._foreign: list[tuple[str, ast.expr, list[ast.expr]]] = []
        self._wholes: dict[ast.expr, Edit] = {}

    def found(self) -> Found:
        for node in ast.walk(self._tree):
            if "CLARIFAI_API_BASE" in self._wanted.looked_up(node):
                self._flow.told[node] = self._deployment
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, (ast.Tuple, ast.List, ast.Dict)):
                self._preamble(node)
                if isinstance(node, ast.Dict):
                    self._described(node)
            if isinstance(node, ast.expr):
                self._look_up(node)
        self._environment()
        self._modules()
        self._messages()
        edits = {**self._wanted.claims.settled(), **self._wanted.headers, **self._wholes}
        foreign = {
            "" if host == UNKNOWN else host.replace(UNKNOWN, "…"): at.lineno
            for host, at, values in self._foreign
            if self._wanted.claims.withheld(self._flow.within(values), edits)
            or any(map(self._wanted.has_placeholder, values))
        }
        in_order = sorted(edits.values(), key=lambda edit: (edit.line, edit.node.col_offset))
        return Found(in_order, self._wanted.harmless - self._wanted.claims.keys(), foreign)

    def _call(self, call: ast.Call) -> None:
        names = self._flow.names(call.func)
        values = self._calls.values(call)
        litellm = self._calls.is_litellms(call, names)
        if names & places.CHANNELS:
            self._channel(call, names)
        elif places.RUNNERS & names or self._calls.runs_a_loop(call):
            self._wholes[call.func] = Edit(call.func, (Value.RUN,), "", call.lineno)
        elif not litellm and not any(map(places.is_clarifais, names)):
            # Arguments of the program's own functions are followed into them.
            if not self._flow.is_own(call) and not names & places.BUILDERS:
                self._client(call, values)
        elif elsewhere := self._calls.elsewhere(call):
            self._foreign += [(host, call, values) for host in elsewhere]
        elif litellm:
            self._litellm(call)
        else:
            self._clarifais(call, names)

    def _client(self, call: ast.Call, values: list[ast.expr]) -> None:
        """A call with a URL: its key becomes the session's, if the URL is the API's."""
        leads = self._calls.leads(call)
        given = self._calls.arguments(call)
        # A URL in a key's place is not a key.
        urls = [value for name, value in given if name not in places.KEY_PARAMETERS]
        hosts = self._calls.hosts(urls)
        if not leads and hosts == self._calls.others(hosts):
            return
        later = self._calls.set_later(call, places.KEY_PARAMETERS)
        parts = [*self._calls.of_object(call), *values, *self._calls.authorizers(call)]
        keys = [value for name, value in given if name in places.KEY_PARAMETERS] + later
        keys += [value for each in parts for _, value in self._wanted.authorizations(each)]
        based = not places.BASE_PARAMETERS.isdisjoint(name for name, _ in given)
        elsewhere = self._calls.others(leads) | self._calls.also_to(call)
        if not elsewhere and (keys or based or any(map(self._wanted.remembered, parts))):
            self._wanted.keys([*given, *(("api_key", value) for value in later)])
            for each in parts:
                self._wanted.authorized(each)
            for each in values:
                self._wanted.url(each)
            for each in self._calls.paths(call):
                self._wanted.path(each)
            for each in self._calls.connections(call):
                for value in values:
                    self._wanted.path(value)
                self._wholes[each] = Edit(each, (Value.CONNECTION,), "connection", each.lineno)
        self._foreign += [(host, call, [*parts, *keys]) for host in elsewhere]

    def _litellm(self, call: ast.Call) -> None:
        given = self._calls.arguments(call)
        self._wanted.keys(given)
        if places.BASE_PARAMETERS.isdisjoint(name for name, _ in given):
            self._add(call, "api_base", Value.BASE, "/v2/ext/openai/v1")

    def _described(self, node: ast.Dict) -> None:
        """A mapping with URL and key or headers, passed to what will make the call from it."""
        entries = self._flow.entries(node)
        values = [each for key, each in entries if key in {"headers", *places.ADDRESS_PARAMETERS}]
        parents = self._flow.program.parents
        takers = [
            parents.get(each) if isinstance(each, ast.keyword) else each
            for each in self._takers(node)
        ]
        calls = [each for each in takers if isinstance(each, ast.Call)]
        names = {name for each in calls for name in self._flow.names(each.func)}
        # A method may send its arguments; Python's own functions make no calls.
        if not names or any("()" in name or is_pythons(name) for name in names):
            return
        keyed = any(key in places.KEY_PARAMETERS for key, _ in entries)
        if not self._calls.hosts(values) or not (keyed or any(map(self._headers, values))):
            return
        sent_to = {host for call in calls for host in self._calls.leads(call)}
        if not self._calls.others(self._calls.hosts(values) | sent_to):
            self._wanted.keys([*entries])
            for each in values:
                self._wanted.authorized(each)
                self._wanted.url(each)

    def _headers(self, value: ast.expr) -> bool:
        """Whether a value is headers with an authorization."""
        return bool(self._wanted.authorizations(value) or self._wanted.remembered(value))

    def _add(self, call: ast.Call, name: str, *parts: str | Value) -> None:
        self._wholes[call] = Edit(call, (Value.ADDED, *parts), name, call.lineno)

    def _clarifais(self, call: ast.Call, names: set[str]) -> None:
        given = self._calls.arguments(call, names)
        self._wanted.keys(given)
        takes = self._calls.parameters(names)
        named = {name for name, _ in given}
        unpacked = [each.value for each in call.keywords if each.arg is None]
        for base in {"base_url", "base"} & set(takes) - named:
            # The SDK's own is the environment's at import time.
            if all(map(self._flow.entries, unpacked)):
                self._add(call, base, Value.BASE)
        for name, value in given:
            if name in _IDS:
                # A method's may be the ID of what it creates or deletes.
                if not any("()." in each for each in names) or _method(call) == "app":
                    self._wanted.id(value, Value(name), value, name)
            elif name not in places.KEY_PARAMETERS:
                for key, entry in self._flow.entries(value) if name == "user_app_id" else ():
                    if key in _IDS:
                        self._wanted.id(entry, Value(key), entry, key)
                if not any(map(places.is_message, names)):
                    self._wanted.authorized(value)
                    self._wanted.url(value)
                self._wanted.harmless.update(texts(self._flow, value))

    def _channel(self, call: ast.Call, names: set[str]) -> None:
        if not self._calls.target(call, names):
            value = Value.AIO_CHANNEL if names & places.AIO_CHANNELS else Value.CHANNEL
            self._wholes[call] = Edit(call, (value,), "channel", call.lineno)

    def _preamble(self, node: ast.expr) -> None:
        """Metadata that the program passes to no call: it is for the calls of the next cell.

        Headers may then be for another host; of those, only a real key is replaced.
        """
        if self._flow.strays(node, set()):
            return
        for name, value in self._wanted.authorizations(node):
            keys = [text.removeprefix("Key ") for text in texts(self._flow, value)]
            # gRPC accepts no name with capitals.
            metadata = name.islower() and not isinstance(node, ast.Dict)
            if metadata or any(map(self._wanted.is_real_key, keys)):
                self._wanted.header(value)

    def _takers(self, node: Node) -> Iterator[ast.AST]:
        for each in self._flow.uses(node):
            parent = self._flow.program.parents.get(each) if isinstance(each, ast.AST) else None
            if parent is not None:
                yield parent

    def _environment(self) -> None:
        """What the program sets in the environment for Clarifai's clients."""
        stores = [
            (key, value)
            for container, index, value in self._flow.program.item_stores
            if places.ENVIRON in self._flow.names(container)
            for key in texts(self._flow, index)
        ]
        for container, update in self._flow.program.updates:
            if places.ENVIRON in self._flow.names(container):
                positional, named = self._flow.given(update)
                stores += [
                    *named,
                    *(entry for each in positional for entry in self._flow.entries(each)),
                ]
        openai = [value for key, value in stores if key in {"OPENAI_BASE_URL", "OPENAI_API_BASE"}]
        ours = any(self._calls.is_api(value) for value in openai)
        for key, value in stores:
            self._wanted.claims.consumed.add(value)
            if key in places.KEY_VARIABLES or (ours and key == "OPENAI_API_KEY"):
                self._wanted.key(value, value, key)
            elif key in {"CLARIFAI_USER_ID", "CLARIFAI_APP_ID"}:
                name = key.removeprefix("CLARIFAI_").lower()
                self._wanted.id(value, Value(name), value, key)
            elif value in openai or key == "CLARIFAI_API_BASE":
                self._wanted.url(value)

    def _modules(self) -> None:
        """What the program sets on a module for its calls, such as ``litellm.api_base``."""
        stores = self._flow.program.attribute_stores
        modules = [each for base, _, _ in stores for each in self._flow.leaves(base)]
        for module in dict.fromkeys(each for each in modules if isinstance(each, Imported)):
            own = [
                (name, value) for base, name, value in stores if module in self._flow.leaves(base)
            ]
            based = [value for name, value in own if name in places.BASE_PARAMETERS]
            keys = [(name, value) for name, value in own if name in places.KEY_PARAMETERS]
            calls = [
                each
                for each in self._flow.program.calls
                if any(name.startswith(f"{module.name}.") for name in self._flow.names(each.func))
            ]
            hosts = {host for each in based for host in self._calls.bases(each)}
            elsewhere = self._calls.others(hosts.union(*map(self._calls.leads, calls)))
            if based and not elsewhere:
                self._wanted.keys([*keys])
                for each in based:
                    self._wanted.url(each)
            self._foreign += [(host, at, [at]) for host in elsewhere for _, at in keys]

    def _messages(self) -> None:
        """The IDs that the program sets on messages and clients of Clarifai's later."""
        for base, name, value in self._flow.program.attribute_stores:
            if name in _IDS and any(map(places.is_clarifais, self._flow.names(base))):
                self._wanted.id(value, Value(name), value, name)

    def _look_up(self, node: ast.expr) -> None:
        """An environment variable, or a secret, that is Clarifai's."""
        names = self._wanted.looked_up(node)
        if len(names) > 1:  # one name after another: it finds them in the sample's environment
            self._wanted.claims.read.update({node} if names & places.KEY_VARIABLES else ())
            return
        for name in names & places.VARIABLES:
            value = _value_of(name)
            if self._ids.get(value, True):
                self._wholes[node] = Edit(node, (value,), name, node.lineno)


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _value_of(variable: str) -> Value:
    if variable in places.KEY_VARIABLES:
        return Value.KEY
    return {
        "CLARIFAI_USER_ID": Value.USER_ID,
        "CLARIFAI_APP_ID": Value.APP_ID,
        "CLARIFAI_API_BASE": Value.BASE,
    }[variable]


def _full_name(thing: object) -> str:
    """The full name of a module, class or function; of an object, its class's with ``()``."""
    if inspect.ismodule(thing):
        return str(thing.__name__)
    if thing is None or isinstance(thing, (str, bytes, int, float, tuple, list, dict)):
        return ""
    if isinstance(thing, type) or inspect.isroutine(thing):
        module = getattr(thing, "__module__", "") or ""
        name = getattr(thing, "__qualname__", "")
        return name if module == "builtins" else f"{module}.{name}"
    return f"{type(thing).__module__}.{type(thing).__qualname__}()"
