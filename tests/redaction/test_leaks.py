"""One key, every form and every place: nobody recovers more of it than a quarter."""

from __future__ import annotations

import pytest
from leaks import (
    ALL,
    BY_HAND,
    CELLS,
    SIGN_IN,
    XMODES,
    in_kernel,
    in_terminal,
    kernel,
    matrix_in_kernel,
    matrix_in_terminal,
)
from reading import MOST, recovered
from support import SUMMARY

RUNNERS = {"kernel": in_kernel, "terminal": in_terminal}
MATRICES = {"kernel": matrix_in_kernel, "terminal": matrix_in_terminal}

WITHOUT = {
    "kernel": {
        "del get_ipython().kernel.session.serialize": {"print", "a result", "pieces of 11"},
        "del get_ipython().kernel.session.send": {"a widget's bytes", "a comm's buffer"},
        "from clarifai_magic.redaction.masking import Continuation\n"
        "Continuation.start = lambda self, masker, text: text": {"pieces of 1", "pieces of 3"},
        "del get_ipython().history_manager.get_range": {"%notebook", "%history -o", "%save"},
        "del get_ipython().history_manager.store_output": {"the history's database"},
        "del get_ipython().logger.log_write": {"%logstart -o"},
    },
    "terminal": {
        "import sys; del sys.stdout.buffer.write": {"print", "a thread at the prompt"},
        "import sys; del sys.stderr.buffer.write": {"stderr", "logging"},
        "from IPython.core import page\npage.pager_page = page.pager_page.original": {"a pager"},
        "import pydoc; pydoc.pager = pydoc.pager.original": {"help's pager"},
    },
}
"""What takes a layer away, and where the key is then to be read."""


@pytest.mark.slow
@pytest.mark.parametrize("xmode", XMODES)
@pytest.mark.parametrize("place", RUNNERS)
def test_no_sink_shows_the_key_of_a_session(environment, sandbox, place, xmode, record_property):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    leaks = RUNNERS[place](SIGN_IN, sandbox.keys.pat, xmode)
    count = f"{len(leaks)} sinks, {sum(leaks.values())} leaks"
    record_property(SUMMARY, f"{place}, {xmode}: {count}")
    assert [name for name, leaked in leaks.items() if leaked] == []


@pytest.mark.slow
@pytest.mark.parametrize("place", RUNNERS)
def test_the_same_sinks_show_a_key_that_is_not_guarded(environment, sandbox, place):
    environment(PAT=sandbox.keys.pat)
    leaks = RUNNERS[place](BY_HAND, sandbox.keys.pat, "Verbose")
    assert [name for name in CELLS if not leaks[name]] == []


@pytest.mark.parametrize("option", ["guard", "no guard"])
def test_a_session_of_connect_is_guarded_like_a_magics(environment, sandbox, option):
    """Unless the notebook has turned the guard off."""
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    off = "%load_ext clarifai_magic\n%config ClarifaiMagics.guard = False\n"
    with kernel() as running:
        running.seen((off if option == "no guard" else "") + BY_HAND)
        running.seen("import clarifai_magic; session = clarifai_magic.connect()")
        shown = running.seen("print(key)")
        assert (recovered(shown, sandbox.keys.pat) > MOST) == (option == "no guard")
        running.seen("session.close()")
        assert recovered(running.seen("print(key)"), sandbox.keys.pat) > MOST


@pytest.mark.slow
@pytest.mark.parametrize("where", MATRICES)
def test_no_form_in_any_place_gives_more_than_a_quarter_away(
    environment, sandbox, where, tmp_path, record_property
):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    matrix = MATRICES[where](SIGN_IN, sandbox.keys.pat, tmp_path)
    most = max(max(forms.values()) for forms in matrix.values())
    record_property(SUMMARY, f"{where}: {len(matrix)} places, at most {most} of 32 characters")
    assert {place: forms for place, forms in matrix.items() if forms[ALL] > MOST} == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "sabotage"), [(where, each) for where, layers in WITHOUT.items() for each in layers]
)
def test_without_a_layer_its_places_show_the_key(environment, sandbox, where, sabotage, tmp_path):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    places = WITHOUT[where][sabotage]
    matrix = MATRICES[where](SIGN_IN, sandbox.keys.pat, tmp_path, sabotage=sabotage, only=places)
    assert places <= {p for p, forms in matrix.items() if forms[ALL] > MOST}
