"""marimo: the form as an element, in its editor and as an app of several viewers; the guard there."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import marimo
import pytest
from jupyter import PATIENCE
from leaks import JOINED, PREPARE, TOGETHER
from marimo_server import MARIMO, Home
from playwright.sync_api import Error, expect
from reading import MOST, recovered
from support import SUMMARY

IMPORTS = "import clarifai_magic\nimport marimo as mo\n" + PREPARE.replace(
    "from IPython import get_ipython\nfrom IPython.display import HTML, display\n", ""
)
FORM = "form = clarifai_magic.login_form()\nform"
WHO = 'mo.md(f"Here is {form.session.identity.owner if form.session else None}.")'
ASKED = """try:
    clarifai_magic.connect()
except clarifai_magic.NoCredentialsError as _error:
    _told = type(_error).__name__
mo.md(_told)"""
HELD = """held = []
def is_open(session):
    try:
        return bool(session.broker)
    except clarifai_magic.NotSignedInError:
        return False"""
OPEN = """held.append(form.session)
mo.md(f"Open: {sum(map(is_open, filter(None, held)))}")"""
REFUSES = """form = clarifai_magic.login_form()
refused = []
def refuse(session):
    if not refused:
        refused.append(session.close())
        raise ValueError("not this one")
form.on_sign_in(refuse)
form"""
AGAIN = 'again = mo.ui.button(label="Again")\nagain'
LEAVE = 'mo.ui.button(label="Leave", on_click=lambda _: clarifai_magic.logout())'

PLACES = {
    "print": "print(text)",
    "stderr": "print(text, file=sys.stderr)",
    "pieces of 1": "pieces(text[:400], 1)",
    "pieces of 3": "pieces(text[:1200], 3, sys.stderr)",
    "pieces of 11": "pieces(text, 11)",
    "a result": "Shown(text)",
    "HTML": "mo.Html(f'<p>{text}</p>')",
    "Markdown": "mo.md(text)",
    "a layout": "mo.vstack([text, {'a': text}])",
    "outputs in turn": "mo.output.append(text[:9000])\nmo.output.append(text[9000:])",
    "a dict": "{'Authorization': text, key: [key, key.encode()]}",
    "a table": "mo.ui.table([{'a': text, 'b': key}])",
    "a field": "mo.ui.text_area(value=text)",
    "a progress bar": "for _ in mo.status.progress_bar([1], title=text, subtitle=text):\n    pass",
    "a download": "mo.download(data=text.encode(), filename='told.txt')",
    "an image": "mo.image(src=b'\\x89PNG' + text.encode())",
    "logging": "logging.warning(text)",
    "an exception": "fail(text)",
    "a thread": "_thread = threading.Thread(target=print, args=(text,)); _thread.start(); _thread.join()",
    "a thread's exception": "_thread = threading.Thread(target=fail, args=(text,)); _thread.start(); _thread.join()",
    "a thread of marimo's": "_thread = mo.Thread(target=lambda: print(text)); _thread.start(); _thread.join()",
    "its pieces": "_thread = mo.Thread(target=lambda: [print(each, end='') for each in text[:400]]); _thread.start(); _thread.join()",
    "sys.stdout.buffer": "sys.stdout.buffer.write(text.encode()); sys.stdout.buffer.flush()",
    "a program": "subprocess.run(['printf', '%s', text])",
    "a file descriptor": "os.write(1, text.encode())",
    "a widget": "import ipywidgets\nipywidgets.Textarea(value=text)",
    "a widget's bytes": "import ipywidgets as _widgets\n_widgets.Image(value=text.encode())",
    "a session": "[session, session.headers, session.metadata, session.broker.token]",
}
"""What a cell may do with `text`, which is all forms of the key."""

ON_PAGES_ALONE = {"a widget", "a widget's bytes", "a session"}
"""What an exported notebook shows nothing of."""

CACHE = "__marimo__/session/notebook.py.json"
TEXT = f"{TOGETHER}\n{JOINED}"


@pytest.fixture
def home(tmp_path, sandbox):
    root = tmp_path / "marimo"
    root.mkdir()
    return Home(root, CLARIFAI_API_BASE=sandbox.base)


@dataclass
class View:
    """A page in a browser, and all that came to it."""

    page: object
    frames: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("websocket", lambda each: each.on("framereceived", self._note))

    def _note(self, frame: str | bytes) -> None:
        self.frames.append(frame if isinstance(frame, str) else frame.decode("latin-1"))

    def form(self):
        return self.page.locator(".clarifai-form")

    def run_all(self) -> None:
        """Run the notebook's cells; an editor that is still starting may lose it, so repeat."""
        end = time.monotonic() + 2 * PATIENCE / 1000
        while not self._has_run():
            assert time.monotonic() < end
            if not any('"op":"execution"' in frame for frame in self.frames):
                self.page.keyboard.press("Control+Shift+r")
            self.page.wait_for_timeout(1000)

    def _has_run(self) -> bool:
        """Whether a run has ended in which a cell was executed: to load a notebook is one, too."""
        executed = itertools.dropwhile(lambda each: '"phase":"completed"' not in each, self.frames)
        return any('"completed-run"' in frame for frame in executed)

    def sign_in(self, key: str) -> None:
        """Type a key and press Enter."""
        typed = self.form().get_by_label("PAT or API key", exact=True)
        typed.fill(key)
        typed.press("Enter")

    def file(self, url: str) -> bytes:
        """What is served there; nothing of a cell that has run again since."""
        with suppress(Error):
            return self.page.request.get(url).body()
        return b""

    def port(self) -> int:
        """The session's broker's, as a cell shows it."""
        self.says("Port http")
        return int(re.search(r"Port http://127.0.0.1:(\d+)", self.page.inner_text("body"))[1])

    def says(self, words: str) -> None:
        """Wait until these words can be read."""
        expect(self.page.get_by_text(words).first).to_be_visible(timeout=PATIENCE)


