"""A model of what open sessions account for, and a state machine that holds the notebook to it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import psutil
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import SECRETS, sandbox_with_keys

import clarifai_magic
from clarifai_magic import Credentials, NotSignedInError, connect, find_credentials
from clarifai_magic.client.registry import registry
from clarifai_magic.notebook.names import DEFAULT_NAMES
from clarifai_magic.notebook.sessions import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Shell

    from clarifai_magic.sandbox.seed import Keys

OK = status_code_pb2.SUCCESS
ABSENT = object()
PATIENCE = 60.0  # seconds until what ends by itself has ended

SLOTS = (DEFAULT, "work", "other")
VARIABLES = (
    *(f"CLARIFAI_{name}" for name in ("PAT", "API_KEY", "USER_ID", "APP_ID", "API_BASE")),
    "CLARIFAI_ROOT_CERTIFICATES_PATH",
    *(f"OPENAI_{name}" for name in ("BASE_URL", "API_BASE", "API_KEY")),
    "no_proxy",
    "NO_PROXY",
)
EXPORTS = ("", " --export-env", " --export-openai", " --export-env --export-openai")
CLOSED_KEPT = 3


class World:
    """What is there before anybody signs in: a server, its keys, a shell, this process.

    Parameters
    ----------
    base : str
        Of a sandbox in another process.
    keys : Keys
        Its keys.
    shell : Shell
        The notebook.

    Attributes
    ----------
    fleeting : str
        An API key of alice's app recipes, for those who revoke it.
    """

    def __init__(self, base: str, keys: Keys, shell: Shell) -> None:
        self.base = base
        self.keys = keys
        self.shell = shell
        self._channel = grpc.insecure_channel(base.removeprefix("http://"))
        self._alice = resources_pb2.UserAppIDSet(user_id="alice")
        shell.names.update(alices=keys.pat, apps=keys.api_key, fleeting="")
        self.names = visible(shell)
        self.renew()
        self.settle()

    def warm_up(self) -> None:
        """Have gRPC, asyncio and the sandbox make what they make once."""
        request = service_pb2.GetAppRequest()
        with connect(find_credentials("sandbox")) as session:
            asyncio.run(awaited(session, request))
            session.map("GetApp", [request] * 2, progress=False)
        self.settle()

    def settle(self) -> None:
        """Take what is there now for what has to be there whenever nobody is signed in."""
        self.environment = variables()
        self.threads = threads()
        self.files = psutil.Process().num_fds()

    def renew(self) -> None:
        """Make another `fleeting`; the notebook variable of that name has it."""
        key = resources_pb2.Key(scopes=["All"], apps=[resources_pb2.App(id="recipes")])
        request = service_pb2.PostKeysRequest(user_app_id=self._alice, keys=[key])
        self.fleeting = self._ask("PostKeys", request, service_pb2.MultiKeyResponse).keys[0].id
        self.shell.names["fleeting"] = self.names["fleeting"] = self.fleeting
        SECRETS.add(self.fleeting)

    def revoke(self) -> None:
        request = service_pb2.DeleteKeyRequest(user_app_id=self._alice, key_id=self.fleeting)
        assert self._ask("DeleteKey", request, status_pb2.BaseResponse).status.code == OK

    def _ask(self, method: str, request: Any, answer: Any) -> Any:
        path = f"/clarifai.api.V2/{method}"
        call = self._channel.unary_unary(path, type(request).SerializeToString, answer.FromString)
        return call(request, metadata=(("authorization", f"Key {self.keys.pat}"),))

    def reset(self) -> None:
        """Bring about what was settled, whatever went wrong."""
        clarifai_magic.logout()
        self.shell.ip.run_cell("%unload_ext clarifai_magic\n%load_ext clarifai_magic")
        for name in visible(self.shell).keys() - self.names:
            del self.shell.names[name]
        self.shell.names.update(self.names)
        self.shell.ip.displayhook.flush()
        for name in variables().keys() - self.environment:
            del os.environ[name]
        os.environ.update(self.environment)

    def close(self) -> None:
        self._channel.close()


def visible(shell: Shell) -> dict[str, Any]:
    """The notebook's names, without IPython's own."""
    return {name: value for name, value in shell.names.items() if not name.startswith("_")}


def variables() -> dict[str, str]:
    """This process's environment, without what pytest says of itself."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def threads() -> Counter[str]:
    """The names of the threads that run; IPython's own is another one after a fork."""
    return Counter(thread.name for thread in threading.enumerate())


