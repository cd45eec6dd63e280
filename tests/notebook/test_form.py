"""The login form at the level of messages: a front end without a browser, and a real kernel."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path

import ipykernel
import pytest
from jupyter_client.manager import KernelManager
from kernel import PageSession
from reading import MOST, recovered
from support import CANARY, MEASURED, SECRETS

from clarifai_magic import Credentials, connect
from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.client.internals import internals
from clarifai_magic.credentials.parsing import SECRETS_PAGE
from clarifai_magic.notebook import form
from clarifai_magic.notebook.form import ALTERNATIVE, CLOSED
from clarifai_magic.notebook.form.choice import owners
from clarifai_magic.notebook.form.result import Result
from clarifai_magic.notebook.form.view import View
from clarifai_magic.sandbox import Sandbox

LOAD = "%load_ext clarifai_magic"
LIST_MODELS = "print(stub.ListModels(service_pb2.ListModelsRequest()).models[0].app_id)"
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "import ipywidgets, json; print(json.dumps(ipywidgets.Widget.get_manager_state()))"
STUB = "print('stub' in globals(), globals().get('stub'))"
SIGNED_IN = "Signed in as alice · PAT from the form · app main · scopes All · at 127.0.0.1"
UNSEEN = "The Clarifai sign-in form did not appear. Run %clarifai_auth --from prompt instead, or"
NOT_YET = "NotSignedInError: Not signed in yet: fill in the form above, then run this cell again."
pytestmark = pytest.mark.slow

PATIENCE = 90  # seconds
AWAITABLE = ipykernel.version_info >= (7, 4)


class FrontEnd:
    """What a notebook in a browser does with a kernel: runs cells, shows outputs, fills in forms.

    Attributes
    ----------
    outputs : dict of str to list of dict
        By the cell's message ID: the data of its outputs, as a notebook would save them.
    said : list of dict
        What forms were sent, in order.
    wire : list of str
        Every message that came, as text.
    open : dict of str to dict
        The widgets that are there, by comm: their state.
    done : set of str
        The cells that have run.
    draws : bool
        Whether it draws forms, and says so.
    """

    def __init__(self, client):
        self.client = client
        self.outputs: dict[str, list[dict]] = {}
        self.said: list[dict] = []
        self.wire: list[str] = []
        self.open: dict[str, dict] = {}
        self._displayed: dict[str, dict] = {}
        self.done: set[str] = set()
        self.draws = True

    def start(self, code: str, *, attended: bool = True) -> str:
        # What comes soon after an error is thrown away by the kernel, unless told otherwise.
        cell = self.client.execute(code, allow_stdin=attended, stop_on_error=False)
        self.outputs[cell] = []
        return cell

    def run(self, code: str, *, attended: bool = True) -> list[dict]:
        """A cell's outputs, once it has run."""
        cell = self.start(code, attended=attended)
        self.until(lambda: cell in self.done)
        return self.outputs[cell]

    def text(self, code: str, *, attended: bool = True) -> str:
        return "".join(each["text/plain"] for each in self.run(code, attended=attended))

    def send(self, kind: str, form: str = "", **content) -> None:
        """What the form's JavaScript sends; to the form that is open, or the one that is named."""
        comm = form or self.form()
        if kind in {"ready", "gone"}:
            content.setdefault("view", "the only one")
        data = {"method": "custom", "content": {"type": kind, **content}}
        session = self.client.session
        message = session.msg("comm_msg", {"comm_id": comm, "data": data})
        self.client.shell_channel.send(message)

    def sign_in(self, key: str, form: str = "", **fields: str) -> None:
        ids = {"user_id": "", "app_id": "", "base": "", "root_certificates": "", **fields}
        self.said.clear()
        self.send("sign-in", form, key=key, **ids)

    def form(self) -> str:
        """The comm of the form that was opened last."""
        return [comm for comm, state in self.open.items() if "keys_page" in state][-1]

    def hears(self, kind: str) -> dict:
        """The next message of that type to a form."""

        def found() -> bool:
            return any(message["type"] == kind for message in self.said)

        self.until(found)
        while self.said[0]["type"] != kind:
            del self.said[0]
        return self.said.pop(0)

    def until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            try:
                self._take(self.client.get_iopub_msg(timeout=0.2))
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"in vain; the form was told {self.said}") from None

    def _take(self, message: dict) -> None:
        self.wire.append(json.dumps(message["content"]))
        kind, content = message["msg_type"], message["content"]
        cell = message["parent_header"].get("msg_id", "")
        outputs = self.outputs.setdefault(cell, [])
        display_id = content.get("transient", {}).get("display_id", "")
        if kind == "stream":
            outputs.append({"text/plain": content["text"]})
        elif kind == "error":
            outputs.append({"text/plain": "\n".join(content["traceback"])})
        elif kind in {"display_data", "execute_result"}:
            outputs.append(content["data"])
            self._displayed[display_id] = content["data"]
        elif kind == "update_display_data":
            self._replace(self._displayed[display_id], content["data"])
        elif kind == "comm_open":
            self.open[content["comm_id"]] = state = content["data"]["state"]
            if self.draws and "keys_page" in state:
                self.send("ready", content["comm_id"])
        elif kind == "comm_close":
            del self.open[content["comm_id"]]
        elif kind == "comm_msg" and content["data"]["method"] == "custom":
            self.said.append(content["data"]["content"])
        elif kind == "status" and content["execution_state"] == "idle":
            self.done.add(cell)

    def _replace(self, output: dict, data: dict) -> None:
        """Put other data in an output's place; a form that was drawn there says that it goes."""
        before = output.get(WIDGET)
        output.clear()
        output.update(data)
        if before and before != data.get(WIDGET):
            self.send("gone", before["model_id"])


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    """One kernel for all tests here; each has its own front end and signs out at its end."""
    manager = KernelManager(kernel_name="python3", session=PageSession())
    home = str(tmp_path_factory.mktemp("home"))
    bare = {"PATH": os.defpath, "HOME": home, "LANG": "C.UTF-8"}
    manager.start_kernel(env=bare | MEASURED)
    yield manager
    manager.shutdown_kernel()


