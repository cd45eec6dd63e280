"""The form as people use it: in JupyterLab and Notebook, in Chromium, against the sandbox."""

from __future__ import annotations

import json

import nbformat
from axe_core_python.sync_playwright import Axe
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from playwright.sync_api import expect

from clarifai_magic import Credentials, connect
from clarifai_magic.sandbox import Sandbox

SHOW = "%load_ext clarifai_magic\n%clarifai_auth"
MODELS = "print(len(stub.ListModels(service_pb2.ListModelsRequest()).models), USER_ID, APP_ID)"
HOSTILE = "<img src=x onerror=document.title='hacked'>"


def keyless(text: str, *keys: str) -> None:
    for key in keys:
        assert key not in text


def test_a_pat_signs_in_and_owner_and_app_are_chosen(open_notebook, front_end, sandbox):
    page = open_notebook(SHOW, MODELS, front_end=front_end)
    page.run()
    page.sign_in(sandbox.keys.pat)
    page.form.get_by_text("Which app is this notebook about?").wait_for()
    page.field("Owner").select_option("acme")
    page.form.locator("option", has_text="press").wait_for(state="attached")
    page.field("App").select_option("press")
    page.button("Use this app").click()
    page.says("Signed in as alice · PAT from the form · app acme/press · scopes All")
    page.run(2)
    page.says("acme press")
    keyless(page.saved(), sandbox.keys.pat)


def test_the_host_is_named_before_a_key_is_typed_unless_it_is_clarifais_own(open_notebook, sandbox):
    page = open_notebook(SHOW)
    page.run()
    page.form.get_by_text(f"Signs in to {sandbox.base.removeprefix('http://')}").wait_for()
    page.form.get_by_text("Advanced").click()
    base, place = page.field("API base URL"), page.form.locator(".clarifai-place")
    for typed, said in {
        "https://api.clarifai.com": "",
        "api.clarifai.com:443": "",
        "private.example.com:8443": "Signs in to private.example.com:8443",
        "http://localhost:8080": "Signs in to localhost:8080",
        "http://private.example.com": "Signs in to private.example.com, not encrypted: the key "
        "can be read on the way",
        "https://": "",
    }.items():
        base.fill(typed)
        expect(place).to_have_text(said)


def test_an_api_key_needs_no_choice(open_notebook, sandbox):
    page = open_notebook(SHOW, MODELS)
    page.run()
    page.field("PAT or API key").fill(sandbox.keys.api_key)
    page.button("Sign in").click()
    page.says("Signed in as alice · API key from the form · app main")


def test_no_phase_leaves_the_key_in_the_saved_notebook(open_notebook, front_end, sandbox):
    # The state of all widgets, digit by digit, so that the guard cannot help.
    state = "import ipywidgets; print(*str(ipywidgets.Widget.get_manager_state()), sep='|')"
    page = open_notebook(SHOW, state, front_end=front_end)
    page.run()
    page.form.wait_for()
    keyless(page.saved(), sandbox.keys.pat, sandbox.keys.revoked_key)
    page.field("PAT or API key").fill(sandbox.keys.pat)
    page.run(2)
    page.says("p|r|e|f|i|l|l|e|d")
    keyless(page.saved().replace("|", ""), sandbox.keys.pat)
    page.sign_in(sandbox.keys.revoked_key)
    page.form.get_by_text("does not know this key").wait_for()
    page.run(2)
    keyless(page.saved().replace("|", ""), sandbox.keys.revoked_key)
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob · PAT from the form · app attic")
    page.run(2)  # and the kernel has heard that the form is gone
    saved = page.saved()
    keyless(saved, sandbox.keys.other_pat)
    notebook = json.loads(saved)
    outputs = notebook["cells"][0]["outputs"]
    assert [sorted(output["data"]) for output in outputs] == [["text/html", "text/plain"]]
    widgets = notebook["metadata"].get("widgets", {}).values()
    assert "prefilled" not in str([view["state"] for view in widgets])


