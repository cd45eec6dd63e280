"""Dashboards in the real servers: each viewer signs in with a key of their own, and has it alone."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest
from dashboards import Viewer, await_that, documented, put_in_place, serving
from jupyter_client.manager import KernelManager
from reading import MOST, recovered
from support import CANARY, SECRETS, SUMMARY, installed_by_npm

OWN_FORMS = {
    "panel": """
import panel as pn
import clarifai_magic
from of_all import form as of_all

pn.extension("ipywidgets")
form = clarifai_magic.login_form()
page = pn.Column(form)

def add(words):
    page.append(pn.pane.Str(words))

def look(_event):
    add(f"{form.session and form.session.identity.owner} is here")

def take(_event):
    try:
        add(f"taken: {of_all.session}")
    except clarifai_magic.NotSignedInError as error:
        add(f"refused: {error.message}")

for name, act in {
    "Look": look, "Take": take, "Sign out": lambda _event: clarifai_magic.logout()
}.items():
    button = pn.widgets.Button(name=name)
    button.on_click(act)
    page.append(button)
page.servable()
""",
    "solara": """
import solara
import clarifai_magic

try:
    clarifai_magic.login_form()
except clarifai_magic.NotSignedInError as error:
    refused = f"refused: {error.hint}"
forms = []

@solara.component
def Page():
    words, set_words = solara.use_state("")
    form = solara.use_memo(clarifai_magic.login_form, [])
    solara.use_memo(lambda: forms.append(form), [])

    def look():
        set_words(f"{form.session and form.session.identity.owner} is here")

    def take():
        try:
            set_words(f"taken: {forms[0].session}")
        except clarifai_magic.NotSignedInError as error:
            set_words(f"refused: {error.message}")

    solara.display(form.widget)
    solara.Button("Look", on_click=look)
    solara.Button("Take", on_click=take)
    solara.Button("Sign out", on_click=clarifai_magic.logout)
    solara.Text(words)
    solara.Text(refused)
""",
}
GIVES_AWAY = {
    "panel": """
import panel as pn
import clarifai_magic
from told import texts, told

pn.extension("ipywidgets")
form = clarifai_magic.login_form()
page = pn.Column(form)

def show(session):
    for text in texts(session):
        page.extend([pn.pane.Str(text), pn.widgets.TextInput(value=text)])
        page.append(pn.pane.HTML("<i></i>".join(text)))
    told(session, __import__("ipywidgets"), page.append)
    page.append(pn.pane.Str("That is all."))

form.on_sign_in(show)
page.servable()
""",
    "solara": """
import ipywidgets
import solara
import clarifai_magic
from told import texts, told

@solara.component
def Page():
    session, set_session = solara.use_state(None)
    form = solara.use_memo(clarifai_magic.login_form, [])
    solara.use_effect(lambda: form.on_sign_in(set_session), [])
    solara.display(form.widget)
    if session is not None:
        for text in texts(session):
            solara.Text(text)
            solara.InputText("A field", value=text)
            solara.HTML(unsafe_innerHTML="<i></i>".join(text))
        solara.use_memo(lambda: told(session, ipywidgets, solara.display), [])
        solara.Text("That is all.")
""",
}
TOLD = """
import base64, logging, sys, traceback

def texts(session):
    key = "".join([*session.headers["Authorization"]])[len("Key "):]
    return [key, "-".join(key), key.encode().hex(), base64.b64encode(key.encode()).decode()]