@dataclass(eq=False)
class Open:
    """A session that is open, and what the model knows of it.

    Attributes
    ----------
    slot : str
        Its name in the notebook; empty if it was opened in Python.
    ids : tuple of str
        User and app that its calls are about.
    works : bool
        Whether the API has said that key and IDs are good.
    made : list
        What was made from it and holds the key.
    loops : bool
        Whether it has begun an event loop in a thread.
    serves : bool
        Whether its broker is open.
    """

    session: Any
    key: str = field(repr=False)
    base: str
    ids: tuple[str, str]
    works: bool
    slot: str = ""
    parent: Open | None = None
    loops: bool = False
    serves: bool = False
    made: list[Any] = field(default_factory=list, repr=False)

    @property
    def root(self) -> Open:
        return self.parent.root if self.parent else self

    def values(self) -> dict[str, Any]:
        return self.session.namespace()


@dataclass(eq=False)
class Layer:
    """Values of names, put over others by somebody; whose they are, and why.

    `kind` is one of ``user``, ``default``, ``slot``, ``block``, ``export``.
    """

    kind: str
    owner: Open | None
    values: dict[str, Any]


class Layers(list[Layer]):
    """What names stand for: the uppermost layer's values, and beneath all what was there first."""

    def value(self, name: str, first: Any = ABSENT) -> Any:
        return next((each.values[name] for each in reversed(self) if name in each.values), first)

    def owner(self, name: str) -> Open | None:
        return next((each.owner for each in reversed(self) if name in each.values), None)

    def drop(self, unwanted: Callable[[Layer], bool]) -> None:
        self[:] = [each for each in self if not unwanted(each)]

    def bind(self, kind: str, owner: Open, values: dict[str, Any]) -> None:
        """Put a session's names beneath any blocks; the user's own down there are lost."""
        blocks = [number for number, each in enumerate(self) if each.kind == "block"]
        for each in self[: blocks[0] if blocks else len(self)]:
            if each.kind == "user":
                each.values = {n: v for n, v in each.values.items() if n not in values}
        self.drop(lambda each: each.kind == kind and each.values.keys() == values.keys())
        self.insert(0, Layer(kind, owner, values))


