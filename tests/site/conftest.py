"""The built site, served to a browser."""

from __future__ import annotations

import pytest
from jupyter import ARGUMENTS, CHROMIUM
from visiting import PAGES, SITE, Reader, served


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems():
    if not PAGES:
        raise pytest.UsageError(f"{SITE} is empty: make docs builds the site, then tests it.")


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site():
    with served(SITE) as address:
        yield address


@pytest.fixture(scope="session")
def reader(browser, site):
    reading = Reader(browser, site)
    yield reading
    reading.context.close()


@pytest.fixture(scope="session")
def visits(reader):
    """What there is on each page, by its address."""
    return {reader.site + name: reader.visit(name) for name in PAGES}
