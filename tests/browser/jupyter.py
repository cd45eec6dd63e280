"""A real Jupyter server with JupyterLab and Notebook, in a home of its own, and a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright
from ports import for_kernels_of_programs, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Locator, Page

CHROMIUM = Path("/usr/bin/chromium")
MISSING = f"no browser: {CHROMIUM} is missing (apt-get install chromium)"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    # Front ends that save widget state are those in which a key could be saved with it.
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false"},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
PATIENCE = 180_000  # ms, for a kernel's start on a machine that does much else; all is waited for, nothing slept


class Jupyter:
    """A server that runs.

    Parameters
    ----------
    url : str
        Its address.
    root : Path
        Its home, with the notebooks in ``work`` and the log in ``log``.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self.root = root

    def notebook(self, name: str, *cells: str) -> Path:
        """Write a notebook."""
        file = self.root / "work" / f"{name}.ipynb"
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(made, file)
        return file

    def theme(self, name: str) -> None:
        """Set JupyterLab's theme, for pages that are opened from now on."""
        self.setting("@jupyterlab/apputils-extension/themes", {"theme": f"JupyterLab {name}"})

    def setting(self, plugin: str, values: dict[str, object]) -> None:
        """Set a plugin's settings."""
        file = self.root / "settings" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser; its loop runs in this thread until then."""
    if not CHROMIUM.exists():
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def chromium_that_remembers(profile: Path) -> Iterator[BrowserContext]:
    """Run the browser with a profile, as people do; its loop runs in this thread until then.

    A page that it has seen before costs it half: it has the scripts, and has compiled them.
    """
    if not CHROMIUM.exists():
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        launch = playwright.chromium.launch_persistent_context
        context = launch(profile, executable_path=CHROMIUM, args=ARGUMENTS)
        yield context
        context.close()


@contextmanager
def jupyter(root: Path, base: str) -> Iterator[Jupyter]:
    """Run a server whose kernels take `base` for Clarifai's API."""
    (root / "work").mkdir(parents=True)
    [port] = free_ports(1)
    for_kernels_of_programs(root / "config")
    running = Jupyter(f"http://127.0.0.1:{port}", root)
    for plugin, values in SETTINGS.items():
        running.setting(plugin, values)
    _unchecked(root / "config" / "labconfig" / "page_config.json")
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": root / "work",
        "ServerApp.disable_check_xsrf": True,
        "IdentityProvider.token": "",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    home = {
        "HOME": root,
        "CLARIFAI_API_BASE": base,
        "IPYTHONDIR": root / "ipython",
        "JUPYTERLAB_SETTINGS_DIR": root / "settings",
        "JUPYTER_CONFIG_DIR": root / "config",
        "JUPYTER_DATA_DIR": root / "data",
        "JUPYTER_RUNTIME_DIR": root / "runtime",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=root,
            env={
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                **{k: str(v) for k, v in home.items()},
            },
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            await_server(f"{running.url}/api/status", process)
            yield running
        finally:
            end(process)


def _unchecked(config: Path) -> None:
    """Have no page ask whether JupyterLab should be built: a program of Node's answers it."""
    config.parent.mkdir(parents=True, exist_ok=True)
    there = json.loads(config.read_text()) if config.exists() else {}
    config.write_text(json.dumps({**there, "buildCheck": False}))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server; some that are told to stop while pages are open wait for good."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()


def await_server(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until `process` answers at `url`."""
    deadline = time.monotonic() + PATIENCE / 1000
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.URLError:
            time.sleep(0.1)  # between two questions, not instead of one
        else:
            return
    raise RuntimeError("The server did not start.")


class Opened:
    """A notebook in a browser.

    Parameters
    ----------
    page : Page
        The browser's page.
    url : str
        Where the notebook is.
    file : Path
        The notebook's file.
    """

    def __init__(self, page: Page, url: str, file: Path) -> None:
        self.page = page
        self.file = file
        page.set_default_timeout(PATIENCE)
        self._wait_on(page)
        page.goto(url)
        idle = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
        page.wait_for_selector(idle, state="attached")
        self._await_kernel(re.split("/lab|/notebooks", url)[0])

    @staticmethod
    def _wait_on(page: Page) -> None:
        """Have the page go on with what is slow to load: where documents are shared, it asks."""
        slow = page.get_by_role("dialog").filter(has_text="is taking some time to load")
        goes_on = slow.get_by_role("button", name="Continue waiting")
        page.add_locator_handler(slow, lambda _: goes_on.click())

    def _await_kernel(self, server: str) -> None:
        """Wait until the notebook's kernel is idle and the page is connected to it."""
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            for session in self.page.request.get(f"{server}/api/sessions").json():
                kernel = session["kernel"]
                ready = kernel["execution_state"] == "idle" and kernel["connections"]
                if session["path"] == self.file.name and ready:
                    return
            self.page.wait_for_timeout(100)
        raise RuntimeError("The kernel did not become idle.")

    @property
    def form(self) -> Locator:
        """The sign-in form."""
        return self.page.locator(".clarifai-form")

    def run(self, number: int = 1, *, ends: bool = True) -> None:
        """Run one cell; a front end that is still starting may lose it, so look and repeat.

        One that it has taken is waited for, however slow: it would run twice.
        """
        cell = self.page.locator(".jp-CodeCell").nth(number - 1)
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        ran = re.compile(r"\[\d+\]" if ends else r"\[[\d*]+\]")
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            with suppress(AssertionError):
                expect(prompt).not_to_have_text(before, timeout=10_000)
                break
        else:
            raise TimeoutError("The cell did not run.")
        expect(prompt).to_have_text(ran, timeout=PATIENCE)

    def output(self, number: int = 1) -> Locator:
        """What a cell has put out."""
        return self.page.locator(".jp-CodeCell").nth(number - 1).locator(".jp-OutputArea-output")

    def field(self, label: str) -> Locator:
        """A control of the form, by its label."""
        return self.form.get_by_label(label, exact=True)

    def button(self, name: str) -> Locator:
        """A button of the form."""
        return self.form.get_by_role("button", name=name, exact=True)

    def sign_in(self, key: str) -> None:
        """Type a key and press Enter."""
        self.field("PAT or API key").fill(key)
        self.field("PAT or API key").press("Enter")

    def says(self, words: str) -> None:
        """Wait until these words can be read in the notebook's outputs."""
        self.page.locator(".jp-OutputArea-output", has_text=words).first.wait_for()

    def answer(self, text: str) -> None:
        """Answer a prompt, and wait until it is gone: then its cell gets the focus once more."""
        prompt = self.page.locator("input.jp-Stdin-input")
        prompt.fill(text)
        prompt.press("Enter")
        expect(prompt).to_have_count(0, timeout=PATIENCE)

    def saved(self) -> str:
        """The notebook's file, saved now."""
        before = self.file.stat().st_mtime_ns
        self.page.locator(".jp-CodeCell").first.click(position={"x": 5, "y": 5})
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            is_new = self.file.stat().st_mtime_ns != before
            data = self.file.read_bytes()
            if is_new and data.endswith(b"}\n"):
                return data.decode()  # else it is being written, maybe to the middle of a character
            self.page.keyboard.press("Control+s")
            self.page.wait_for_timeout(100)
        raise TimeoutError("The notebook was not saved.")


def visible(words: str) -> re.Pattern[str]:
    """A pattern for these words, whatever the space between them."""
    return re.compile(r"\s+".join(map(re.escape, words.split())))
