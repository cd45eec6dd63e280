"""The form where pages come, go, or draw no widgets: in JupyterLab, in Chromium."""

from __future__ import annotations

import json

import pytest
from conftest import LAB
from jupyter import PATIENCE, Opened, jupyter
from playwright.sync_api import expect

SHOW = "%load_ext clarifai_magic\n%clarifai_auth"
UNSEEN = "The Clarifai sign-in form did not appear. Run %clarifai_auth --from prompt instead"


@pytest.fixture(scope="module")
def without_widgets(tmp_path_factory, sandbox):
    """A server whose JupyterLab draws no widgets."""
    home = tmp_path_factory.mktemp("jupyter") / "home"
    page = home / "config" / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    disabled = {"@jupyter-widgets/jupyterlab-manager": True}
    page.write_text(json.dumps({"disabledExtensions": disabled}))
    with jupyter(home, sandbox.base) as running:
        yield running


def test_a_page_loaded_again_has_the_form_and_then_what_is_left_of_it(open_notebook, sandbox):
    page = open_notebook(SHOW, front_end=LAB)
    page.run()
    page.form.wait_for()
    page.saved()
    page.page.reload()
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob · PAT from the form · app attic")
    page.page.reload()
    page.says("Signed in as bob")
    assert page.form.count() == 0


def test_a_choice_is_still_open_on_a_page_loaded_again(open_notebook, sandbox):
    page = open_notebook(SHOW, front_end=LAB)
    page.run()
    page.sign_in(sandbox.keys.pat)
    page.field("App").wait_for()
    page.saved()
    page.page.reload()
    page.field("App").select_option("recipes")
    page.button("Use this app").click()
    page.says("Signed in as alice · PAT from the form · app recipes")


def in_two_tabs(open_notebook):
    first = open_notebook(SHOW, front_end=LAB)
    first.run()
    first.form.wait_for()
    first.saved()
    second = open_notebook(file=first.file, front_end=LAB)
    return first, second


def test_either_of_two_tabs_signs_in_and_both_say_so(open_notebook, sandbox):
    first, second = in_two_tabs(open_notebook)
    second.sign_in(sandbox.keys.other_pat)
    second.says("Signed in as bob")
    first.says("Signed in as bob")
    assert first.form.count() + second.form.count() == 0


def test_what_one_tab_looks_for_leaves_the_others_choice_alone(open_notebook, sandbox):
    first, second = in_two_tabs(open_notebook)
    second.sign_in(sandbox.keys.pat)
    first.field("Owner").select_option("acme")
    first.form.locator("option", has_text="press").wait_for(state="attached")
    second.button("Use this app").click()
    for page in (first, second):
        page.says("Signed in as alice · PAT from the form · app main")


def test_where_the_form_was_cleared_away_the_names_say_how_to_get_another(open_notebook):
    page = open_notebook(SHOW, "stub.ListModels", front_end=LAB)
    page.run()
    page.form.wait_for()
    page.run(2)
    page.says("Not signed in yet: fill in the form above, then run this cell again.")
    page.page.locator(".jp-CodeCell").first.locator(".jp-InputPrompt").click()
    page.page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.page.get_by_role("menuitem", name="Clear Cell Output", exact=True).click()
    expect(page.form).to_have_count(0)
    page.run(2)
    page.says("Not signed in yet: run %clarifai_auth again, then run this cell again.")


ASKS = """
def ask(_button):
    place.children = [clarifai_magic.login_form().widget]

button = ipywidgets.Button(description="Sign in here")
button.on_click(ask)
place = ipywidgets.VBox([button])
place"""


def test_a_button_can_ask_for_a_sign_in(open_notebook, sandbox):
    page = open_notebook("import clarifai_magic, ipywidgets" + ASKS, front_end=LAB)
    page.run()
    page.page.get_by_role("button", name="Sign in here").click()
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob · PAT from the form · app attic")


MAKE = "%load_ext clarifai_magic\nimport clarifai_magic, ipywidgets\nform = clarifai_magic.login_form()"
IN_A_WIDGET = "place = ipywidgets.Output()\nwith place:\n    display(form)\nplace"


def in_a_widget(page):
    page.run(2)


def in_a_cell_that_is_moved(page):
    page.run(3)
    page.form.wait_for()
    page.page.locator(".jp-CodeCell").nth(2).locator(".jp-InputPrompt").click()
    page.page.keyboard.press("Control+Shift+ArrowUp")
    expect(page.page.locator(".jp-CodeCell").nth(1)).to_contain_text("form")
    expect(page.output(3)).to_have_count(0)


def shown_again_and_loaded_again(page):
    for _ in "ab":
        page.run(3)
        page.form.wait_for()
    page.saved()
    page.page.reload()


@pytest.mark.parametrize(
    "show", [in_a_widget, in_a_cell_that_is_moved, shown_again_and_loaded_again]
)
def test_what_is_left_is_seen_wherever_the_form_was(open_notebook, sandbox, show):
    page = open_notebook(MAKE, IN_A_WIDGET, "form", front_end=LAB)
    page.run()
    show(page)
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob · PAT from the form · app attic")
    assert page.form.count() == 0


def test_a_form_out_of_sight_is_none_that_nobody_draws(open_notebook):
    page = open_notebook(SHOW, *["print('below\\n' * 9)"] * 40, front_end=LAB)
    page.page.get_by_role("menuitem", name="Run", exact=True).click()
    page.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(page.form).to_be_attached(timeout=PATIENCE)
    expect(page.form).not_to_be_in_viewport()


def test_where_no_widget_is_drawn_a_line_says_what_works_there(without_widgets, browser, sandbox):
    file = without_widgets.notebook("n", SHOW, "USER_ID + ' alone'", "%clarifai_auth --from prompt")
    tab = browser.new_page()
    page = Opened(tab, f"{without_widgets.url}/{LAB.format(page='n', file=file.name)}", file)
    page.run()
    page.says(UNSEEN)
    page.run(2)
    page.says("Not signed in yet: run %clarifai_auth --from prompt, then run this cell again.")
    page.run(3, ends=False)
    page.answer(sandbox.keys.other_pat)
    page.says("Signed in as bob · PAT from the prompt · app attic")
    page.run(2)
    page.says("bob alone")
    page.says("This Clarifai sign-in form is closed")
    assert sandbox.keys.other_pat not in page.saved()
    tab.close()