@pytest.fixture(scope="module")
def client(manager):
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=180)
    yield client
    client.stop_channels()


@pytest.fixture
def page(client, sandbox):
    front_end = FrontEnd(client)
    front_end.run(f"{LOAD}\n%env CLARIFAI_API_BASE={sandbox.base}")
    yield front_end
    front_end.run("%unload_ext clarifai_magic\n%reset -f")
    front_end.until(lambda: not front_end.open)
    sent = "".join(front_end.wire)
    assert not any(secret in sent for secret in SECRETS)


@pytest.fixture
def slow():
    """A sandbox that takes its time, so that there is some for the test too."""
    with Sandbox(latency=0.3) as sandbox:
        SECRETS.update(dataclasses.asdict(sandbox.keys).values())
        yield sandbox


def shown(page: FrontEnd, line: str = "%clarifai_auth") -> dict:
    """The output of a cell that shows a form; it changes when the form does."""
    output = page.run(line)[-1]
    assert WIDGET in output
    assert output["text/plain"] == ALTERNATIVE
    return output


def settled(page: FrontEnd, output: dict) -> str:
    """The text that an output holds once its form is gone."""
    page.until(lambda: WIDGET not in output)
    page.until(lambda: not page.open)
    return output["text/plain"]


@contextlib.contextmanager
def logging_all(page, log):
    """Everything that the kernel logs goes to a file meanwhile."""
    page.run(
        "import logging; root = logging.getLogger(); handler = logging.FileHandler("
        f"{str(log)!r}); root.addHandler(handler); root.setLevel(logging.DEBUG)\n"
        "kernel_log = get_ipython().kernel.log; kernel_log.setLevel(logging.DEBUG)\n"
        "kernel_log.addHandler(handler)"
    )
    yield
    page.run(
        "root.setLevel(logging.WARNING); root.removeHandler(handler)\n"
        "kernel_log.setLevel(logging.WARNING); kernel_log.removeHandler(handler); handler.close()"
    )


@pytest.mark.parametrize("key", ["the PAT", "a key that no server knows"])
def test_a_debug_log_of_messages_has_no_key(page, sandbox, tmp_path, key):
    typed = sandbox.keys.pat if key == "the PAT" else CANARY
    log = tmp_path / "debug.log"
    with logging_all(page, log):
        output = shown(page, "%clarifai_auth --app-id main")
        page.sign_in(typed, app_id="main")
        if key == "the PAT":
            assert settled(page, output) == SIGNED_IN
        else:
            page.hears("error")
    logged = log.read_text()
    assert "sign-in" in logged
    assert recovered(logged, typed) <= MOST


