"""A browser, and what npm brings, for all hosts; a Jupyter server for those that need one."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter import chromium
from support import installed_by_npm


@pytest.fixture(scope="module")  # its loop runs in this thread
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def npm(request):
    """The folder node_modules of package.json."""
    manifest = Path(__file__).with_name("package.json")
    return installed_by_npm(manifest, request.config.cache.mkdir("hosts"))