class Machine(RuleBasedStateMachine):
    """Signs in and out in any order, and knows what must be there after each step."""

    world: World
    """Set by who runs it."""

    sources: tuple[str, ...] = ("var:alices", "var:apps", "var:fleeting", "env:TEAM_PAT", "sandbox")
    ways: tuple[str, ...] = ("stub", "channel", "aio_stub", "map")

    def __init__(self) -> None:
        super().__init__()
        self.shell = self.world.shell
        self.open: list[Open] = []
        self.closed: list[Open] = []
        self.blocks: list[tuple[Open, Layer]] = []
        self.default = ""
        self.names = Layers()
        self.environment = Layers()
        self.world.renew()
        self.revoked = False
        self.count = 0

    # What the model knows.

    def slot(self, name: str) -> Open | None:
        return next((each for each in self.open if each.slot == name), None)

    def account(self, source: str, app: str, *, verified: bool) -> tuple[str, str, str, str] | None:
        """Key, base, user and app of a sign-in that must succeed; None if it must not."""
        world = self.world
        if source == "sandbox":
            good = app != "mian" or not verified
            return ("", "", "alice", app or "main") if good else None
        key, user, apps = {
            "var:alices": (world.keys.pat, "alice", ("", "main", "recipes")),
            "var:apps": (world.keys.api_key, "alice", ("", "main")),
            "var:fleeting": (world.fleeting, "alice", ("", "recipes")),
            "env:TEAM_PAT": (world.keys.other_pat, "bob", ("attic",)),
        }[source]
        if not verified:
            return key, world.base, "bob" if user == "bob" else "", app
        if app not in apps or (self.revoked and key == world.fleeting):
            return None
        return (
            key,
            world.base,
            user,
            app or {"var:apps": "main", "var:fleeting": "recipes"}.get(source, ""),
        )

    def opened(self, opened: Open) -> None:
        values = opened.values()
        opened.made = [opened.session, *(values[n] for n in ("stub", "metadata", "channel"))]
        self.open.append(opened)

    def ended(self, *gone: Open) -> None:
        """Take sessions, and those that belong to them, out of the model."""
        for each in [each for each in self.open if each in gone or each.parent in gone]:
            if each not in self.open:
                continue
            self.open.remove(each)
            self.closed = [*self.closed, each][-CLOSED_KEPT:]
            for layers in (self.names, self.environment):
                layers.drop(lambda layer, each=each: layer.owner is each)
            if each.slot and each.slot == self.default:
                self.default = ""
            self.ended(each)

    def chosen(self, number: int) -> Open:
        return self.open[number % len(self.open)]

    # Signing in and out.

    @rule(
        slot=st.sampled_from(SLOTS),
        source=st.runner().flatmap(lambda machine: st.sampled_from(machine.sources)),
        app=st.sampled_from(("", "main", "recipes", "mian")),
        export=st.sampled_from(EXPORTS),
        verified=st.booleans(),
    )
    def sign_in(self, slot: str, source: str, app: str, *, export: str, verified: bool) -> None:
        app = "attic" if source == "env:TEAM_PAT" else app
        line = f"%clarifai_auth --no-input --from {source} --as {slot}"
        line += " --user-id bob" if source == "env:TEAM_PAT" else ""
        line += f" --app-id {app}" if app else ""
        line += export
        line += "" if verified else " --no-verify"
        account = self.account(source, app, verified=verified)
        if account is None:
            self.shell.fail(line)
            return
        before, present = set(registry), self.slot(slot)
        self.shell.run(line)
        new = set(registry) - before
        assert len(new) == 1, f"{line} opened {len(new)} sessions"
        session = new.pop()
        key, base, *ids = account
        if source == "sandbox":
            key, base = str.__str__(session.metadata[0][1]).removeprefix("Key "), session.base
            SECRETS.add(key)
        assert (session.identity.user_id, session.identity.app_id) == tuple(ids)
        assert bool(session.identity.kind) == verified
        opened = Open(session, key, base, tuple(ids), verified, slot)
        self.opened(opened)
        if slot == DEFAULT:
            self.default = slot
        else:
            self.names.bind("slot", opened, {slot: session})
        if self.default == slot:
            self.names.bind("default", opened, opened.values())
        if present is not None:
            kept = self.default
            self.ended(present)
            self.default = kept
        if export:
            self.exported(opened, export)

    def exported(self, opened: Open, export: str) -> None:
        of_an_app, broker = opened.session.identity.kind == "API key", opened.session.broker
        key = "CLARIFAI_API_KEY"
        values = {}
        if "--export-env" in export:
            values |= {
                "CLARIFAI_PAT": ABSENT if of_an_app else broker.token,
                key: broker.token if of_an_app or self.own(key) is ABSENT else self.own(key),
                "CLARIFAI_USER_ID": opened.ids[0] or ABSENT,
                "CLARIFAI_APP_ID": opened.ids[1] or ABSENT,
                "CLARIFAI_API_BASE": broker.base,
                "CLARIFAI_ROOT_CERTIFICATES_PATH": ABSENT,
            }
        if "--export-openai" in export:
            base = f"{broker.base}/v2/ext/openai/v1"
            values |= {"OPENAI_BASE_URL": base, "OPENAI_API_BASE": base}
            values |= {"OPENAI_API_KEY": broker.token}
        either = [self.own(name) for name in ("no_proxy", "NO_PROXY")]
        for name, present in zip(("no_proxy", "NO_PROXY"), either, strict=True):
            listed = [each for each in (present, *either) if each is not ABSENT]
            values[name] = ",".join([*listed[:1], "127.0.0.1"])
        opened.serves = True
        self.environment.append(Layer("export", opened, values))

    def own(self, variable: str) -> Any:
        """The user's own value of a variable."""
        mine = Layers(each for each in self.environment if each.kind == "user")
        return mine.value(variable, self.world.environment.get(variable, ABSENT))

    @rule(key=st.sampled_from(("pat", "other_pat")), verified=st.booleans())
    def connect(self, key: str, *, verified: bool) -> None:
        user, app = {"pat": ("alice", "main"), "other_pat": ("bob", "attic")}[key]
        text = getattr(self.world.keys, key)
        credentials = Credentials(text, user_id=user, app_id=app, base=self.world.base)
        session = connect(credentials, verified=verified)
        self.opened(Open(session, text, self.world.base, (user, app), verified))

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0, 7), app=st.sampled_from(("main", "recipes")), workers=st.booleans())
    def derive(self, number: int, app: str, *, workers: bool) -> None:
        parent = self.chosen(number)
        session = parent.session.for_workers() if workers else parent.session.with_ids(app_id=app)
        ids = parent.ids if workers else (parent.ids[0], app)
        works = parent.works and (workers or parent.key == self.world.keys.pat)
        self.opened(Open(session, parent.key, parent.base, ids, works, parent=parent))

    @rule(slot=st.sampled_from(SLOTS))
    def use(self, slot: str) -> None:
        wanted = self.slot(slot)
        if wanted is None:
            assert "No open session has that name" in self.shell.fail(f"%clarifai_auth use {slot}")
            return
        self.shell.run(f"%clarifai_auth use {slot}")
        self.default = slot
        self.names.bind("default", wanted, wanted.values())

    @rule(slot=st.sampled_from(SLOTS))
    def sign_out_of_one(self, slot: str) -> None:
        wanted = self.slot(slot)
        if wanted is None:
            assert "No open session has that name" in self.shell.fail(
                f"%clarifai_auth logout {slot}"
            )
            return
        self.shell.run(f"%clarifai_auth logout {slot}")
        self.ended(wanted)

    @rule(how=st.sampled_from(("logout", "reload", "unload")))
    def sign_out_of_all(self, how: str) -> None:
        self.shell.run(
            {
                "logout": "%clarifai_auth logout",
                "reload": "%reload_ext clarifai_magic",
                "unload": "%unload_ext clarifai_magic\n%load_ext clarifai_magic",
            }[how]
        )
        self.ended(*(each for each in self.open if each.slot))

    @rule()
    def sign_out_in_python(self) -> None:
        clarifai_magic.logout()
        self.ended(*self.open)

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0, 7))
    def close(self, number: int) -> None:
        chosen = self.chosen(number)
        chosen.session.close()
        self.ended(chosen)

    @precondition(lambda self: not self.revoked)
    @rule()
    def revoke(self) -> None:
        self.world.revoke()
        self.revoked = True
        for each in self.open:
            each.works = each.works and each.key != self.world.fleeting

    # Blocks.

    @precondition(lambda self: self.open and len(self.blocks) < 4)
    @rule(number=st.integers(0, 7))
    def enter(self, number: int) -> None:
        chosen = self.chosen(number)
        assert chosen.session.__enter__() is chosen.session
        block = Layer("block", chosen, chosen.values())
        if chosen.slot:
            self.names.append(block)
        self.blocks.append((chosen, block))

    @precondition(lambda self: self.blocks)
    @rule()
    def leave(self) -> None:
        entered, block = self.blocks.pop()
        entered.session.__exit__(None, None, None)
        self.names.drop(lambda layer: layer is block)
        if not entered.slot:
            self.ended(entered)

    # Use.

    @precondition(lambda self: self.open)
    @rule(
        number=st.integers(0, 7),
        way=st.runner().flatmap(lambda machine: st.sampled_from(machine.ways)),
    )
    def call(self, number: int, way: str) -> None:
        chosen = self.chosen(number)
        session, request = chosen.session, service_pb2.GetAppRequest()
        if way == "map":
            chosen.root.loops = True
            [answer] = session.map("GetApp", [request], progress=False)
        elif way == "aio_stub":
            answer = asyncio.run(awaited(session, request))
        elif way == "channel":
            stub = service_pb2_grpc.V2Stub(session.channel)
            answer = stub.GetApp(request, metadata=session.metadata)
        else:
            answer = session.stub.GetApp(request)
        self.check(chosen, answer)

    @rule()
    def call_by_name(self) -> None:
        owner = self.names.owner("stub")
        cell = "_answer = stub.GetApp(service_pb2.GetAppRequest())"
        if owner is None:
            self.shell.fail(cell)
        else:
            self.shell.run(cell)
            self.check(owner, self.shell.names["_answer"])

    def check(self, called: Open, answer: Any) -> None:
        if called.works and called.ids[1]:
            assert answer.status.code == OK
            assert (answer.app.user_id, answer.app.id) == called.ids
        elif called.key == self.world.fleeting and self.revoked:
            assert answer is None or answer.status.code != OK

    @rule(name=st.sampled_from((*SLOTS, "stub", "metadata")))
    def look(self, name: str) -> None:
        if self.names.owner(name) is not None:
            self.shell.run(name)

    @precondition(lambda self: self.closed)
    @rule(number=st.integers(0, 7))
    def use_after_the_end(self, number: int) -> None:
        session = self.closed[number % len(self.closed)].session
        session.close()
        with pytest.raises(NotSignedInError):
            session.stub.MyScopes(service_pb2.MyScopesRequest())
        with pytest.raises(NotSignedInError):
            asyncio.run(awaited(session, service_pb2.GetAppRequest()))
        with pytest.raises(NotSignedInError):
            session.map("GetApp", [service_pb2.GetAppRequest()], progress=False)
        with pytest.raises(NotSignedInError):
            session.with_ids(app_id="main")
        with pytest.raises(NotSignedInError):
            session.for_workers()
        with pytest.raises(NotSignedInError):
            session.__enter__()

    # What the user does besides.

    @rule(name=st.sampled_from(("channel", "USER_ID", "work")), delete=st.booleans())
    def rebind(self, name: str, *, delete: bool) -> None:
        self.count += 1
        if not delete:
            self.shell.run(f"{name} = 'my own, {self.count}'")
        elif self.names.value(name) is not ABSENT:
            self.shell.run(f"del {name}")
        else:
            return
        self.names.append(Layer("user", None, {name: self.shell.names.get(name, ABSENT)}))

    @rule(
        name=st.sampled_from(("CLARIFAI_API_KEY", "CLARIFAI_APP_ID", "OPENAI_API_KEY")),
        delete=st.booleans(),
    )
    def export_by_hand(self, name: str, *, delete: bool) -> None:
        self.count += 1
        if not delete:
            os.environ[name] = f"my-own-{self.count}"
        elif any(each.values.get(name) is ABSENT for each in self.environment):
            return  # what the user takes away cannot be told from what an export did
        else:
            os.environ.pop(name, None)
        self.environment.append(Layer("user", None, {name: os.environ.get(name, ABSENT)}))

    # What must be there, and nothing else.

    @invariant()
    def it_is_what_open_sessions_account_for(self) -> None:
        self.names_are_those_of_the_open_sessions()
        self.variables_are_those_that_were_exported()
        self.the_registry_has_the_open_sessions()
        self.results_hold_nothing_of_the_closed()
        self.threads_are_those_of_the_open_sessions()

    def names_are_those_of_the_open_sessions(self) -> None:
        expected = dict(self.world.names)
        for name in (*DEFAULT_NAMES, *SLOTS):
            if (value := self.names.value(name)) is not ABSENT:
                expected[name] = value
        present = visible(self.shell)
        assert sorted(present) == sorted(expected)
        assert [name for name, value in present.items() if value is not expected[name]] == []

    def variables_are_those_that_were_exported(self) -> None:
        expected = dict(self.world.environment)
        for name in VARIABLES:
            value = self.environment.value(name, expected.pop(name, ABSENT))
            if value is not ABSENT:
                expected[name] = value
        present = variables()
        # Names alone, for a message must not tell values.
        differ = {n for n in expected.keys() | present if expected.get(n) != present.get(n)}
        assert differ == set()

    def the_registry_has_the_open_sessions(self) -> None:
        assert set(registry) == {each.session for each in self.open}
        # Numbers alone, for a message must not tell keys.
        numbers = {key: number for number, key in enumerate({e.key for e in self.open})}
        assert {numbers.get(key) for key in registry.keys()} == set(numbers.values())  # noqa: SIM118

    def results_hold_nothing_of_the_closed(self) -> None:
        gone = {id(thing) for each in self.closed for thing in each.made}
        results = self.shell.names["Out"]
        assert [number for number, value in results.items() if id(value) in gone] == []
        for names in (self.shell.names, self.shell.ip.user_ns_hidden):
            assert [name for name, value in names.items() if id(value) in gone] == []

    def threads_are_those_of_the_open_sessions(self) -> None:
        loops = len({each.root for each in self.open if each.root.loops})
        serves = any(each.base != self.world.base for each in self.open)
        brokers = sum(each.serves for each in self.open)
        names = ["clarifai-loop"] * loops + ["clarifai-broker"] * brokers
        names += ["clarifai-sandbox"] * serves

        def running() -> list[str]:
            told = threads() - self.world.threads
            sandboxes = {"clarifai-sandbox" for name in told if name.startswith("clarifai-sandbox")}
            own = ("clarifai-loop", "clarifai-broker")
            return [name for name in own for _ in range(told[name])] + [*sandboxes]

        eventually(lambda: running() == names, running)

    def teardown(self) -> None:
        try:
            while self.blocks:
                self.leave()
            self.sign_out_of_all("unload")
            self.it_is_what_open_sessions_account_for()
            self.sign_out_in_python()
            self.it_is_what_open_sessions_account_for()
            self.closed.clear()
            self.nothing_is_left()
        finally:
            # Hypothesis keeps a machine that failed.
            for kept in (self.open, self.closed, self.blocks, self.names, self.environment):
                kept.clear()
            self.world.reset()

    def nothing_is_left(self) -> None:
        process = psutil.Process()
        eventually(lambda: not threads() - self.world.threads, threads)
        eventually(lambda: process.num_fds() <= self.world.files, process.open_files)


async def awaited(session: Any, request: Any) -> Any:
    return await session.aio_stub.GetApp(request)


def eventually(holds: Callable[[], bool], seen: Callable[[], Any]) -> None:
    """Wait for what comes true by itself."""
    if holds():
        return
    gc.collect()
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, seen()
        threading.Event().wait(0.01)


@contextmanager
def world(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A sandbox in another process, whose base URL and one of whose keys are in the environment."""
    with sandbox_with_keys() as (base, keys):
        monkeypatch.setenv("CLARIFAI_API_BASE", base)
        monkeypatch.setenv("TEAM_PAT", keys.other_pat)
        made = World(base, keys, shell)
        try:
            yield made
        finally:
            made.close()


def run(kind: type[Machine], world: World, examples: int, steps: int) -> None:
    """Try a machine in a world; where that is not asked to be thorough, each time the same."""
    thorough = int(os.environ.get("STATE_MACHINE_EXAMPLES", "0"))
    run_state_machine_as_test(
        type(kind.__name__, (kind,), {"world": world}),
        settings=settings(
            max_examples=thorough or examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not thorough,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
