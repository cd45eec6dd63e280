"""One Jupyter server, one browser and one sandbox for all that is tried in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter import Opened, chromium_that_remembers, jupyter


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One person's: what is of a test is its notebook, workspace and kernel."""
    with chromium_that_remembers(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory, sandbox):
    with jupyter(tmp_path_factory.mktemp("jupyter") / "home", sandbox.base) as running:
        yield running


# A workspace of its own: JupyterLab opens again what was open before.
LAB = "lab/workspaces/{page}/tree/{file}"
NOTEBOOK = "notebooks/{file}"


@pytest.fixture(params=[LAB, NOTEBOOK], ids=["JupyterLab", "Notebook"])
def front_end(request):
    return request.param


@pytest.fixture
def open_notebook(server, browser, request, sandbox):
    pages = []

    def opened(*cells: str, front_end: str = NOTEBOOK, file=None) -> Opened:
        name = f"n{len(list((server.root / 'work').iterdir()))}"
        file = file or server.notebook(name, *cells)
        pages.append(browser.new_page())
        path = front_end.format(page=f"{file.stem}-{len(pages)}", file=file.name)
        return Opened(pages[-1], f"{server.url}/{path}", file)

    yield opened
    for page in pages:
        page.close()
    log = (server.root / "log").read_text(errors="replace")
    for key in vars(sandbox.keys).values():
        assert key not in log