@pytest.mark.parametrize("drawn", [True, False])
def test_nor_has_it_a_key_that_was_typed_before_the_page_knew_of_the_forms_end(
    page, tmp_path, drawn
):
    page.draws = drawn
    log = tmp_path / "debug.log"
    with logging_all(page, log):
        output = shown(page)
        form = page.form()
        page.start("%clarifai_auth logout")
        if not drawn:
            page.send("ready", form)
        page.sign_in(CANARY, form)
        assert settled(page, output) == CLOSED
    logged = log.read_text()
    assert "sign-in" in logged
    assert recovered(logged, CANARY) <= MOST


def test_forms_that_come_and_go_share_one_place_where_a_kernel_reads_messages(page):
    shown(page)
    page.run("read = get_ipython().kernel.session.unpack")
    for _ in range(3):
        shown(page)
    page.run("%clarifai_auth logout")
    shown(page)
    assert page.text("print(get_ipython().kernel.session.unpack is read)") == "True\n"


def test_a_kernel_with_a_form_reads_messages_of_any_shape(page):
    shown(page)
    comm = {"comm_id": page.form()}
    shapes = [{"comm_id": []}, comm, {**comm, "data": None}, {**comm, "data": {"content": []}}]
    for shape in shapes:
        read = f"get_ipython().kernel.session.unpack({json.dumps(shape).encode()})"
        assert page.text(f"print({read} == {shape})") == "True\n"


def test_a_pat_signs_in_and_owner_and_app_are_offered(page, sandbox):
    output = shown(page)
    page.sign_in(sandbox.keys.pat)
    assert page.hears("progress")["message"] == "Checking the key…"
    choice = page.hears("choice")
    assert [owner["label"] for owner in choice["owners"]] == ["alice", "Acme Corporation (acme)"]
    assert (choice["user_id"], choice["ids"], choice["more"]) == (
        "alice",
        ["main", "recipes"],
        False,
    )
    assert page.text("print(USER_ID, repr(APP_ID))") == "alice ''\n"
    page.send("apps", user_id="acme", search="", page=1)
    assert page.hears("apps")["ids"] == ["catalog", "press"]
    page.send("choose", user_id="acme", app_id="press")
    assert settled(page, output) == SIGNED_IN.replace("main", "acme/press")
    assert page.text("print(USER_ID, APP_ID)") == "acme press\n"
    assert page.text(LIST_MODELS) == "press\n"
    assert page.text("%clarifai_auth").strip() == SIGNED_IN.replace("main", "acme/press")
    page.run("clarifai_session.close()")
    assert page.text(STUB) == "False None\n"


def test_another_key_from_a_second_tab_takes_the_place_of_the_first(page, sandbox):
    output = shown(page)
    page.sign_in(sandbox.keys.pat)
    page.hears("choice")
    page.sign_in(sandbox.keys.other_pat)
    assert settled(page, output).startswith("Signed in as bob · PAT from the form · app attic")
    assert page.text("print(USER_ID, APP_ID)") == "bob attic\n"
    assert page.text("%clarifai_auth logout").startswith("Signed out.")


def test_no_app_can_be_chosen(page, sandbox):
    output = shown(page)
    page.sign_in(sandbox.keys.pat)
    page.hears("choice")
    page.send("choose", user_id="alice", app_id="")
    assert "no app chosen of main, recipes" in settled(page, output)
    assert page.text("print(USER_ID, repr(APP_ID))") == "alice ''\n"


@pytest.mark.parametrize(
    ("key", "fields", "summary"),
    [
        ("api_key", {}, "alice · API key from the form · app main"),
        ("other_pat", {}, "bob · PAT from the form · app attic"),
        ("pat", {"app_id": " recipes\n"}, "alice · PAT from the form · app recipes"),
    ],
)
def test_where_there_is_no_choice_none_is_offered(page, sandbox, key, fields, summary):
    output = shown(page)
    page.sign_in(f' "Key {getattr(sandbox.keys, key)}"\n', **fields)
    assert settled(page, output) == f"Signed in as {summary} · scopes All · at 127.0.0.1"
    assert not any(message["type"] == "choice" for message in page.said)


def test_hundreds_of_apps_come_in_pages_and_can_be_searched(page, sandbox):
    output = shown(page)
    page.sign_in(sandbox.keys.carol_pat)
    choice = page.hears("choice")
    ids = list(choice["ids"])
    more, number = choice["more"], 1
    while more:
        number += 1
        page.send("apps", user_id="carol", search="", page=number)
        answer = page.hears("apps")
        assert answer["page"] == number
        ids += answer["ids"]
        more = answer["more"]
    assert ids == [f"app-{number:03}" for number in range(300)]
    page.send("apps", user_id="carol", search="app-25", page=1)
    assert page.hears("apps")["ids"] == [f"app-25{digit}" for digit in range(10)]
    page.send("apps", user_id="nobody", search="", page=1)
    assert page.hears("error")["hint"]
    page.send("choose", user_id="carol", app_id="app-256")
    assert "app app-256" in settled(page, output)


