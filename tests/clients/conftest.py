"""A sandbox in another process, so that this one has its key where a session keeps it, and no more."""

from __future__ import annotations

import pytest
from support import sandbox_with_keys


@pytest.fixture(scope="session")
def upstream():
    """The sandbox's base, and its keys."""
    with sandbox_with_keys() as running:
        yield running


@pytest.fixture
def signed_in(shell, upstream, monkeypatch):
    """A shell that is signed in, and exports both what Clarifai's and what OpenAI's clients read."""
    base, keys = upstream
    monkeypatch.setenv("CLARIFAI_PAT", keys.pat)
    monkeypatch.setenv("CLARIFAI_API_BASE", base)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it is fetched from elsewhere
    shell.run("%clarifai_auth --app-id main --export-env --export-openai")
    return shell
