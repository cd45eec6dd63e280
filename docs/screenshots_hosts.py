"""Pictures of the form on dashboards and in a shared notebook, made with the real servers."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
for folder in ("tests", "tests/browser", "tests/hosts"):
    sys.path.insert(0, str(HERE.parent / folder))

from dashboards import Viewer, documented, put_in_place, serving  # noqa: E402
from extensions import load_only  # noqa: E402
from jupyter import Opened, chromium, jupyter  # noqa: E402
from support import installed_by_npm  # noqa: E402
from test_collaboration import CELLS, SHARING  # noqa: E402


def dashboards(browser: Browser, sandbox: Sandbox, home: Path) -> None:
    """A picture before sign-in and one after, of each server."""
    notebook = json.loads((HERE.parent / "notebooks" / "dashboard.ipynb").read_text("utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    (home / "npm").mkdir()
    modules = installed_by_npm(HERE.parent / "tests/hosts/solara/package.json", home / "npm")
    assets = put_in_place(modules, home / "cdn")
    programs = {
        "voila": "\n".join(cells),
        "panel": documented("panel"),
        "solara": documented("solara"),
    }
    for name, program in programs.items():
        (home / name).mkdir()
        with serving(name, program, home / name, sandbox.base, assets) as dashboard:
            viewer = Viewer(browser, dashboard.url)
            viewer.form.wait_for()
            viewer.page.screenshot(path=HERE / "images" / f"host-{name}-form.png")
            viewer.sign_in(sandbox.keys.other_pat)
            viewer.sees("Signed in as bob")
            viewer.sees("key" if name == "voila" else "Hello bob")
            viewer.page.screenshot(path=HERE / "images" / f"host-{name}-done.png")
            viewer.close()


def shared(browser: Browser, sandbox: Sandbox, home: Path) -> None:
    """What who ran the cell sees, what the other does, and what both do afterwards."""
    with jupyter(load_only(home / "shared", *SHARING), sandbox.base) as server:
        file = server.notebook("shared", *CELLS)
        url = f"{server.url}/lab/workspaces/{{}}/tree/{file.name}"
        pages = [browser.new_context().new_page() for _ in "ab"]
        runs, watches = (
            Opened(page, url.format(each), file) for each, page in zip("ab", pages, strict=True)
        )
        runs.run(1)
        runs.form.wait_for()
        watches.says("Somebody is signing")
        runs.page.screenshot(path=HERE / "images" / "host-collaboration-form.png")
        watches.page.screenshot(path=HERE / "images" / "host-collaboration-watched.png")
        runs.sign_in(sandbox.keys.other_pat)
        watches.says("Everybody who shares")
        watches.page.screenshot(path=HERE / "images" / "host-collaboration-done.png")
        for page in pages:
            page.context.close()


def main() -> None:
    """Make all pictures again."""
    with (
        tempfile.TemporaryDirectory() as home,
        Sandbox() as sandbox,
        chromium() as browser,
    ):
        dashboards(browser, sandbox, Path(home))
        shared(browser, sandbox, Path(home))


if __name__ == "__main__":
    main()