@pytest.fixture
def view(browser):
    contexts = []

    def opened(url: str) -> View:
        contexts.append(browser.new_context())
        view = View(contexts[-1].new_page())
        view.page.goto(url)
        return view

    yield opened
    for context in contexts:
        context.close()


def consoles(frames: list[str]) -> dict[tuple[str, str], str]:
    """What is read in the console of each cell, and in those of all."""
    texts: dict[tuple[str, str], str] = {}
    for frame in frames:
        message = json.loads(frame)
        console = message.get("data", message).get("console")
        for output in console if isinstance(console, list) else [console] if console else []:
            for cell in (message.get("data", message)["cell_id"], "all"):
                place = (cell, output["channel"])
                texts[place] = texts.get(place, "") + str(output["data"])
    return texts


def most(frames: list[str], key: str) -> int:
    """How much of a key is recovered from one frame, or from a console's in a row."""
    together = consoles(frames).values()
    return max(recovered(each, key) for each in [*frames, *together])


def test_in_the_editor_cells_follow_the_form_and_no_frame_or_file_has_the_key(
    home, view, sandbox, record_property
):
    key = sandbox.keys.other_pat
    home.environment["TYPED"] = key
    session = "mo.stop(form.session is None)\nsession = form.session\nkey = os.environ['TYPED']"
    shown = [IMPORTS, FORM, WHO, LEAVE, f"{session}\n{TEXT}", *PLACES.values()]
    with home.served(
        "edit", home.notebook(*shown, "text and mo.md(f'All {len(\"of it\")} shown.')")
    ) as url:
        page = view(url)
        page.run_all()
        page.says("Here is None.")
        page.sign_in(sandbox.keys.revoked_key)
        page.form().get_by_text("does not know this key").wait_for()
        page.sign_in(key)
        page.says("Signed in as bob · PAT from the form · app attic")
        page.says("Here is bob.")
        page.says("All 5 shown.")
        served = set(re.findall(r"@file/[\w.-]+", "".join(page.frames)))
        files = [*filter(None, (page.file(f"{url}/{each}") for each in served))]
        page.page.reload()
        page.says("Signed in as bob")
        page.page.get_by_role("button", name="Leave").click()
        page.says("Here is None.")
        page.form().wait_for()
        deadline(lambda: "Here is None" in home.files().get(CACHE, ""))
    assert len(files) > 1  # the form's own module is one
    found = [most(page.frames, key), *(recovered(each, key) for each in files)]
    found += [recovered(text, key) for text in home.files().values()]
    record_property(SUMMARY, f"marimo {marimo.__version__}: at most {max(found)} of 32 characters")
    assert max(found) <= MOST


