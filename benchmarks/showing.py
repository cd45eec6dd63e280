"""How long it takes until the form can be seen, in a real page."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import Row, in_turn, ratio

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

from jupyter import Opened, chromium, jupyter  # noqa: E402

ROUNDS = 25
CELLS = (
    "%load_ext clarifai_magic\nimport ipywidgets",
    "%clarifai_auth --from form",
    "ipywidgets.Password()",
    "%clarifai_auth logout",  # the previous form is not to end while the next is timed
)
# From the key press that runs the cell to the first frame that has a new field for a password.
TIMED = """() => {
    const fields = () => [...document.querySelectorAll("input[type=password]")];
    const before = new Set(fields());
    window.took = null;
    document.addEventListener("keydown", event => {
        if (event.key !== "Enter") return;
        const started = performance.now();
        const look = () => {
            const isShown = field => !before.has(field) && field.getClientRects().length;
            if (fields().some(isShown)) window.took = performance.now() - started;
            else requestAnimationFrame(look);
        };
        look();
    }, {capture: true, signal: (window.timing = new AbortController()).signal});
}"""


def showing() -> list[Row]:
    """The form against `ipywidgets.Password`, in Jupyter Notebook."""
    with (
        tempfile.TemporaryDirectory() as home,
        jupyter(Path(home) / "home", os.environ["CLARIFAI_API_BASE"]) as server,
        chromium() as browser,
    ):
        file = server.notebook("showing", *CELLS)
        opened = Opened(browser.new_page(), f"{server.url}/notebooks/{file.name}", file)
        for number, _ in enumerate(CELLS, 1):
            opened.run(number)
        ours, peer = in_turn(ROUNDS, lambda: _shown(opened, 2), lambda: _shown(opened, 3))
    return [
        Row(
            "the form in Jupyter Notebook, from running its cell, against `ipywidgets.Password`",
            f"{statistics.median(ours):.0f} ms",
            f"{statistics.median(peer):.0f} ms",
            ratio(ours, peer),
            1.1,
        )
    ]


def _shown(opened: Opened, number: int) -> float:
    """Milliseconds from running a cell until its field is there to see."""
    opened.run(4)
    opened.page.locator(".jp-CodeCell").nth(number - 1).locator(".cm-content").click()
    opened.page.evaluate(TIMED)
    opened.page.keyboard.press("Control+Enter")
    took = opened.page.wait_for_function("window.took").json_value()
    opened.page.evaluate("window.timing.abort()")
    return float(took)