def test_two_views_look_for_apps_at_once(page, slow):
    shown(page)
    page.sign_in(slow.keys.pat, base=slow.base)
    page.hears("choice")
    page.send("apps", view="here", user_id="acme", search="", page=1)
    page.send("apps", view="there", user_id="alice", search="recipes", page=1)
    answers = [page.hears("apps") for _ in "ab"]
    found = {answer["view"]: answer["ids"] for answer in answers}
    assert found == {"here": ["catalog", "press"], "there": ["recipes"]}


def test_a_wrong_key_leaves_the_form_usable_and_reaches_no_widget_state(page, sandbox):
    output = shown(page)
    states = [page.text(WIDGET_STATE)]
    page.sign_in(CANARY)
    error = page.hears("error")
    assert error["field"] == "key"
    assert "the API does not know this key" in error["message"]
    states.append(page.text(WIDGET_STATE))
    page.sign_in(sandbox.keys.pat)
    page.hears("choice")
    states.append(page.text(WIDGET_STATE))
    page.send("choose", user_id="alice", app_id="main")
    assert settled(page, output) == SIGNED_IN
    states.append(page.text(WIDGET_STATE))
    assert [len(json.loads(state)["state"]) for state in states] == [2, 2, 2, 0]
    assert not any(secret in state for secret in SECRETS for state in states)
    # The kernel keeps the last message's content: the key must not be in that either.
    parent = page.text("print(get_ipython().kernel.get_parent())")
    assert not any(secret in parent for secret in SECRETS)


@pytest.mark.parametrize(
    ("key", "fields", "field", "words"),
    [
        ("", {}, "key", "The key is empty."),
        ("YOUR_PAT_HERE", {}, "key", "a placeholder"),
        ("revoked_key", {}, "key", "does not know this key"),
        ("pat", {"user_id": "a/b"}, "user_id", "Character 2 of the user ID"),
        ("pat", {"user_id": "zoe"}, "user_id", "no user or organisation 'zoe'"),
        ("pat", {"app_id": "a b"}, "app_id", "Character 2 of the app ID"),
        ("pat", {"app_id": "mian"}, "app_id", "Did you mean 'main'?"),
        ("api_key", {"app_id": "recipes"}, "app_id", "belongs to app 'main'"),
        ("pat", {"base": "ftp://x"}, "base", "The base URL's scheme"),
        ("pat", {"base": "http://127.0.0.1:1"}, "base", "Nothing answers at http://127.0.0.1:1"),
        ("pat", {"root_certificates": "/no/such"}, "root_certificates", "cannot be read"),
        ("pat", {"root_certificates": "~nosuchuser/x"}, "root_certificates", "cannot be read"),
    ],
)
def test_each_error_stands_beside_its_field(page, sandbox, key, fields, field, words):
    shown(page)
    page.sign_in(getattr(sandbox.keys, key, key), **fields)
    error = page.hears("error")
    assert error["field"] == field
    assert words in f"{error['message']} {error['hint']}"
    assert error["hint"]
    assert "--" not in error["message"] + error["hint"]
    assert page.text("print(stub)").endswith(NOT_YET)


@pytest.mark.parametrize("field", ["user_id", "app_id"])
def test_a_key_in_an_ids_field_is_told_beside_it_and_not_repeated(page, sandbox, field):
    shown(page)
    page.sign_in(f"Key {sandbox.keys.pat}", **{field: sandbox.keys.pat})
    error = page.hears("error")
    assert (error["field"], "is the key itself" in error["message"]) == (field, True)


def test_an_unencrypted_base_of_the_environment_is_refused_beside_its_field(page, sandbox):
    page.run("%env CLARIFAI_API_BASE=http://example.com")
    shown(page, "%clarifai_auth --from form")
    page.sign_in(sandbox.keys.pat)
    error = page.hears("error")
    assert (error["field"], "not encrypted" in error["message"]) == ("base", True)
    page.sign_in(sandbox.keys.pat, base=sandbox.base)
    page.hears("choice")