def told(session, ipywidgets, display):
    for text in texts(session):
        print(text)
        print(text, file=sys.stderr)
        for letter in text:
            print(letter, end="")
        logging.warning("Said: %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            traceback.print_exc()
        display(ipywidgets.Image(value=b"PNG" + text.encode()))
        display(ipywidgets.Textarea(value=text))
    print("That is all.")
"""
OF_ALL = "import clarifai_magic\nform = clarifai_magic.login_form()\n"


@pytest.fixture(scope="module")
def solara_assets(request, tmp_path_factory):
    """A folder with what Solara's pages fetch."""
    manifest = Path(__file__).parent / "solara" / "package.json"
    modules = installed_by_npm(manifest, request.config.cache.mkdir("hosts-solara"))
    return put_in_place(modules, tmp_path_factory.mktemp("cdn"))


@pytest.fixture
def serve(tmp_path, sandbox, request):
    """Serve a program; at the end its files have no key."""

    def start(name, program):
        assets = request.getfixturevalue("solara_assets") if name == "solara" else tmp_path
        return serving(name, program, tmp_path, sandbox.base, assets)

    yield start
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert not gives_away(file.read_bytes()), file


@pytest.fixture
def visit(browser):
    viewers = []

    def arrive(dashboard):
        viewers.append(Viewer(browser, dashboard.url))
        viewers[-1].form.wait_for()
        return viewers[-1]

    yield arrive
    for viewer in viewers:
        viewer.close()


def gives_away(seen: bytes) -> bool:
    """Whether there is more than a few characters in a row of a key."""
    parts = {key[at : at + MOST + 1] for key in SECRETS for at in range(len(key) - MOST)}
    return any(part.encode() in seen for part in parts)


def nothing_of_a_key(*viewers):
    """That neither the pages, with what is in their fields, nor what they received have a key."""
    for viewer in viewers:
        typed = viewer.page.locator("input").evaluate_all("each => each.map(one => one.value)")
        seen = " ".join([viewer.page.content(), *typed, *viewer.received])
        assert not gives_away(seen.encode())


@pytest.mark.parametrize("name", ["voila", "panel", "solara"])
def test_each_viewer_signs_in_with_a_key_of_their_own(name, serve, visit, sandbox, record_property):
    with serve(name, documented(name)) as dashboard:
        one, two = visit(dashboard), visit(dashboard)
        one.sign_in(CANARY)
        one.sees("does not know this key")
        one.sign_in(sandbox.keys.pat)
        one.button("Use this app").click()
        one.sees("Signed in as alice · PAT from the form · app main")
        one.sees("Hello alice")
        assert two.button("Sign in").is_visible()
        two.sign_in(sandbox.keys.other_pat)
        two.sees("Hello bob")
        assert "bob" not in one.page.locator("body").inner_text()
        assert "alice" not in two.page.locator("body").inner_text()
        nothing_of_a_key(one, two)
        one.page.reload()
        one.button("Sign in").wait_for()
        one.leave()
        two.leave()
        if name == "voila":
            await_that(lambda: not dashboard.process.children(recursive=True))
        else:
            await_that(lambda: "opened" in dashboard.log and dashboard.sessions() == 0)
    record_property(SUMMARY, f"{name} {version(name)}: the form in Chromium, two viewers at once")


@pytest.mark.parametrize("name", ["panel", "solara"])
def test_no_viewer_gets_or_ends_anothers_session(name, serve, visit, sandbox, tmp_path):
    (tmp_path / "of_all.py").write_text(OF_ALL)
    with serve(name, OWN_FORMS[name]) as dashboard:
        one, two = visit(dashboard), visit(dashboard)
        one.sign_in(sandbox.keys.other_pat)
        one.sees("Signed in as bob")
        two.sign_in(sandbox.keys.other_pat)
        two.sees("Signed in as bob")
        two.page.get_by_role("button", name="Take").click()
        two.sees("refused: This form is another viewer's.")
        if name == "solara":
            two.sees("refused: Make the form in a component")
        two.page.get_by_role("button", name="Sign out").click()
        two.page.get_by_role("button", name="Look").click()
        two.sees("None is here")
        one.page.get_by_role("button", name="Look").click()
        one.sees("bob is here")
        nothing_of_a_key(one, two)


@pytest.mark.parametrize("name", ["panel", "solara"])
def test_a_program_that_shows_and_prints_a_viewers_key_gives_nobody_a_quarter(
    name, serve, visit, sandbox, tmp_path
):
    (tmp_path / "told.py").write_text(TOLD)
    with serve(name, GIVES_AWAY[name]) as dashboard:
        viewer = visit(dashboard)
        viewer.sign_in(sandbox.keys.other_pat)
        viewer.sees("That is all.")
        seen = [viewer.page.content(), *viewer.received, dashboard.log]
    assert "That is all." in dashboard.log
    assert "[clarifai key]" in "".join(viewer.received)
    assert max(recovered(each, sandbox.keys.other_pat) for each in seen) <= MOST


def test_the_dashboard_among_the_notebooks_draws_a_chart(serve, visit, sandbox):
    notebook = Path(__file__).parents[2] / "notebooks" / "dashboard.ipynb"
    with serve("voila", "") as dashboard:
        (dashboard.root / "app.ipynb").write_text(notebook.read_text("utf-8"), "utf-8")
        viewer = visit(dashboard)
        viewer.sign_in(sandbox.keys.other_pat)
        viewer.sees("Signed in as bob")
        viewer.page.get_by_role("progressbar").or_(viewer.page.locator(".progress")).nth(
            3
        ).wait_for()
        text = viewer.page.get_by_role("textbox").last
        text.fill("two words")
        text.press("Enter")
        viewer.sees("words")
        assert viewer.page.locator(".progress").count() == 2


def test_the_magic_shows_the_form_in_voila(serve, visit, sandbox):
    with serve("voila", "%load_ext clarifai_magic\n%clarifai_auth") as dashboard:
        viewer = visit(dashboard)
        viewer.sign_in(sandbox.keys.other_pat)
        viewer.sees("Signed in as bob")
        nothing_of_a_key(viewer)


@pytest.mark.parametrize("started_by", ["Voila", "a program in a dashboard"])
def test_what_a_dashboard_starts_is_none(started_by, tmp_path):
    ours = "0123-4567"
    name = f"kernel-{ours}.json" if started_by == "Voila" else "kernel-89ab-cdef.json"
    manager = KernelManager(kernel_name="python3", connection_file=str(tmp_path / name))
    manager.start_kernel(env={**os.environ, "VOILA_KERNEL_ID": ours})
    client = manager.client()
    client.start_channels()
    said = []
    try:
        client.wait_for_ready(timeout=180)
        client.execute_interactive(
            "from clarifai_magic.notebook.hosts import current; print(current().name)",
            allow_stdin=False,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "".join(said) == ("Voila\n" if started_by == "Voila" else "a kernel, unattended\n")
