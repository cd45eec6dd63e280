"""A browser, and what npm brings, for all hosts; a Jupyter server for those that need one."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter import ARGUMENTS, CHROMIUM
from support import installed_by_npm


@pytest.fixture(scope="module")  # its loop runs in this thread
def browser():
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def npm(request):
    """The folder node_modules of package.json."""
    manifest = Path(__file__).with_name("package.json")
    return installed_by_npm(manifest, request.config.cache.mkdir("hosts"))