def test_an_untrusted_certificate_is_told_beside_the_certificates(page):
    with Sandbox(tls=True) as private:
        SECRETS.update(dataclasses.asdict(private.keys).values())
        output = shown(page)
        page.sign_in(private.keys.pat, base=private.base)
        assert page.hears("error")["field"] == "root_certificates"
        page.sign_in(
            private.keys.pat, base=private.base, root_certificates=private.root_certificates
        )
        assert [owner["id"] for owner in page.hears("choice")["owners"]] == ["alice", "acme"]
        page.send("choose", user_id="alice", app_id="main")
        assert settled(page, output) == SIGNED_IN.replace("127.0.0.1", "localhost")


def test_while_the_server_is_slow_the_kernel_answers_and_nothing_disturbs(page, manager, slow):
    output = shown(page)
    page.sign_in(slow.keys.pat, base=slow.base)
    page.send("sign-in", key=CANARY, user_id="", app_id="", base="", root_certificates="")
    manager.interrupt_kernel()
    assert page.text("print(6 * 7)") == "42\n"
    page.send("ready")
    page.hears("progress")
    assert not any(message["type"] == "choice" for message in page.said)
    page.hears("choice")
    page.send("ready")  # as a second view does
    assert page.hears("choice")["ids"] == ["main", "recipes"]
    page.send("choose", user_id="alice", app_id="main")
    assert settled(page, output) == SIGNED_IN


def test_a_form_that_no_page_draws_gives_way_to_a_line_until_one_does(page, sandbox):
    page.draws = False
    output = shown(page)
    page.until(lambda: WIDGET not in output)
    assert output["text/plain"].startswith(UNSEEN)
    line = "Not signed in yet: run %clarifai_auth --from prompt, then run this cell again."
    assert line in page.text(LIST_MODELS)
    page.send("ready")
    page.until(lambda: WIDGET in output)
    assert page.text(LIST_MODELS).strip() == NOT_YET
    page.sign_in(sandbox.keys.api_key)
    assert settled(page, output).startswith("Signed in as alice")


def test_a_form_that_gave_way_to_a_line_is_closed_by_a_sign_in_elsewhere(page):
    page.draws = False
    output = shown(page)
    page.until(lambda: WIDGET not in output)
    page.run("%clarifai_auth --from sandbox")
    page.until(lambda: output["text/plain"] == CLOSED)
    assert page.text(LIST_MODELS) == "main\n"


def test_a_form_waits_for_a_kernel_that_cannot_hear_its_page(page):
    page.draws = False
    output = shown(page)
    busy = page.start("import time; print('begun', flush=True); time.sleep(4)")
    page.until(lambda: page.outputs[busy])
    page.send("ready")
    page.hears("heard")
    assert WIDGET in output
    assert not any(UNSEEN in message for message in page.wire)


@pytest.mark.skipif(not AWAITABLE, reason="ipykernel delivers no comms to a cell that awaits")
def test_a_form_that_is_awaited_gives_way_too_and_comes_back(page, sandbox):
    page.draws = False
    cell = page.start(
        "import clarifai_magic\nprint((await clarifai_magic.login_form()).identity.owner)"
    )
    page.until(lambda: page.outputs[cell] and WIDGET not in page.outputs[cell][0])
    assert page.outputs[cell][0]["text/plain"].startswith(UNSEEN)
    page.send("ready")
    page.until(lambda: WIDGET in page.outputs[cell][0])
    page.sign_in(sandbox.keys.other_pat)
    page.until(lambda: len(page.outputs[cell]) > 1)
    assert page.outputs[cell][1]["text/plain"] == "bob\n"
    page.run("clarifai_magic.logout()")


def test_a_form_that_is_shown_twice_gives_way_once(page):
    page.draws = False
    page.run("import clarifai_magic\nform = clarifai_magic.login_form()")
    page.run("form")
    second = page.run("form; form.show()")[-1]
    page.until(lambda: WIDGET not in second)
    assert second["text/plain"].startswith(UNSEEN)
    page.send("ready")
    page.until(lambda: WIDGET in second)
    page.run("form.dismiss(); form.dismiss()")
    page.until(lambda: second["text/plain"] == CLOSED)


def test_on_a_page_that_was_loaded_again_the_view_says_what_is_left(page, sandbox):
    output = shown(page)
    page.send("ready", view="loaded again")
    page.sign_in(sandbox.keys.api_key)
    page.until(lambda: WIDGET not in output)
    state = json.loads(page.text(WIDGET_STATE))["state"].values()
    assert output["text/plain"].startswith("Signed in as alice")
    assert [output["text/plain"]] in [widget["state"].get("lines") for widget in state]
    page.run("import ipywidgets; ipywidgets.Widget.close_all()")


