"""What is known about a call: its arguments, the object whose method it is, and its destination."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from itertools import zip_longest
from typing import TYPE_CHECKING

from clarifai_magic.programs import places
from clarifai_magic.programs.texts import UNKNOWN, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from clarifai_magic.programs.flow import Flow

_HTTPS = 443
_SENT = {"headers", "auth", "params", "cookies"}
_SETTING = ("__call__", "auth_flow")  # of requests' and of httpx's


class Calls:
    """The calls of a program.

    Parameters
    ----------
    flow : Flow
        Of the program.
    deployment : str
        The session's base URL.
    parameters : callable
        The parameter names of one of the SDK's callables, by all its full names.
    """

    def __init__(
        self, flow: Flow, deployment: str, parameters: Callable[[set[str]], list[str]]
    ) -> None:
        self._flow = flow
        self._deployment = deployment
        self.parameters = parameters

    def arguments(
        self, call: ast.Call, names: set[str] | None = None
    ) -> list[tuple[str | None, ast.expr]]:
        """The arguments of a call by parameter name, as far as those are known."""
        positional, named = self._flow.given(call)
        takes = self.parameters(names or set())[: len(positional)]
        return [*zip_longest(takes, positional), *named]

    def values(self, call: ast.Call) -> list[ast.expr]:
        """The arguments of a call."""
        return [value for _, value in self.arguments(call)]

    def hosts(self, values: Iterable[ast.expr]) -> set[str]:
        """The hosts of the values that are absolute URLs."""
        found = {places.host_of(text) for each in values for text in texts(self._flow, each)}
        return found - {""}

    def target(self, call: ast.Call, names: set[str]) -> set[str]:
        """A channel's destination, if not the API; `UNKNOWN` if it may be any host."""
        positional, named = self._flow.given(call)
        targets = [value for name, value in named if name in places.TARGET_PARAMETERS]
        hosts = {host for each in [*positional[:1], *targets] for host in self.bases(each)}
        if not any(name.startswith("grpc.") for name in names):
            hosts.discard(UNKNOWN)  # which is Clarifai's own
        return self.others(hosts)

    def bases(self, value: ast.expr) -> set[str]:
        """The hosts that a value, a host or a URL, may name; `UNKNOWN` for any."""
        return {places.netloc(text) for text in texts(self._flow, value)} - {""}

    def elsewhere(self, call: ast.Call) -> set[str]:
        """The destination of a Clarifai client, or of its method, if not the API."""
        found: set[str] = set()
        for each in [call, *self._owners(call)]:
            given = self.arguments(each, self._flow.names(each.func))
            targets = [value for name, value in given if name in places.TARGET_PARAMETERS]
            for value in [*targets, *self.set_later(each, places.TARGET_PARAMETERS)]:
                found |= self.others(self.bases(value) - {UNKNOWN})
            leaves = [leaf for _, value in given for leaf in self._flow.leaves(value)]
            for leaf in leaves:
                names = self._flow.names(leaf.func) if isinstance(leaf, ast.Call) else set()
                if isinstance(leaf, ast.Call) and names & places.CHANNELS:
                    found |= self.target(leaf, names)
        return found

    def others(self, hosts: Iterable[str]) -> set[str]:
        """The hosts that are not the API's."""
        return {host for host in hosts if not places.is_api_host(host, self._deployment)}

    def is_api(self, value: ast.expr) -> bool:
        """Whether a value may be one of the API's URLs."""
        return any(places.api_base(text, self._deployment) for text in texts(self._flow, value))

    def is_litellms(self, call: ast.Call, names: set[str]) -> bool:
        """Whether a call is LiteLLM's, for one of Clarifai's models."""
        if not any(name.startswith("litellm.") for name in names):
            return False
        positional, named = self._flow.given(call)
        models = [value for name, value in named if name == "model"] or positional[:1]
        return any(
            text.startswith("clarifai/") for each in models for text in texts(self._flow, each)
        )

    def of_object(self, call: ast.Call) -> list[ast.expr]:
        """What the object that a call makes or belongs to sends, including what is set later."""
        made = self._owners(call)
        owners = [call, *made]
        found = [value for owner in made for _, value in self._flow.given(owner)[1]]
        found += [value for owner in owners for value in self.set_later(owner, _SENT)]
        for container, update in self._flow.program.updates:
            if self._is_sent_by(container, owners):
                found += update.args
        found += [
            ast.copy_location(ast.Dict([key], [value]), value)
            for container, key, value in self._flow.program.item_stores
            if self._is_sent_by(container, owners)
        ]
        return found

    def _is_sent_by(self, node: ast.expr, owners: list[ast.Call]) -> bool:
        return (
            isinstance(node, ast.Attribute)
            and node.attr in _SENT
            and not set(owners).isdisjoint(self._flow.leaves(node.value))
        )

    def set_later(self, owner: ast.Call, names: Collection[str]) -> list[ast.expr]:
        """The values of an object's attributes."""
        return [
            value
            for base, name, value in self._flow.program.attribute_stores
            if name in names and owner in self._flow.leaves(base)
        ]

    def leads(self, call: ast.Call) -> set[str]:
        """A call's own destination; `UNKNOWN` if it may be any host."""
        positional, named = self._flow.given(call)
        addresses = [value for name, value in named if name in places.ADDRESS_PARAMETERS]
        proxies = [value for name, value in named if name in places.PROXY_PARAMETERS]
        found = self.hosts([*addresses, *positional[:2], *self._flow.within(proxies)])
        names = self._flow.names(call.func)
        if names & places.CONNECTIONS:
            owners = self._owners(call)
            found |= {host for each in owners for host in self._connected(each)} or {UNKNOWN}
        for name in names & places.SENDERS.keys():
            position = places.SENDERS[name]
            for each in addresses or positional[position : position + 1]:
                if any(text.startswith(UNKNOWN) for text in texts(self._flow, each)):
                    found.add(UNKNOWN)
        return found

    def _connected(self, owner: ast.Call) -> set[str]:
        """The hosts that a connection is made to; `UNKNOWN` for any."""
        positional, named = self._flow.given(owner)
        hosts = [value for name, value in named if name == "host"] or positional[:1]
        ports = [value for name, value in named if name == "port"] or positional[1:2]
        if places.SECURE_CONNECTION not in self._flow.names(owner.func) or not hosts:
            return {UNKNOWN}
        if any(not isinstance(each, ast.Constant) or each.value != _HTTPS for each in ports):
            return {UNKNOWN}
        return {text if UNKNOWN not in text else UNKNOWN for text in texts(self._flow, hosts[0])}

    def paths(self, made: ast.Call) -> list[ast.expr]:
        """The URLs that a client is asked for, which may continue its base."""
        found: list[ast.expr] = []
        for call in self._flow.program.calls:
            positions = {places.SENDERS.get(name) for name in self._flow.names(call.func)} - {None}
            if positions and made in self._owners(call):
                positional, named = self._flow.given(call)
                found += [
                    positional[each]
                    for each in positions
                    if each is not None and each < len(positional)
                ]
                found += [value for name, value in named if name == "url"]
        return found

    def connections(self, call: ast.Call) -> list[ast.Call]:
        """The connections through which a call sends."""
        sends = self._flow.names(call.func) & places.CONNECTIONS
        return self._owners(call) if sends else []

    def authorizers(self, call: ast.Call) -> list[ast.expr]:
        """The headers that the program's own objects put into requests that they are given to."""
        found: list[ast.expr] = []
        owners = [call, *self._owners(call)]
        values = [value for owner in owners for value in self.set_later(owner, {"auth"})]
        values += [v for owner in owners for name, v in self.arguments(owner) if name == "auth"]
        methods = [each for value in values for each in self._flow.methods(value, _SETTING)]
        leaves = [leaf for value in values for leaf in self._flow.leaves(value)]
        functions = [each for each in leaves if isinstance(each, ast.FunctionDef)]
        takes = [(each, each.args.args[1:2]) for each in methods]
        for function, request in [*takes, *((each, each.args.args[:1]) for each in functions)]:
            given = {self._flow.program.parameter(function, each.arg) for each in request}
            for container, key, value in self._flow.program.item_stores:
                headers = isinstance(container, ast.Attribute) and container.attr == "headers"
                if headers and not given.isdisjoint(self._flow.behind(container.value)):  # type: ignore[attr-defined]
                    found.append(ast.copy_location(ast.Dict([key], [value]), value))
        return found

    def also_to(self, call: ast.Call) -> set[str]:
        """The other hosts that the program uses the same object for."""
        owners = {call, *self._owners(call)}
        set_later = [
            value for owner in owners for value in self.set_later(owner, places.ADDRESS_PARAMETERS)
        ]
        hosts = {host for each in set_later for host in self.bases(each)}
        for other in self._flow.program.calls:
            if not owners.isdisjoint(self._owners(other)):
                hosts |= self.leads(other)
            elif any(not owners.isdisjoint(self._flow.leaves(each)) for each in self.values(other)):
                # An agent does not send its client's key to a model's page.
                hosts |= self.leads(other) - {places.HOST}
        return self.others(hosts)

    def _owners(self, call: ast.Call) -> list[ast.Call]:
        """The calls that made the object whose method is called."""
        methods = [each for each in self._flow.behind(call.func) if isinstance(each, ast.Attribute)]
        leaves = [leaf for each in methods for leaf in self._flow.leaves(each.value)]
        return [each for each in leaves if isinstance(each, ast.Call)]

    def runs_a_loop(self, call: ast.Call) -> bool:
        """Whether a call runs an event loop."""
        function = call.func
        return (
            isinstance(function, ast.Attribute)
            and function.attr == "run_until_complete"
            and bool(self._flow.names(function.value) & places.LOOPS)
        )


def imported_parameters(names: set[str]) -> list[str]:
    """The parameter names of one of the SDK's callables, which the program imports."""
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            return [*inspect.signature(getattr(import_module(module), attribute)).parameters]
        except (ImportError, AttributeError, TypeError, ValueError):
            continue
    return []
