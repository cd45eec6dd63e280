"""The site as its readers open it: what is built, who serves it, and a page in a browser."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import nbformat
from axe_core_python.sync_playwright import Axe
from jupyter import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Request, Response, Route

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
FILES = {
    str(file.relative_to(SITE)).removesuffix("index.html"): file for file in SITE.rglob("*.html")
}
PAGES = sorted(FILES)
WITH_CODE = [
    name for name in PAGES if re.search("<pre>.*<code>|<clipboard-copy", FILES[name].read_text())
]
AXE = "options => axe.run(document, options)"
# Rule and element. All else that axe finds serious is for us to fix.
THEMES_OWN = {
    # Material's search is a dialog without a name: only another template would give it one.
    ("aria-dialog-name", ".md-search"),
}
# Of moderate impact to this version of axe, serious to later ones: code that only a mouse scrolls.
MOUSE_ONLY = "scrollable-region-focusable"
# All that a page has from other hosts, and what answers for them here.
ELSEWHERE = {
    "https://unpkg.com/mermaid@11/dist/mermaid.min.js": (
        "text/javascript",
        "mermaid = {initialize() {}, render: async () => ({svg: '<svg/>'})}",
    ),
    "https://colab.research.google.com/assets/colab-badge.svg": (
        "image/svg+xml",
        "<svg xmlns='http://www.w3.org/2000/svg' width='117' height='20'/>",
    ),
}
CONTENTS = """() => ({
    anchors: [...document.querySelectorAll("[id], a[name]")].map(each => each.id || each.name),
    links: [...document.querySelectorAll("[href]")].map(each => each.href),
    unseen: [...document.images].filter(each => !each.naturalWidth).map(each => each.src),
})"""
SNIPPET = re.compile(r'^--8<-- "(.+):(.+)"$', re.MULTILINE)
FENCED = re.compile(r"^( *)```.*\n((?:.*\n)*?)\1```$", re.MULTILINE)
INDENTED = re.compile(r"(?<=\n\n)(?=( {4,})\S)((?:\1.*\n|\n)+)")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; the address of its root."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Reader:
    """Somebody with a browser who looks at the site, and nowhere else.

    Parameters
    ----------
    browser : Browser
        The browser.
    site : str
        Where the site is.
    """

    def __init__(self, browser: Browser, site: str) -> None:
        self.site = site
        self.failures: list[str] = []
        self.context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        self.context.route(lambda url: not url.startswith(site), self._answer)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))

    def _note(self, response: Response) -> None:
        """Note what the site does not have."""
        if response.status >= HTTPStatus.BAD_REQUEST:
            self.failures.append(response.url)

    def _answer(self, route: Route, request: Request) -> None:
        """Answer what would leave this machine."""
        if request.url in ELSEWHERE:
            kind, body = ELSEWHERE[request.url]
            route.fulfill(content_type=kind, body=body)
        else:
            route.abort()
            self.failures.append(request.url)

    def opens(self, name: str) -> Page:
        """Open a page of the site."""
        self.page.goto(self.site + name)
        return self.page

    def visit(self, name: str) -> dict[str, list[str]]:
        """Look at all that is on a page, by day and by night."""
        contents = self.opens(name).evaluate(CONTENTS)
        self.page.evaluate(Axe().axe_script)
        first = self._serious({})
        self._switch_the_light()
        return {**contents, "serious": first + self._serious({"runOnly": ["color-contrast"]})}

    def _switch_the_light(self) -> None:
        """Choose the other colours, which the next page then has from the start."""
        scheme = self.page.locator("body").get_attribute("data-md-color-scheme")
        self.page.locator("form[data-md-component=palette] label:visible").click()
        self.page.wait_for_selector(
            f"body:not([data-md-color-scheme={scheme}], [data-md-color-switching])"
        )

    def _serious(self, rules: dict[str, object]) -> list[str]:
        """What axe finds that keeps people from reading the page."""
        options = {"resultTypes": ["violations"], **rules}
        return [
            f"{found['id']}: {node['html']} {node['failureSummary']}"
            for found in self.page.evaluate(AXE, options)["violations"]
            if found["impact"] in {"serious", "critical"} or found["id"] == MOUSE_ONLY
            for node in found["nodes"]
            if (found["id"], *node["target"]) not in THEMES_OWN
        ]

    def copies(self, button: Locator) -> str:
        """Click a button, and look what is in the clipboard then."""
        self.page.evaluate("navigator.clipboard.writeText('')")
        button.click()
        self.page.wait_for_function("navigator.clipboard.readText()")
        return self.page.evaluate("navigator.clipboard.readText()")


def written(name: str) -> list[str]:
    """The blocks of code in the source of a page."""
    notebook = ROOT / f"{name.rstrip('/')}.ipynb"
    if notebook.exists():
        cells = nbformat.read(notebook, as_version=4).cells
        return [cell.source for cell in cells if cell.cell_type == "code"]
    text = SNIPPET.sub(snippet, (ROOT / "docs" / f"{name.rstrip('/') or 'index'}.md").read_text())
    found = [match[2] for pattern in (FENCED, INDENTED) for match in pattern.finditer(text)]
    return [dedent(block).rstrip() for block in found]


def snippet(match: re.Match[str]) -> str:
    """The section of a file that a page includes."""
    text = (ROOT / match[1]).read_text()
    return text.split(f"[start:{match[2]}] -->\n")[1].split("<!-- --8<-- [end:")[0]
