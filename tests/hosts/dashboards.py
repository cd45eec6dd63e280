"""Servers of dashboards, each a program of its own, and viewers who look at them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import nbformat
import psutil
from jupyter import PATIENCE, Opened, end
from ports import for_kernels_of_programs, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

PAGE = Path(__file__).parents[2] / "docs" / "dashboards.md"
ANYWIDGET = Path(sys.prefix, "share/jupyter/nbextensions/anywidget/index.js")
LOGGED = (
    "import logging\n"
    "logging.basicConfig()\n"
    "logging.getLogger('clarifai_magic').setLevel(logging.DEBUG)\n"
)
QUICK = ["--unused-session-lifetime=1000", "--check-unused-sessions=500"]
# No sooner, or a slow machine's page finds its kernel gone.
CULLED = ["--MappingKernelManager.cull_interval=1", "--MappingKernelManager.cull_idle_timeout=15"]
COMMANDS = {
    "voila": ["-m", "voila", "app.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", *CULLED],
    "panel": ["-m", "panel", "serve", "app.py", "--address=127.0.0.1", "--index=app", *QUICK],
    "solara": ["-m", "solara", "run", "app.py", "--host=127.0.0.1", "--no-open"],
}


def documented(name: str) -> str:
    """The program of that name in the documentation."""
    return re.search(rf'```py title="{name}"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)[1]


class Dashboard(NamedTuple):
    """A server that runs.

    Parameters
    ----------
    url : str
        Its address.
    root : Path
        Its home, with the log in ``log``.
    process : psutil.Process
        The server.
    """

    url: str
    root: Path
    process: psutil.Process

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.root / "log").read_text(errors="replace")

    def sessions(self) -> int:
        """How many sessions are open in a server that serves all viewers itself."""
        said = re.findall(r"session (\w+) (opened|closed)", self.log)
        return len({each for each, what in said if what == "opened"}) - len(
            {each for each, what in said if what == "closed"}
        )


@contextmanager
def serving(name: str, program: str, root: Path, base: str, assets: Path) -> Iterator[Dashboard]:
    """Serve a program to viewers, who sign in at `base`.

    Parameters
    ----------
    name : str
        Of the server, among `COMMANDS`.
    program : str
        In Python; for Voila a cell.
    root : Path
        An empty folder for everything that the server writes.
    base : str
        The base URL.
    assets : Path
        A folder with what Solara's pages fetch.
    """
    if name == "voila":
        write_notebook(root / "app.ipynb", program)
    else:
        (root / "app.py").write_text(LOGGED + program)
    [port] = free_ports(1)
    for_kernels_of_programs(root / ".jupyter")
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(root),
        "CLARIFAI_API_BASE": base,
        "PYTHONUNBUFFERED": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "SOLARA_ASSETS_PROXY_CACHE_DIR": str(assets),
    }
    command = [sys.executable, *COMMANDS[name], f"--port={port}"]
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            running = Dashboard(f"http://127.0.0.1:{port}", root, psutil.Process(process.pid))
            await_that(lambda: _answers(f"{running.url}/favicon.ico"))
            yield running
        finally:
            end(process)


def write_notebook(file: Path, *cells: str) -> None:
    """A notebook of these cells."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(made, file)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True  # it has no such page, and says so
    except OSError:
        return False
    return True


def await_that(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + 2 * PATIENCE / 1000
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("in vain")
        time.sleep(0.1)  # between two questions, not instead of one


def put_in_place(modules: Path, folder: Path) -> Path:
    """The folder, with what npm has installed where Solara keeps copies of what pages fetch."""
    wanted = json.loads((Path(__file__).parent / "solara" / "package.json").read_text())
    for name, version in wanted["bundles"].items():
        shutil.copytree(modules / name, folder / f"{name}@{version}")
    return folder


class Viewer(Opened):
    """Somebody who looks at a dashboard, in a browser of their own.

    Attributes
    ----------
    received : list of str
        What came by websocket.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._context = browser.new_context(viewport={"width": 900, "height": 700})
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE)
        # Panel's pages fetch what draws an anywidget from there.
        self.page.route(
            "https://unpkg.com/anywidget@**", lambda route: route.fulfill(path=ANYWIDGET)
        )
        self.received: list[str] = []
        self.page.on("websocket", self._listen)
        self.page.goto(url)

    def _listen(self, socket) -> None:
        def keep(data: str | bytes) -> None:
            self.received.append(data if isinstance(data, str) else data.decode("latin-1"))

        socket.on("framereceived", keep)

    def sees(self, words: str) -> None:
        """Wait until these words can be read."""
        self.page.get_by_text(words).first.wait_for()

    def leave(self) -> None:
        """Go to another page, as people do."""
        self.page.goto("about:blank")

    def close(self) -> None:
        """Close the browser."""
        self._context.close()