def test_a_wrong_key_and_then_the_right_one(open_notebook, sandbox):
    page = open_notebook(SHOW)
    page.run()
    page.sign_in(sandbox.keys.revoked_key)
    page.form.get_by_text("Copy the key again, or make a new one").wait_for()
    field = page.field("PAT or API key")
    assert field.input_value() == ""
    assert field.get_attribute("aria-invalid") == "true"
    page.sign_in("two words")
    page.form.get_by_text("Character 4 of the key is a space").wait_for()
    page.field("App ID").fill("attik")
    page.sign_in(sandbox.keys.other_pat)
    page.form.get_by_text("Did you mean 'attic'?").wait_for()
    page.field("App ID").fill("")
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob")


def test_a_slow_server_keeps_form_and_kernel_in_hand(open_notebook):
    with Sandbox(latency=1.0) as slow:
        page = open_notebook(SHOW, "print('the kernel', 'is free')")
        page.run()
        page.form.get_by_text("Advanced").click()
        page.field("API base URL").fill(slow.base)
        page.sign_in(slow.keys.other_pat)
        page.form.get_by_text("Checking the key…").wait_for()
        assert page.button("Sign in").is_disabled()
        page.run(2)
        page.says("the kernel is free")
        page.says("Signed in as bob")


def test_hundreds_of_apps_are_searched_and_paged(open_notebook, sandbox):
    page = open_notebook(SHOW)
    page.run()
    page.sign_in(sandbox.keys.carol_pat)
    page.form.get_by_text("The first 100 apps; there are more.").wait_for()
    page.button("More apps").click()
    page.form.get_by_text("The first 200 apps; there are more.").wait_for()
    page.field("Search apps").fill("app-25")
    page.form.get_by_text("10 apps.").wait_for()
    page.field("App").select_option("app-257")
    page.button("Use this app").click()
    page.says("Signed in as carol · PAT from the form · app app-257")


def test_names_from_the_server_are_text(open_notebook):
    with Sandbox() as sandbox:
        with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as session:
            apps = [resources_pb2.App(id=HOSTILE)]
            session.stub.PostApps(service_pb2.PostAppsRequest(apps=apps))
        page = open_notebook(SHOW)
        page.run()
        page.form.get_by_text("Advanced").click()
        page.field("API base URL").fill(sandbox.base)
        page.field("User ID").fill("bob<b>")
        page.sign_in(sandbox.keys.pat)
        page.form.get_by_text("'bob<b>'").wait_for()
        page.field("User ID").fill("")
        page.sign_in(sandbox.keys.pat)
        page.form.locator("option", has_text="<img").wait_for(state="attached")
        page.field("App").select_option(HOSTILE)
        page.button("Use this app").click()
        page.says("<img src=x")
        assert page.page.title() != "hacked"
        assert page.output().locator("img").count() == 0


def test_the_keyboard_is_enough(open_notebook, front_end, sandbox):
    page = open_notebook(SHOW, front_end=front_end)
    page.run()
    page.field("PAT or API key").focus()
    keyboard = page.page.keyboard
    keyboard.type(sandbox.keys.pat)
    keyboard.press("Enter")
    page.field("Owner").wait_for()
    page.page.wait_for_function("document.activeElement.tagName === 'SELECT'")
    keyboard.press("Tab")
    keyboard.type("r")
    keyboard.press("Enter")
    page.says("app recipes")


MOVING = """form => [...form.querySelectorAll("*")].some((each) => {
    const { animationName, transitionDuration } = getComputedStyle(each);
    return animationName !== "none" || transitionDuration !== "0s";
})"""
INSIDE = "form => form.scrollWidth <= form.clientWidth"


def test_a_line_that_sets_the_key_is_understood_and_a_password_manager_may_fill_the_field(
    open_notebook, sandbox
):
    page = open_notebook(SHOW)
    page.run()
    key = page.field("PAT or API key")
    assert key.get_attribute("autocomplete") == "current-password"
    assert key.evaluate("field => field.form") is None  # which it would be offered to be saved with
    page.sign_in("two words")
    page.form.get_by_text("Character 4 of the key is a space").wait_for()
    assert key.input_value() == ""
    page.sign_in(f'export CLARIFAI_PAT="{sandbox.keys.other_pat}"')
    page.says("Signed in as bob")


