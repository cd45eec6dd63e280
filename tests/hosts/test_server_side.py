"""JupyterLab whose server executes the cells: no form appears there, and nobody waits for one."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from extensions import load_only
from jupyter import Opened, jupyter
from support import SUMMARY

COLLABORATION = ["@jupyter/collaboration-extension", "@jupyter/docprovider-extension"]
NBMODEL = ["jupyter_server_ydoc", "jupyter_server_nbmodel", "@datalayer/jupyter-server-nbmodel"]
DOCUMENTS = ["jupyter_server_documents", "@jupyter-ai-contrib/server-documents"]
SHOW = "%load_ext clarifai_magic\n%clarifai_auth"
INVITED = "To sign in to Clarifai, a person runs %clarifai_auth --from prompt in a cell"


@pytest.fixture(scope="module")
def nbmodel(tmp_path_factory, sandbox):
    home = load_only(tmp_path_factory.mktemp("nbmodel") / "home", *COLLABORATION, *NBMODEL)
    with jupyter(home, sandbox.base) as server:
        yield server


@pytest.fixture(scope="module")
def documents(tmp_path_factory, sandbox):
    home = load_only(tmp_path_factory.mktemp("documents") / "home", *COLLABORATION, *DOCUMENTS)
    with jupyter(home, sandbox.base) as server:
        yield server


class OpenedHere(Opened):
    """A notebook whose page may not be connected to the kernel: the server is."""

    def _await_kernel(self, server: str) -> None:
        pass


@pytest.fixture
def opened(browser):
    pages = []

    def open_at(server, *cells: str) -> Opened:
        file = server.notebook(f"n{len(list((server.root / 'work').iterdir()))}", *cells)
        pages.append(browser.new_page())
        url = f"{server.url}/lab/workspaces/{file.stem}/tree/{file.name}"
        return OpenedHere(pages[-1], url, file)

    yield open_at
    for page in pages:
        page.close()


def versions(record_property, *names: str) -> None:
    record_property(SUMMARY, "hosts: " + ", ".join(f"{name} {version(name)}" for name in names))


def test_under_nbmodel_a_line_leads_to_the_prompt(nbmodel, opened, sandbox, record_property):
    versions(record_property, "jupyter-server-nbmodel", "jupyter-collaboration", "jupyterlab")
    page = opened(nbmodel, SHOW, "USER_ID + ' alone'", "%clarifai_auth --from prompt")
    page.run()
    page.says(INVITED)
    page.run(2)
    page.says("Not signed in yet: run %clarifai_auth --from prompt, then run this cell again.")
    page.run(3, ends=False)
    prompt = page.page.locator("input[type=password]")
    prompt.fill(sandbox.keys.other_pat)
    prompt.press("Enter")
    page.says("Signed in as bob · PAT from the prompt · app attic")
    page.run(2)
    page.says("bob alone")
    assert page.form.count() == 0
    assert sandbox.keys.other_pat not in page.saved()
    assert sandbox.keys.other_pat not in (nbmodel.root / "log").read_text()


def test_under_nbmodel_an_empty_answer_is_an_error_at_once(nbmodel, opened):
    page = opened(nbmodel, "%load_ext clarifai_magic\n%clarifai_auth --from prompt", "'goes on'")
    page.run(1, ends=False)
    page.page.locator("input[type=password]").press("Enter")
    page.says("nobody answered the prompt")
    page.run(2)
    page.says("goes on")


def test_under_server_documents_a_console_for_the_notebook_signs_in(
    documents, opened, sandbox, record_property
):
    versions(record_property, "jupyter-server-documents", "jupyterlab")
    page = opened(documents, SHOW, "USER_ID + ' alone'")
    page.run()
    page.says("File, New Console for Notebook")
    tab = page.page
    tab.get_by_role("menuitem", name="File", exact=True).click()
    tab.get_by_role("menuitem", name="New Console for Notebook").click()
    console = tab.locator(".jp-CodeConsole")
    console.locator(".jp-CodeConsole-banner", has_text="Python").wait_for()
    console.locator(".jp-CodeConsole-input .cm-content").click()
    tab.keyboard.type("%clarifai_auth --from prompt")
    tab.keyboard.press("Shift+Enter")
    console.locator("input.jp-Stdin-input").fill(sandbox.keys.other_pat)
    console.locator("input.jp-Stdin-input").press("Enter")
    console.get_by_text("Signed in as bob · PAT from the prompt").wait_for()
    page.run(2)
    page.says("bob alone")
    assert sandbox.keys.other_pat not in page.file.read_text()
    assert sandbox.keys.other_pat not in (documents.root / "log").read_text()
