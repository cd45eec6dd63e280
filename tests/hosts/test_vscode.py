"""The form with VS Code's own bundle of ipywidgets, in Chromium, with a real kernel."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from extensions import add_kernel, load_only
from jupyter import jupyter
from support import SUMMARY
from vscode_page import VSCode, assembled

SHOW = "%load_ext clarifai_magic\n%clarifai_auth"
KERNELS = {"7": "ipywidgets7", "8": "python3"}
"""By the version of ipywidgets: VS Code has a bundle for each."""

COLOURS = """() => {
  const style = (selector) => getComputedStyle(document.querySelector(selector));
  const probe = document.createElement("i");
  document.body.append(probe);
  const named = (name) => {
    probe.style.color = `var(--vscode-${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["editor-background", "foreground", "textLink-foreground", "button-background",
                 "button-foreground"];
  return {
    theme: Object.fromEntries(names.map((name) => [name, named(name)])),
    card: style(".clarifai-card").backgroundColor,
    around: style(".clarifai-form").backgroundColor,
    title: style(".clarifai-title").color,
    field: style(".clarifai-form input").color,
    link: style(".clarifai-form a").color,
    button: style(".clarifai-submit").backgroundColor,
    "on the button": style(".clarifai-submit").color,
  };
}"""


def keyless(page, sandbox):
    """No key is on the page, in its outputs or in what its storage keeps."""
    shown = page.page.content() + json.dumps(page.outputs())
    shown += page.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    for key in vars(sandbox.keys).values():
        assert key not in shown


@pytest.fixture(scope="module")
def ipywidgets7(request):
    """A folder with ipywidgets 7, which goes before 8 on a kernel's path."""
    folder = request.config.cache.mkdir("ipywidgets7")
    if not any(folder.iterdir()):
        packages = ["--no-deps", "ipywidgets>=7.7.1,<8", "ipython-genutils"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *packages]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def server(npm, ipywidgets7, tmp_path_factory, sandbox):
    static = tmp_path_factory.mktemp("static")
    assembled(npm, static / "vscode")
    home = load_only(tmp_path_factory.mktemp("jupyter") / "home", extra_static_paths=[str(static)])
    add_kernel(home, KERNELS["7"], {"PYTHONPATH": str(ipywidgets7)})
    with jupyter(home, sandbox.base) as running:
        yield running


@pytest.fixture
def vscode(server, browser, sandbox):
    pages = []

    def opened(**options):
        pages.append(browser.new_page(viewport={"width": 700, "height": 700}))
        return VSCode(pages[-1], f"{server.url}/static/vscode", **options)

    yield opened
    for page in pages:
        page.close()
    for key in vars(sandbox.keys).values():
        assert key not in (server.root / "log").read_text(errors="replace")


@pytest.mark.parametrize("version", ["7", "8"])
def test_the_form_signs_in_and_leaves_one_line(vscode, sandbox, npm, version, record_property):
    bundle = f"@vscode/jupyter-ipywidgets{version}"
    published = json.loads((npm / bundle / "package.json").read_text())["version"]
    record_property(SUMMARY, f"hosts: {bundle} {published}")
    page = vscode(ipywidgets=version, kernel=KERNELS[version])
    assert page.run("import ipywidgets; print('ipywidgets', ipywidgets.__version__)") == "ok"
    page.says(f"ipywidgets {version}.")
    assert page.run(SHOW) == "ok"
    page.sign_in(sandbox.keys.revoked_key)
    page.form.get_by_text("does not know this key").wait_for()
    page.sign_in(sandbox.keys.pat)
    page.form.get_by_text("Which app is this notebook about?").wait_for()
    page.field("App").select_option("main")
    page.button("Use this app").click()
    page.says("Signed in as alice · PAT from the form · app main")
    assert (
        page.run("print(len(stub.ListModels(service_pb2.ListModelsRequest()).models), USER_ID)")
        == "ok"
    )
    page.says("alice")
    last = [output for output in page.outputs() if "data" in output]
    assert [sorted(output["data"]) for output in last] == [["text/html", "text/plain"]]
    keyless(page, sandbox)


@pytest.mark.parametrize(
    ("theme", "background"), [("dark", "white"), ("light", "white"), ("dark", "bridged")]
)
def test_its_colours_are_the_themes(vscode, theme, background):
    page = vscode(theme=theme, background=background)
    page.run(SHOW)
    page.form.wait_for()
    colours = page.page.evaluate(COLOURS)
    theme = colours.pop("theme")
    assert colours == {
        "card": theme["editor-background"],
        "around": theme["editor-background"],
        "title": theme["foreground"],
        "field": theme["foreground"],
        "link": theme["textLink-foreground"],
        "button": theme["button-background"],
        "on the button": theme["button-foreground"],
    }


def test_without_a_view_a_line_leads_to_the_prompt_in_its_box(vscode, sandbox):
    page = vscode(broken="")
    page.run(SHOW)
    page.says("%clarifai_auth --from prompt")
    page.begin("%clarifai_auth --from prompt")
    box = page.page.get_by_label("Clarifai PAT or API key")
    assert box.get_attribute("type") == "password"
    box.fill(sandbox.keys.other_pat)
    box.press("Enter")
    page.says("Signed in as bob · PAT from the prompt")
    keyless(page, sandbox)