def test_a_view_that_has_gone_keeps_no_form(page, sandbox):
    output = shown(page)
    page.send("ready", view="in another place")
    page.send("gone", view="in another place")
    page.sign_in(sandbox.keys.api_key)
    assert settled(page, output).startswith("Signed in as alice")


def test_signing_out_while_the_key_is_checked_signs_nothing_in(page, slow):
    output = shown(page)
    form = page.form()
    page.sign_in(slow.keys.api_key, form, base=slow.base)
    page.hears("progress")
    page.run("%clarifai_auth logout")
    assert settled(page, output) == CLOSED
    page.run(
        "import threading\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name == 'clarifai-form': thread.join()"
    )
    assert page.text("%clarifai_auth status").startswith("Not signed in.")
    assert page.text(STUB) == "False None\n"


def test_run_all_stops_at_the_placeholder_and_works_after_signing_in(page, sandbox):
    page.run("stub, mine = 'my own', 1")
    output = shown(page)
    assert page.text(LIST_MODELS).strip() == NOT_YET
    assert page.text("with clarifai_session: pass").strip() == NOT_YET
    assert page.text("mine") == "1"
    page.sign_in(sandbox.keys.api_key)
    assert settled(page, output) == (
        "Note: replaced your own stub.\n"
        "Signed in as alice · API key from the form · app main · scopes All · at 127.0.0.1"
    )
    assert "stub.<br>Signed in" in output["text/html"]
    assert page.text(LIST_MODELS) == "main\n"


@pytest.mark.parametrize("line", ["%clarifai_auth logout", "%unload_ext clarifai_magic"])
def test_a_form_that_is_given_up_leaves_nothing_behind(page, line):
    page.run("stub = 'my own'")
    output = shown(page)
    assert NOT_YET in page.text("print(stub)")
    page.run(line)
    assert settled(page, output) == CLOSED
    assert page.text(f"{STUB}; print('channel' in globals())") == "True my own\nFalse\n"


def test_a_form_that_is_run_again_replaces_the_one_before(page, sandbox):
    first = shown(page)
    old = page.form()
    second = shown(page)
    assert first["text/plain"] == CLOSED
    page.send("sign-in", old, key=sandbox.keys.api_key)
    assert NOT_YET in page.text(LIST_MODELS)
    page.sign_in(sandbox.keys.api_key)
    assert settled(page, second).startswith("Signed in as alice")


def test_another_source_makes_the_form_superfluous(page):
    output = shown(page)
    page.run("%clarifai_auth --from sandbox")
    assert settled(page, output) == CLOSED
    assert page.text(LIST_MODELS) == "main\n"


def test_a_form_beside_a_session_leaves_its_names_alone_until_it_succeeds(page, sandbox):
    page.run("%clarifai_auth --from sandbox")
    output = shown(page, "%clarifai_auth --from form")
    assert page.text(LIST_MODELS) == "main\n"
    page.sign_in(CANARY)
    page.hears("error")
    assert page.text("print(clarifai_session.source)") == "the sandbox\n"
    page.sign_in(sandbox.keys.api_key)
    settled(page, output)
    assert page.text("print(clarifai_session.source)") == "the form\n"


def test_a_form_for_another_name_holds_that_name_alone(page, sandbox):
    output = shown(page, "%clarifai_auth --as work")
    assert NOT_YET in page.text("work.stub")
    assert page.text(STUB) == "False None\n"
    page.sign_in(sandbox.keys.other_pat)
    settled(page, output)
    assert page.text("print(work.identity.owner, 'stub' in globals())") == "bob False\n"


def test_logout_of_a_name_that_a_form_is_to_bring_closes_that_form_alone(page, sandbox):
    page.run("stub = 'mine'")
    mine, works = shown(page), shown(page, "%clarifai_auth --as work")
    assert page.text("%clarifai_auth logout work") == "Not signed in.\n"
    page.until(lambda: WIDGET not in works)
    assert works["text/plain"] == CLOSED
    assert page.text("print('work' in globals(), repr(stub))") == "False <not signed in yet>\n"
    assert "Signed in: none yet." in page.text("%clarifai_auth logout work")
    page.run("%clarifai_auth logout clarifai_session")
    assert settled(page, mine) == CLOSED
    assert page.text("print(stub)") == "mine\n"


