"""A notebook that two people have open at once: one signs in, the other sees that and no more."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from extensions import load_only
from jupyter import Opened, jupyter
from support import SUMMARY
from test_dashboards import gives_away

from clarifai_magic.notebook.form import SHARED, WATCHED

SHARING = (
    "jupyter_server_ydoc",
    "@jupyter/collaboration-extension",
    "@jupyter/docprovider-extension",
)
CELLS = ("%load_ext clarifai_magic\n%clarifai_auth", "print(clarifai_session.identity.owner)")


@pytest.fixture(scope="module")
def server(tmp_path_factory, sandbox):
    root = tmp_path_factory.mktemp("shared") / "home"
    with jupyter(load_only(root, *SHARING), sandbox.base) as running:
        yield running
    for file in root.rglob("*"):
        assert not (file.is_file() and gives_away(file.read_bytes())), file


@pytest.fixture
def people(server, browser):
    """Two of them, each in a browser of their own, on the same notebook."""
    file = server.notebook("shared", *CELLS)
    url = f"{server.url}/lab/workspaces/{{}}/tree/{file.name}"
    contexts = [browser.new_context() for _ in "ab"]
    yield [
        Opened(context.new_page(), url.format(number), file)
        for number, context in enumerate(contexts)
    ]
    for context in contexts:
        context.close()


def test_others_see_that_somebody_signs_in_and_nothing_that_is_typed(
    people, server, sandbox, record_property
):
    runs, watches = people
    runs.run(1)
    runs.form.wait_for()
    watches.says(WATCHED)
    assert not watches.form.locator("input").count()
    runs.field("User ID").fill("typed here")
    runs.field("PAT or API key").fill(sandbox.keys.pat)
    runs.button("Sign in").click()
    runs.form.get_by_text("no user or organisation").or_(
        runs.form.get_by_text("Character")
    ).first.wait_for()
    assert "typed" not in watches.page.locator("body").inner_text()
    runs.field("User ID").fill("")
    runs.sign_in(sandbox.keys.other_pat)
    for person in people:
        person.says("Signed in as bob")
        person.says(SHARED)
        assert not gives_away(person.page.content().encode())
    watches.run(2)
    runs.says("bob")
    saved = runs.saved()
    assert SHARED in saved
    assert not gives_away(saved.encode())
    assert [*server.root.rglob("*ystore*.db")], "the document's store is elsewhere now"
    record_property(
        SUMMARY, f"jupyter-collaboration {version('jupyter-collaboration')}: two people at once"
    )
