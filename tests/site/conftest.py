"""The built site, served to a browser."""

from __future__ import annotations

import pytest
from jupyter import chromium
from visiting import PAGES, SITE, Reader, served


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems():
    if not PAGES:
        raise pytest.UsageError(f"{SITE} is empty: make docs builds the site, then tests it.")


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


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