def test_the_lines_options_fill_the_form_and_saving_waits_for_the_choice(page, sandbox):
    output = shown(page, "%clarifai_auth --app-id main --user-id alice --save config")
    state = page.open[page.form()]
    assert state["prefilled"] == {
        "user_id": "alice",
        "app_id": "main",
        "base": "",
        "root_certificates": "",
    }
    assert (state["usual_base"], state["own_base"]) == (sandbox.base, PUBLIC_BASE)
    page.sign_in(sandbox.keys.pat, user_id="alice", app_id="main")
    first, second = settled(page, output).splitlines()
    assert first == SIGNED_IN
    assert "~/.config/clarifai/config" in second
    page.run("import pathlib; (pathlib.Path.home() / '.config/clarifai/config').unlink()")


def test_what_was_chosen_is_exported_until_logout(page, sandbox):
    output = shown(page, "%clarifai_auth --export-env --export-openai")
    variables = (
        "import os; print([os.environ.get('CLARIFAI_' + name) for name in ('PAT', 'APP_ID')])"
    )
    page.sign_in(sandbox.keys.pat)
    page.hears("choice")
    assert page.text(variables) == "[None, None]\n"
    page.send("choose", user_id="alice", app_id="recipes")
    settled(page, output)
    assert page.text(
        "broker = clarifai_session.broker\nexported = {**os.environ}\n"
        "print(exported['CLARIFAI_PAT'] == exported['OPENAI_API_KEY'] == broker.token)\n"
        "print(exported['CLARIFAI_API_BASE'] == broker.base, exported['CLARIFAI_APP_ID'])"
    ) == ("True\nTrue recipes\n")
    page.run("%clarifai_auth logout")
    assert page.text(variables) == "[None, None]\n"


def test_what_cannot_be_saved_is_told_and_the_session_stays(page, sandbox):
    output = shown(page, "%clarifai_auth --save config")
    page.sign_in(sandbox.keys.api_key)
    assert "Not saved: the CLI's file holds PATs" in settled(page, output)
    assert page.text(LIST_MODELS) == "main\n"


@pytest.mark.parametrize("line", ["%clarifai_auth --no-input", "%clarifai_auth --from form"])
def test_where_nobody_answers_there_is_an_error_and_no_form(page, line):
    (error,) = page.run(line, attended="--no-input" in line)
    assert "nobody can fill in a form here" in error["text/plain"]
    assert not page.open
    assert page.text(STUB) == "False None\n"


def test_what_comes_from_elsewhere_is_text_and_not_markup(page, sandbox):
    output = shown(page)
    page.sign_in(sandbox.keys.pat)
    page.hears("choice")
    page.send("choose", user_id="alice", app_id="<img src=x onerror=alert(1)>")
    assert "app <img src=x" in settled(page, output)
    assert "app &lt;img src=x onerror=alert(1)&gt;" in output["text/html"]
    assert "<img" not in output["text/html"]


AWAIT = (
    "import clarifai_magic\n"
    "session = await clarifai_magic.login_form(app_id='main')\n"
    "print(session.identity.owner, 'stub' in globals())"
)


@pytest.mark.skipif(not AWAITABLE, reason="ipykernel delivers no comms to a cell that awaits")
def test_an_awaited_form_gives_the_session_and_leaves_the_names_alone(page, sandbox):
    cell = page.start(AWAIT)
    page.until(lambda: page.outputs[cell])
    page.sign_in(sandbox.keys.pat, app_id="main")
    page.until(lambda: len(page.outputs[cell]) > 1)
    form, printed = page.outputs[cell]
    assert form["text/plain"] == SIGNED_IN
    assert printed["text/plain"] == "alice False\n"
    page.run("session.close()")


@pytest.mark.skipif(not AWAITABLE, reason="ipykernel delivers no comms to a cell that awaits")
def test_interrupting_the_cell_that_awaits_leaves_the_form_usable(page, manager, sandbox):
    page.run("import clarifai_magic\nform = clarifai_magic.login_form()")
    cell = page.start("await form")
    page.until(lambda: page.outputs[cell])
    manager.interrupt_kernel()
    page.send("ready")  # the interrupted cell notices with the next message only
    page.until(lambda: cell in page.done)
    page.sign_in(sandbox.keys.api_key)
    page.until(lambda: not page.open)
    assert page.text("print((await form).identity.app_id)").endswith("main\n")


@pytest.mark.skipif(AWAITABLE, reason="this ipykernel can")
def test_an_early_kernel_says_which_way_to_take_instead(page):
    (error,) = page.run(AWAIT)
    assert "Run %clarifai_auth, and use clarifai_session in the next cell" in error["text/plain"]


def test_in_python_too_nobody_is_asked_where_nobody_answers(page):
    page.run("import clarifai_magic")
    (error,) = page.run("clarifai_magic.login_form()", attended=False)
    assert "Nobody can fill in a form here." in error["text/plain"]


