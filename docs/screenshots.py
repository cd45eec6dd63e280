"""Pictures of the sign-in form in each state, made from the real thing in JupyterLab's Notebook."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from clarifai_magic.sandbox import Sandbox

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "browser"))

from jupyter import ARGUMENTS, CHROMIUM, Jupyter, Opened, jupyter  # noqa: E402

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
    page.form.get_by_text("knows no such key").wait_for()
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
    """Make all pictures anew."""
    (HERE / "images").mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        Sandbox() as sandbox,
        Sandbox(latency=1.0) as slow,
        jupyter(Path(home) / "home", sandbox.base) as server,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for theme in ("Light", "Dark"):
            server.theme(theme)
            for width in WIDTHS:
                shoot(server, chromium, theme.lower(), width, sandbox, slow)
        chromium.close()


def shoot(  # noqa: PLR0913 - what a picture depends on
    server: Jupyter, chromium: Browser, theme: str, width: int, sandbox: Sandbox, slow: Sandbox
) -> None:
    """Make the pictures of one theme and width."""
    name = f"{theme}-{width}"
    file = server.notebook(name, SHOW)
    view = chromium.new_page(viewport={"width": width, "height": 900})
    states(Opened(view, f"{server.url}/notebooks/{file.name}", file), sandbox, slow, name)
    view.close()


if __name__ == "__main__":
    main()
