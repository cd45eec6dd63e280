"""The form behind JupyterHub's proxy: a single-user server that its hub has spawned."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from hub import enter, jupyterhub
from jupyter import Opened
from support import SUMMARY

SHOW = "%load_ext clarifai_magic\n%clarifai_auth"
PRY = "print(clarifai_session.broker.token, metadata, USER_ID)"


@pytest.fixture(scope="module")
def hub(tmp_path_factory, sandbox, npm):
    with jupyterhub(tmp_path_factory.mktemp("hub"), sandbox.base, npm) as running:
        yield running


def test_the_form_signs_in_through_the_proxy(hub, browser, sandbox, record_property):
    record_property(SUMMARY, f"hosts: jupyterhub {version('jupyterhub')}")
    file = hub.notebook("n", SHOW, PRY)
    page = browser.new_page()
    enter(page, hub)
    opened = Opened(page, f"{hub.url}/lab/workspaces/w/tree/{file.name}", file)
    opened.run()
    opened.sign_in(sandbox.keys.revoked_key)
    opened.form.get_by_text("does not know this key").wait_for()
    opened.sign_in(sandbox.keys.other_pat)
    opened.says("Signed in as bob · PAT from the form · app attic")
    opened.run(2)
    opened.says("[clarifai key] (('authorization', [clarifai key]),) bob")
    shown = opened.saved() + page.content() + (hub.root / "log").read_text(errors="replace")
    page.close()
    kept = "".join(
        path.read_text(errors="replace")
        for path in hub.root.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    assert [key for key in vars(sandbox.keys).values() if key in shown + kept] == []
