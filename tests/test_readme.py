"""What README and documentation say: every block of code runs, every target and file is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

named = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

# One page's blocks use the package openai, too.
runnable = pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.dev] if page.name == "other-clients.md" else [])
        for page in PAGES
    ],
    ids=lambda page: page.name,
)


@pytest.mark.slow
@runnable
def test_every_block_of_python_runs(page, shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth --as work")
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        shell.run(block)


@named
def test_every_block_for_the_command_line_is_one(page):
    for line in re.findall(
        r"^    (export \S+|make \S+|pip .*)", page.read_text("utf-8"), re.MULTILINE
    ):
        command, argument = line.split()[:2]
        if command == "make":
            assert argument in TARGETS
        else:
            subprocess.run(["bash", "-n", "-c", line], check=True)


@named
def test_every_link_to_a_file_leads_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)|src=\"([^\":]+)\"", text):
        path = "".join(target)
        notebook = ROOT / "notebooks" / path.removeprefix("notebooks/")
        assert (page.parent / path).exists() or notebook.exists(), path


def test_the_readme_names_every_action_and_option_of_the_magic(shell):
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = shell.run("%clarifai_auth help").partition("options:")[2]
    for option in re.findall(r"--[a-z-]+", shown):
        assert option == "--help" or option in readme