CALLED_BACK = """
import clarifai_magic
form = clarifai_magic.login_form()
got = []
class Page:
    def draw(self, session): got.append((session, form.session))
page = Page()
form.on_sign_in(page.draw); form.on_sign_in(page.draw); form.on_sign_in(got.append)
"""


def test_a_callback_gets_the_session_once_and_with_the_chosen_app(page, sandbox):
    page.run(CALLED_BACK)
    output = shown(page, "form")
    page.sign_in(sandbox.keys.pat)
    page.hears("choice")
    assert page.text("print(form.session, got)") == "None []\n"
    page.send("choose", user_id="alice", app_id="recipes")
    assert "app recipes" in settled(page, output)
    page.until(lambda: page.text("print(len(got))") == "2\n")
    assert page.text(
        "print(got == [(form.session, form.session), form.session], form.session.identity.app_id)"
    ) == ("True recipes\n")
    page.run("form.on_sign_in(page.draw); form.on_sign_in(lambda session: got.append('late'))")
    assert page.text("print(len(got), got[-1])") == "3 late\n"
    page.run("clarifai_magic.logout(); form.on_sign_in(lambda session: got.append('closed'))")
    assert page.text("print(form.session, len(got))") == "None 3\n"


def test_callbacks_that_fail_are_told_and_the_sign_in_stands(page, sandbox):
    page.run(
        "import clarifai_magic\ngot = []\n"
        "def draw(session): raise ValueError('no <data>\\n')\n"
        "def leave(session): raise SystemExit\n"
        "form = clarifai_magic.login_form(app_id='main')\n"
        "for each in (draw, leave, got.append): form.on_sign_in(each)"
    )
    output = shown(page, "form")
    page.sign_in(sandbox.keys.pat, app_id="main")
    settled(page, output)
    page.until(lambda: "leave" in output["text/plain"])
    assert output["text/plain"].splitlines() == [
        SIGNED_IN,
        "Note: draw, to be called at sign-in, raised ValueError: no <data>",
        "Note: leave, to be called at sign-in, raised SystemExit",
    ]
    assert "no &lt;data&gt;" in output["text/html"]
    told = [sent for sent in page.wire if '"name": "stderr"' in sent]
    assert any("Traceback" in sent and "draw" in sent for sent in told)  # in colours since 3.13
    assert page.text("print(got == [form.session])") == "True\n"
    assert "ValueError" in page.text("form.on_sign_in(lambda session: draw(session))")
    assert "takes the Session, not a str" in page.text("form.on_sign_in('draw')")
    page.run("form.session.close()")


def test_a_callback_that_signs_out_is_the_last(page, sandbox):
    page.run(CALLED_BACK)
    page.run("form.on_sign_in(lambda session: session.close()); form.on_sign_in(got.extend)")
    output = shown(page, "form")
    page.sign_in(sandbox.keys.api_key)
    settled(page, output)
    page.until(lambda: page.text("print(form.session, len(got))") == "None 2\n")


def test_callbacks_of_many_threads_are_called_once_each(sandbox):
    result, got = Result(), []
    began = threading.Barrier(65)

    def add(number):
        began.wait()
        result.when_there(lambda session: got.append((number, session)))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(64)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    with connect(Credentials(sandbox.keys.api_key, base=sandbox.base)) as session:
        began.wait()
        assert [*result.settle(session)] == []
        for thread in threads:
            thread.join()
        assert sorted(got) == [(number, session) for number in range(64)]
    sys.setswitchinterval(interval)


@pytest.fixture
def elsewhere():
    """A server that redirects, and what it was sent."""
    received: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            received.append(f"{self.path} {self.headers['Authorization']}")
            self.send_response(302)
            self.send_header("Location", "/caught")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_organisations_that_the_api_does_not_tell_are_absent(sandbox, elsewhere):
    url, received = elsewhere
    with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as session:
        assert [owner.id for owner in owners(session)] == ["alice", "acme"]
        for base in ("http://127.0.0.1:1", url):
            internals(session).deployment = internals(session).deployment._replace(base=base)
            assert [owner.id for owner in owners(session)] == ["alice"]
    assert received == [f"/v2/users/alice/organizations Key {sandbox.keys.pat}"]


def test_the_form_is_light_and_links_to_where_keys_are_made():
    folder = Path(form.__file__).parent
    assert sum((folder / name).stat().st_size for name in ("form.js", "form.css")) <= 20_000
    assert View.keys_page.default_value == SECRETS_PAGE