def test_the_form_fits_however_it_is_looked_at(open_notebook):
    page = open_notebook(SHOW)
    tab = page.page
    page.run()
    page.form.get_by_text("Advanced").click()
    assert not page.form.evaluate(MOVING)
    for width in (600, 400, 320):  # 1,200 and less at 200 %
        tab.set_viewport_size({"width": width, "height": 900})
        assert page.form.evaluate(INSIDE)
    tab.set_viewport_size({"width": 1200, "height": 900})
    tab.evaluate("document.documentElement.dir = 'rtl'")
    card, form = page.form.locator(".clarifai-card").bounding_box(), page.form.bounding_box()
    assert card["x"] + card["width"] > form["x"] + form["width"] - 10
    label, key = page.form.get_by_text("PAT or API key"), page.field("PAT or API key")
    assert label.bounding_box()["x"] < key.bounding_box()["x"]
    tab.emulate_media(forced_colors="active")
    page.button("Show key").click()
    for name in ("Show key", "Sign in"):
        colours = "each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]"
        assert page.button(name).evaluate(colours) == highlighted(tab)


def highlighted(tab) -> list[str]:
    """The system's colours of what is chosen."""
    return tab.evaluate(
        """() => {
            const probe = document.body.appendChild(document.createElement("p"));
            probe.style = "forced-color-adjust: none; color: HighlightText; background: Highlight";
            const { color, backgroundColor } = getComputedStyle(probe);
            probe.remove();
            return [color, backgroundColor];
        }"""
    )


def test_nothing_serious_is_found_by_axe(open_notebook, sandbox):
    axe = Axe()
    page = open_notebook(SHOW)

    def serious() -> list[str]:
        found = axe.run(page.page, context=".clarifai-form")["violations"]
        return [each["id"] for each in found if each["impact"] in {"serious", "critical"}]

    page.run()
    page.form.wait_for()
    page.form.get_by_text("Advanced").click()
    assert serious() == []
    page.sign_in(sandbox.keys.revoked_key)
    page.form.get_by_text("does not know this key").wait_for()
    assert serious() == []
    page.sign_in(sandbox.keys.carol_pat)
    page.form.get_by_text("there are more").wait_for()
    assert serious() == []


def test_a_saved_notebook_opened_again_shows_the_summary(open_notebook, front_end, sandbox):
    page = open_notebook(SHOW, front_end=front_end)
    page.run()
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob")
    page.saved()
    again = open_notebook(file=page.file, front_end=front_end)
    again.says("Signed in as bob · PAT from the form · app attic")
    assert again.form.count() == 0


def test_run_all_stops_where_it_should_and_goes_on_after_signing_in(open_notebook, sandbox):
    page = open_notebook(SHOW, MODELS, "print('behind')")
    page.page.get_by_role("menuitem", name="Run", exact=True).click()
    page.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.says("Not signed in yet: fill in the form above, then run this cell again.")
    assert page.output(2).count() == 1
    assert page.output(3).count() == 0
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob")
    page.run(2)
    page.says("bob attic")


def test_a_form_run_again_replaces_the_one_before(open_notebook, sandbox):
    page = open_notebook(SHOW, "%clarifai_auth")
    page.run()
    page.form.wait_for()
    page.run(2)
    page.says("This Clarifai sign-in form is closed")
    assert page.form.count() == 1
    page.sign_in(sandbox.keys.other_pat)
    page.says("Signed in as bob")


def test_a_form_whose_kernel_is_gone_says_so(open_notebook):
    page = open_notebook(SHOW, "import os; os._exit(1)")
    page.run()
    page.form.wait_for()
    page.run(2, ends=False)
    page.form.get_by_text("The kernel that this form belongs to is gone.").wait_for()
    assert page.button("Sign in").is_disabled()


def test_where_no_widget_can_be_shown_the_output_says_what_to_do(open_notebook, sandbox):
    page = open_notebook(SHOW)
    page.run()
    page.form.wait_for()
    outputs = nbformat.reads(page.saved(), as_version=4).cells[0].outputs
    assert "Not visible? Run %clarifai_auth --from prompt" in outputs[-1].data["text/plain"]