def test_viewers_of_an_app_sign_in_and_out_each_for_themselves(home, view, sandbox):
    told = "form.session and mo.md(f'Port {form.session.broker.base}')"
    log = "form.session and print(''.join([*form.session.headers['Authorization']]), flush=True)"
    cells = [HELD, AGAIN, f"again\n{FORM}", OPEN, WHO, LEAVE, told, log, ASKED]
    file = home.notebook(IMPORTS, *cells)
    with home.served("run", file, "--session-ttl=1") as url:
        alice, bob = view(url), view(url)
        bob.says("Here is None.")
        bob.says("NoCredentialsError")  # and nobody at the server's terminal is asked
        alice.sign_in(sandbox.keys.pat)
        alice.form().get_by_label("App", exact=True).select_option("main")
        alice.form().get_by_role("button", name="Use this app").click()
        alice.says("Here is alice.")
        assert bob.form().get_by_label("PAT or API key", exact=True).is_visible()
        bob.sign_in(sandbox.keys.other_pat)
        bob.says("Here is bob.")
        for ends in ("Leave", "Again", "Again"):
            alice.page.get_by_role("button", name=ends).click()
            alice.says("Here is None.")
            alice.sign_in(sandbox.keys.api_key)
            alice.says("API key from the form · app main")
            alice.says("Here is alice.")
            alice.says("Open: 1")
        bob.says("Here is bob.")
        port = bob.port()
        assert is_open(port)
        bob.page.close()
        deadline(lambda: not is_open(port))
        assert is_open(alice.port())
    assert "[clarifai key]" in home.files()["log"]
    for key in (sandbox.keys.pat, sandbox.keys.other_pat, sandbox.keys.api_key):
        assert most(alice.frames + bob.frames, key) <= MOST
        assert max(recovered(text, key) for text in home.files().values()) <= MOST


def test_after_a_callback_that_signs_out_and_fails_the_form_is_there_again(home, view, sandbox):
    with home.served("run", home.notebook(IMPORTS, REFUSES, WHO)) as url:
        page = view(url)
        page.sign_in(sandbox.keys.pat)
        page.form().get_by_label("App", exact=True).wait_for()
        page.form().get_by_role("button", name="Use this app").click()
        page.sign_in(sandbox.keys.other_pat)
        page.says("Here is bob.")


def is_open(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def deadline(true) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE / 1000
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)  # between two questions, not instead of one


SIGN_IN = "session = clarifai_magic.connect()\nkey = os.environ['CLARIFAI_PAT']"
BY_HAND = "session = os.environ\nkey = os.environ['CLARIFAI_PAT']"


@pytest.mark.parametrize("prepare", [SIGN_IN, BY_HAND], ids=["signed in", "by hand"])
def test_no_place_of_an_export_gives_more_than_a_quarter_away(home, sandbox, prepare):
    key = home.environment["CLARIFAI_PAT"] = sandbox.keys.pat
    prepared = f"{prepare}\n{TEXT}"
    file = home.notebook(IMPORTS, prepared, *PLACES.values())
    kind = ["ipynb", "--include-outputs"]
    done = home.run(*MARIMO, "export", *kind, str(file), "--output", "told.ipynb", "--force")
    cells = json.loads((home.root / "told.ipynb").read_text())["cells"][2:]
    found = {
        place: max(recovered(each, key) for each in [json.dumps(cell["outputs"]), *streams(cell)])
        for place, cell in zip(PLACES, cells, strict=True)
    }
    if prepare == BY_HAND:
        # Bytes for the standard stream may come to an export with what a later cell shows.
        silent = {place for place, most in found.items() if most <= MOST}
        assert silent <= ON_PAGES_ALONE | {"sys.stdout.buffer", "a file descriptor"}
        return
    found["what the program says"] = recovered(done.stdout + done.stderr, key)
    found |= {name: recovered(text, key) for name, text in home.files().items()}
    assert {place: most for place, most in found.items() if most > MOST} == {}


def test_a_script_connects_and_is_told_that_it_has_no_form(home, sandbox):
    home.environment["CLARIFAI_PAT"] = key = sandbox.keys.other_pat
    asked = "try:\n    form = clarifai_magic.login_form()\nexcept Exception as _error:\n    print(_error)"
    who = "session = clarifai_magic.connect()\nprint(session, os.environ['CLARIFAI_PAT'])"
    done = home.run(sys.executable, str(home.notebook(IMPORTS, asked, who)))
    assert done.returncode == 0, done.stderr
    assert "Set CLARIFAI_PAT in the environment and call clarifai_magic.connect()." in done.stdout
    assert "<Session: bob" in done.stdout
    assert recovered(done.stdout + done.stderr, key) <= MOST


def test_the_quickstart_runs_as_a_script_and_exported(home):
    del home.environment["CLARIFAI_API_BASE"]
    quickstart = str(Path(__file__).parents[2] / "notebooks" / "marimo_quickstart.py")
    done = home.run(sys.executable, quickstart)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The header of each call: {'Authorization': [clarifai key]}\n"
    shutil.copy(quickstart, home.root / "quickstart.py")
    done = home.run(*MARIMO, "export", "html", "quickstart.py", "--output", "told.html")
    assert done.returncode == 0, done.stderr
    page = (home.root / "told.html").read_text()
    assert "What the model sees" in page
    assert "[clarifai key]" in page


def streams(cell) -> list[str]:
    """What is read in each stream of a cell."""
    texts: dict[str, str] = {}
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            texts[output["name"]] = texts.get(output["name"], "") + "".join(output["text"])
    return [*texts.values()]
