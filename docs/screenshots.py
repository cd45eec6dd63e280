"""Pictures of the sign-in form, made from the real thing: in each state in JupyterLab's Notebook.

``screenshots.py film`` makes README's film, ``screenshots.py marimo vscode jupyterhub`` the
pictures of these hosts, in an environment of their own.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "browser"), str(TESTS / "hosts")]

from jupyter import Jupyter, Opened, chromium, jupyter  # noqa: E402
from support import installed_by_npm  # noqa: E402

SHOW = "%load_ext clarifai_magic\n%clarifai_auth"
WIDTHS = (400, 1200)


def states(page: Opened, sandbox: Sandbox, slow: Sandbox, name: str) -> None:
    """Take a form through its states, with a picture of each."""

    def picture(state: str) -> None:
        page.form.screenshot(path=HERE / "images" / f"form-{state}-{name}.png")

    page.run()
    page.form.wait_for()
    picture("empty")
    page.form.get_by_text("Advanced").click()
    page.field("User ID").focus()
    picture("advanced")
    page.sign_in(sandbox.keys.revoked_key)
    page.form.get_by_text("does not know this key").wait_for()
    picture("error")
    page.field("API base URL").fill(slow.base)
    page.sign_in(slow.keys.carol_pat)
    page.form.get_by_text("Checking the key…").wait_for()
    picture("busy")
    page.form.get_by_text("there are more").wait_for()
    picture("choice")
    page.button("Use this app").click()
    page.says("Signed in as carol")
    cell = page.page.locator(".jp-CodeCell").first
    cell.screenshot(path=HERE / "images" / f"form-done-{name}.png")


def main() -> None:
    """Make all pictures again."""
    (HERE / "images").mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        Sandbox() as sandbox,
        Sandbox(latency=1.0) as slow,
        jupyter(Path(home) / "home", sandbox.base) as server,
        chromium() as browser,
    ):
        for theme in ("Light", "Dark"):
            server.theme(theme)
            for width in WIDTHS:
                shoot(server, browser, theme.lower(), width, sandbox, slow)


def shoot(  # noqa: PLR0913 - what a picture depends on
    server: Jupyter, browser: Browser, theme: str, width: int, sandbox: Sandbox, slow: Sandbox
) -> None:
    """Make the pictures of one theme and width."""
    name = f"{theme}-{width}"
    file = server.notebook(name, SHOW)
    view = browser.new_page(viewport={"width": width, "height": 900})
    states(Opened(view, f"{server.url}/notebooks/{file.name}", file), sandbox, slow, name)
    view.close()


MODELS = """models = stub.ListModels(
    service_pb2.ListModelsRequest(user_app_id=userDataObject), metadata=metadata
).models
[model.id for model in models]"""


def film(home: Path, browser: Browser, _sandbox: Sandbox) -> None:
    """Make the film of signing in: frames of a notebook, each for as long as it takes to read."""
    frames: list[tuple[bytes, int]] = []
    with Sandbox(latency=1.0) as slow, jupyter(home / "home", slow.base) as server:
        file = server.notebook("sign-in", SHOW, MODELS)
        view = browser.new_page(viewport={"width": 760, "height": 560})
        page = Opened(view, f"{server.url}/notebooks/{file.name}", file)
        shown = view.locator(".jp-Notebook").bounding_box()

        def frame(milliseconds: int) -> None:
            frames.append((view.screenshot(clip=shown, caret="hide"), milliseconds))

        frame(1200)
        page.run()
        page.form.wait_for()
        frame(1500)
        key = page.field("PAT or API key")
        for length in (8, 16, 24):
            key.fill(slow.keys.pat[:length])
            frame(200)
        key.fill(slow.keys.pat)
        frame(800)
        key.press("Enter")
        page.form.get_by_text("Checking the key…").wait_for()
        frame(1000)
        page.button("Use this app").wait_for()
        frame(2000)
        page.field("App").select_option("main")
        frame(800)
        page.button("Use this app").click()
        page.says("PAT from the form")
        frame(2000)
        page.run(2)
        frame(4000)
        view.close()
    animate(frames, HERE / "images" / "signing-in.gif")


def animate(frames: list[tuple[bytes, int]], path: Path) -> None:
    """Write frames, PNGs with the milliseconds that each is seen, as a GIF."""
    from PIL import Image

    first, *others = (Image.open(io.BytesIO(png)).convert("RGB").quantize(64) for png, _ in frames)
    durations = [milliseconds for _, milliseconds in frames]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


IN_MARIMO = (
    "import clarifai_magic\nimport marimo as mo",
    "form = clarifai_magic.login_form()\nform",
    "who = form.session and form.session.identity.owner\nmo.md(f'Hello **{who}**')",
)


def in_marimo(folder: Path, browser: Browser, sandbox: Sandbox) -> None:
    """Make the pictures of marimo's editor."""
    from marimo_server import Home

    home = Home(folder, CLARIFAI_API_BASE=sandbox.base)
    with home.served("edit", home.notebook(*IN_MARIMO)) as url:
        page = browser.new_page(viewport={"width": 900, "height": 800})
        page.set_default_timeout(60_000)
        page.goto(url)
        form = page.locator(".clarifai-form")
        while not form.is_visible():
            page.keyboard.press("Control+Shift+r")
            page.wait_for_timeout(2000)
        page.get_by_text("Hello None").wait_for()
        shown = {"x": 100, "y": 92, "width": 730, "height": 664}  # without the file's path
        page.screenshot(path=HERE / "images" / "marimo-form.png", clip=shown)
        form.get_by_label("PAT or API key", exact=True).fill(sandbox.keys.other_pat)
        form.get_by_label("PAT or API key", exact=True).press("Enter")
        page.get_by_text("Hello bob").wait_for()
        shown["height"] = 334
        page.screenshot(path=HERE / "images" / "marimo-done.png", clip=shown)
        page.close()


