"""After logout: nothing is bound again, nothing has the key, and what still has it is named."""

from __future__ import annotations

import gc
import os
import sys
import traceback
import weakref

import pytest

from clarifai_magic.errors import NotSignedInError
from clarifai_magic.notebook.names import DEFAULT_NAMES, placeholders
from clarifai_magic.redaction.holding import Search

MODELS = "stub.ListModels(service_pb2.ListModelsRequest())"


@pytest.fixture
def two(shell, environment, sandbox, monkeypatch):
    """A shell with two accounts: alice's, and bob's as work."""
    environment(PAT=sandbox.keys.pat)
    monkeypatch.setenv("BOBS", sandbox.keys.other_pat)
    shell.run("%clarifai_auth --app-id main")
    shell.run("%clarifai_auth --from env:BOBS --as work")
    return shell


def holding(shell, key):
    """The notebook's names and results from which a key can be had."""
    search = Search([key], outside=[shell.ip, shell.names, shell.ip.user_ns_hidden])
    places = (shell.names, shell.ip.user_ns_hidden)
    found = [name for names in places for name, value in names.items() if search.finds(value)]
    return found + [number for number, value in shell.names["Out"].items() if search.finds(value)]


ENDS = {
    "logout": "%clarifai_auth logout",
    "logout of one": "%clarifai_auth logout work",
    "close": "work.close()",
    "in Python": "import clarifai_magic; clarifai_magic.logout()",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_within_the_block_binds_nothing_again(two, sandbox, end):
    two.run("APP_ID = 'mine'")
    two.run(f"with work:\n    assert APP_ID == 'attic'\n    {end}\n    within = dict(globals())")
    alice_stays = end in {ENDS["logout of one"], ENDS["close"]}
    for names in (two.names["within"], two.names):
        assert names["APP_ID"] == "mine"
        assert ("stub" in names) is alice_stays
        assert "work" not in names
    if alice_stays:
        assert two.run(f"print(USER_ID, len({MODELS}.models))").strip() == "alice 1"
    del two.names["within"]
    assert not holding(two, sandbox.keys.other_pat)


@pytest.mark.parametrize("order", [("work", "alice"), ("alice", "work")])
def test_nested_blocks_whose_sessions_end_in_any_order_leave_the_users_names(two, order):
    two.run("USER_ID, alice = 'mine', clarifai_session\n%clarifai_auth --from env:BOBS --as third")
    inner = "".join(f"\n        {name}.close()" for name in order)
    two.run(f"with work:\n    with third:{inner}\n        print(USER_ID)\n    USER_ID")
    assert two.names["USER_ID"] == "mine"
    assert not set(DEFAULT_NAMES) - {"USER_ID"} & set(two.names)


def test_blocks_that_overlap_without_being_nested(two):
    two.run("first, second = work, clarifai_session\nAPP_ID = 'mine'")
    two.run("first.__enter__(); second.__enter__(); first.__exit__(None, None, None)")
    assert two.run("print(USER_ID, APP_ID)").strip() == "alice main"
    two.run("second.__exit__(None, None, None)")
    assert two.run("print(USER_ID, APP_ID)").strip() == "alice mine"


def test_one_of_several_signs_out_alone(two):
    said = two.run("%clarifai_auth logout work").splitlines()
    assert said == [
        "Signed out. Still signed in: clarifai_session.",
        "BOBS is still set in the environment.",
    ]
    assert two.run(f"print(len({MODELS}.models), 'work' in globals())").strip() == "1 False"
    error = two.fail("%clarifai_auth logout work")
    assert "Signed in: clarifai_session." in error
    assert two.run("%clarifai_auth logout clarifai_session").startswith("Signed out.\n")
    assert not set(DEFAULT_NAMES) & set(two.names)


def test_logout_of_the_one_in_use_leaves_the_other(two):
    two.run("%clarifai_auth use work")
    two.run("%clarifai_auth logout work")
    assert not set(DEFAULT_NAMES) & set(two.names)
    two.run("%clarifai_auth use clarifai_session")
    assert two.run("print(USER_ID)").strip() == "alice"


def test_logout_without_a_name_ends_all(two, sandbox):
    assert two.run("%clarifai_auth logout").splitlines()[0] == "Signed out."
    assert two.run("%clarifai_auth status").startswith("Not signed in.")
    assert not holding(two, sandbox.keys.pat)
    assert not holding(two, sandbox.keys.other_pat)


RESULTS = {
    "headers": "clarifai_session.headers",
    "headers in a list": "[clarifai_session.headers]",
    "metadata": "metadata",
    "a copy of the metadata": "tuple(list(metadata))",
    "metadata with more": "(*metadata, ('x-request-id', '1'))",
    "the key as bytes": "[metadata[0][1].encode()].__len__",
    "other IDs": "clarifai_session.with_ids(app_id='recipes')",
    "a stub of theirs": "service_pb2_grpc.V2Stub(channel)",
    "a method": "stub.ListModels",
    "aio_stub": "clarifai_session.aio_stub",
    "the namespace": "clarifai_session.namespace()",
    "workers": "clarifai_session.for_workers()",
    "a partial": "__import__('functools').partial(print, metadata)",
    "a closure": "(lambda held: lambda: held)(metadata)",
    "an object": "__import__('types').SimpleNamespace(a=__import__('types').SimpleNamespace(b=[metadata]))",
}


@pytest.mark.slow
@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_no_result_of_a_cell_has_the_key(two, sandbox, result):
    two.run(result)
    two.run("41 + 1")
    two.run(result)
    two.run("%clarifai_auth logout clarifai_session")
    assert 42 in two.names["Out"].values()
    assert not holding(two, sandbox.keys.pat)
    assert two.run("_, __, ___").strip().endswith("('', 42, '')")


def test_results_that_only_came_from_the_session_stay(two):
    two.run("[model.id for model in stub.ListModels(service_pb2.ListModelsRequest()).models]")
    two.run("stub.ListModels(service_pb2.ListModelsRequest())")
    two.run("userDataObject")
    two.run("%clarifai_auth logout")
    assert len(two.names["Out"]) == 3


VARIABLES = {
    "text": "held = 'Key ' + metadata[0][1]",
    "in a list": "held = [metadata]",
    "in a dict": "held = {'headers': clarifai_session.headers}",
    "in an attribute": "class Client: pass\nheld = Client(); held.auth = Client(); held.auth.pat = metadata[0][1][4:]",
    "in a slot": "class Slotted:\n    __slots__ = ('key',)\nheld = Slotted(); held.key = metadata[0][1]\ndel Slotted",
    "of a class": "class held:\n    PAT = metadata[0][1][4:]",
    "in a default": "def held(headers=clarifai_session.headers): pass",
    "a session": "held = clarifai_session.with_ids(app_id='recipes')",
    "the session": "held = clarifai_session",
    "a private one": "_held = metadata",
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", VARIABLES.values(), ids=VARIABLES)
def test_a_variable_of_the_users_that_holds_the_key_is_named(two, cell):
    two.run("harmless = {'the': ['key', 41]}\nimport json")
    two.run(cell)
    said = two.run("%clarifai_auth logout clarifai_session").splitlines()
    name = "_held" if "_held" in cell else "held"
    assert f"The notebook variable {name} still holds the key." in said


@pytest.mark.dev
@pytest.mark.slow
def test_a_client_of_the_sdk_is_named(two):
    two.run("from clarifai.client.user import User")
    two.run("client = User(user_id='alice', pat=clarifai_session.metadata[0][1][4:])")
    said = two.run("%clarifai_auth logout clarifai_session")
    assert "The notebook variable client still holds the key." in said


@pytest.mark.parametrize("asked", ["broker.token", "broker.base"], ids=["idle", "serving"])
def test_a_broker_that_is_kept_does_not_keep_the_key(shell, asked):
    shell.run("%clarifai_auth --from sandbox")
    shell.run(f"broker = clarifai_session.broker; _ = {asked}")
    assert shell.run("%clarifai_auth logout") == "Signed out.\n"


def test_the_environment_is_asked_at_logout(two, sandbox, monkeypatch):
    monkeypatch.delenv("CLARIFAI_PAT")
    assert "CLARIFAI_PAT" not in two.run("%clarifai_auth logout clarifai_session")
    monkeypatch.setenv("CLARIFAI_PAT", sandbox.keys.pat)
    two.run("%clarifai_auth --app-id main")
    monkeypatch.setenv("CLARIFAI_PAT", sandbox.keys.other_pat)
    assert "CLARIFAI_PAT" not in two.run("%clarifai_auth logout clarifai_session")
    monkeypatch.setenv("CLARIFAI_PAT", sandbox.keys.pat)
    monkeypatch.setenv("MINE", f"Key {sandbox.keys.pat}")
    two.run("%clarifai_auth --app-id main")
    said = two.run("%clarifai_auth logout clarifai_session").splitlines()
    assert "CLARIFAI_PAT is still set in the environment." in said
    assert "MINE is still set in the environment." in said


def test_a_notebook_variable_is_named_only_while_it_has_the_key(shell, environment, sandbox):
    environment(APP_ID="main")
    shell.names["mine"] = sandbox.keys.pat
    shell.run("%clarifai_auth --from var:mine")
    shell.run("del mine")
    assert shell.run("%clarifai_auth logout").splitlines() == ["Signed out."]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_forks_that_live_are_named(two):
    from clarifai_magic.notebook.forks import forked

    before = forked()
    read, write = os.pipe()
    if (child := os.fork()) == 0:  # pragma: no cover - another process
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        assert forked() - before == {child}
        two.run("%clarifai_auth --from env:BOBS --as later")
        assert str(child) not in two.run("%clarifai_auth logout later")
        said = two.run("%clarifai_auth logout")
        assert f"A process forked from this one ({child}) keeps the key" in said
    finally:
        os.close(write)
        os.waitpid(child, 0)
    two.run("%clarifai_auth --app-id main")
    assert "forked" not in two.run("%clarifai_auth logout")


def test_other_programs_that_were_started_are_no_forks(two):
    two.run("import subprocess; other = subprocess.Popen(['sleep', '60'])")
    assert "forked" not in two.run("%clarifai_auth logout\nother.kill(); other.wait()")


def test_calls_after_the_end_say_so_in_one_line(two):
    two.run("held, held_stub = clarifai_session, stub")
    two.run("%clarifai_auth logout")
    for call in (
        "held_stub.ListModels(None)",
        "held.with_ids(app_id='x')",
        "with held: pass",
        "held.map('ListModels', [])",
    ):
        error = two.fail(call)
        assert error.startswith("NotSignedInError: ")
        assert len(error.splitlines()) == 2


def test_a_session_of_the_users_own_is_not_signed_out(two, sandbox):
    two.run("mine = __import__('clarifai_magic').connect()")
    said = two.run("%clarifai_auth logout")
    assert "The notebook variable mine still holds the key." in said
    two.run(
        "print(len(mine.stub.ListModels(mine.namespace()['service_pb2'].ListModelsRequest()).status.description))"
    )
    two.run("mine.close()")


def test_placeholders_have_no_attributes():
    stub = placeholders(["stub"], lambda: "fill in the form above")["stub"]
    assert not hasattr(stub, "shape")
    assert getattr(stub, "ListModels", None) is None
    with pytest.raises(NotSignedInError, match="Not signed in yet: fill in the form") as refused:
        stub.ListModels(None)
    assert type(refused.value).__name__ == "NotSignedInError"


def test_unloading_leaves_the_users_names_and_none_of_ours(two):
    two.run("with work:\n    %unload_ext clarifai_magic")
    assert not {*DEFAULT_NAMES, "work"} & set(two.names)
    two.run("%load_ext clarifai_magic")


ERRORS = {
    "in a method of the session": "clarifai_session.map('Nope', [])",
    "in a function of the user's": "def use(session):\n    1 / 0\nuse(clarifai_session)",
    "in one with its metadata": "def use(pairs):\n    1 / 0\nuse([*metadata])",
    "of a name that is unknown": "%clarifai_auth logout nobody",
    "while another was handled": (
        "def use(session):\n    1 / 0\n"
        "try:\n    use(clarifai_session)\nexcept ZeroDivisionError:\n    undefined"
    ),
    "of which it is the cause": (
        "def use(session):\n    1 / 0\n"
        "try:\n    use(clarifai_session)\n"
        "except ZeroDivisionError as error:\n    raise KeyError from error"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("end", [ENDS["logout"], ENDS["in Python"]])
def test_the_error_that_ipython_keeps_has_no_session_in_its_frames(
    shell, environment, sandbox, cell, end
):
    environment(PAT=sandbox.keys.pat)
    shell.run("%clarifai_auth --app-id main")
    session = weakref.ref(shell.names["clarifai_session"])
    shell.fail(cell)
    kept = sys.last_value
    shell.run(end)
    shell.run("None")  # the result of the cell before goes
    gc.collect()
    assert sys.last_value is kept  # for %tb
    assert session() is None
    search = Search([sandbox.keys.pat], outside=[shell.names])
    frames = [frame for frame, _ in traceback.walk_tb(kept.__traceback__)]
    assert not [each for each in frames if search.finds(dict(each.f_locals))]


def test_an_error_that_has_nothing_to_do_with_the_session_is_left_to_be_debugged(
    shell, environment, sandbox
):
    environment(PAT=sandbox.keys.pat)
    shell.run("%clarifai_auth --app-id main")
    shell.fail("def divide(number):\n    number / 0\ndivide(41)")
    shell.run("%clarifai_auth logout")
    assert sys.last_traceback.tb_next.tb_next.tb_frame.f_locals == {"number": 41}
