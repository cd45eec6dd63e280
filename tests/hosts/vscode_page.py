"""A page that shows a kernel's outputs as VS Code's notebook does, with its own bundle of ipywidgets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jupyter import PATIENCE, Opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

SOURCES = Path(__file__).parent / "vscode"


def assembled(npm: Path, folder: Path) -> Path:
    """The page with all that it loads, for a server to serve.

    Parameters
    ----------
    npm : Path
        The folder node_modules.
    folder : Path
        A new one, to put it into.
    """
    command = [npm / ".bin/esbuild", SOURCES / "page.js", "--bundle", "--format=esm"]
    command += [f"--outdir={folder}", "--log-level=warning"]
    subprocess.run(command, env={**os.environ, "NODE_PATH": str(npm)}, check=True)
    for file in (SOURCES / "index.html", SOURCES / "theme.css", npm / "requirejs/require.js"):
        shutil.copy(file, folder)
    for version in (7, 8):
        bundle = npm / f"@vscode/jupyter-ipywidgets{version}/dist/ipywidgets.js"
        shutil.copy(bundle, folder / f"ipywidgets{version}.js")
    shutil.copytree(Path(sys.prefix, "share/jupyter/nbextensions"), folder / "nbextensions")
    return folder


class VSCode(Opened):
    """The page, with a kernel of its own.

    Parameters
    ----------
    page : Page
        The browser's.
    url : str
        Where the server has it.
    options : str
        The page's: `theme`, `ipywidgets`, `kernel`; with `broken` no widget's script is found.
    """

    def __init__(self, page: Page, url: str, **options: str) -> None:
        self.page = page
        page.set_default_timeout(PATIENCE)
        chosen = {"theme": "dark", "ipywidgets": "8", "kernel": "python3", **options}
        page.goto(f"{url}/index.html?{urlencode(chosen)}")
        page.wait_for_selector("body[data-ready]", state="attached")

    def run(self, code: str) -> str:
        """Run a cell to its end; "ok" or "error"."""
        return self.page.evaluate("code => run(code)", code)

    def begin(self, code: str) -> None:
        """Run a cell that waits for somebody."""
        self.page.evaluate("code => void run(code)", code)

    def outputs(self) -> list[dict[str, Any]]:
        """Those that a saved notebook would hold."""
        return json.loads(self.page.evaluate("saved()"))

    def says(self, words: str) -> None:
        """Wait until these words can be read."""
        self.page.locator("main", has_text=words).wait_for()