def in_vscode(home: Path, browser: Browser, sandbox: Sandbox) -> None:
    """Make the pictures of VS Code's themes."""
    from extensions import load_only
    from vscode_page import VSCode, assembled

    assembled(npm(), home / "static" / "vscode")
    load_only(home / "home", extra_static_paths=[str(home / "static")])
    with jupyter(home / "home", sandbox.base) as server:
        for theme in ("dark", "light"):
            view = browser.new_page(viewport={"width": 620, "height": 520})
            page = VSCode(view, f"{server.url}/static/vscode", theme=theme)
            page.run(SHOW)
            page.sign_in(sandbox.keys.revoked_key)
            page.form.get_by_text("does not know this key").wait_for()
            view.screenshot(path=HERE / "images" / f"vscode-{theme}.png")
            view.close()


def in_jupyterhub(home: Path, browser: Browser, sandbox: Sandbox) -> None:
    """Make the picture of a single-user server behind a hub."""
    from hub import enter, jupyterhub

    with jupyterhub(home, sandbox.base, npm()) as hub:
        file = hub.notebook("sign-in", SHOW)
        view = browser.new_page(viewport={"width": 1100, "height": 640})
        enter(view, hub)
        page = Opened(view, f"{hub.url}/lab/workspaces/w/tree/{file.name}", file)
        page.run()
        page.form.wait_for()
        view.screenshot(path=HERE / "images" / "jupyterhub.png")
        view.close()


def npm() -> Path:
    """What npm brings, where the tests have it, too."""
    cache = HERE.parent / ".pytest_cache" / "d" / "hosts"
    cache.mkdir(parents=True, exist_ok=True)
    return installed_by_npm(TESTS / "hosts" / "package.json", cache)


APART = {"film": film, "marimo": in_marimo, "vscode": in_vscode, "jupyterhub": in_jupyterhub}


def apart(*names: str) -> None:
    """Make the film, or the pictures of a host, again."""
    with Sandbox() as sandbox, chromium() as browser:
        for name in names:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
                APART[name](Path(home), browser, sandbox)


if __name__ == "__main__":
    apart(*sys.argv[1:]) if sys.argv[1:] else main()
