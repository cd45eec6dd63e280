"""Signing in under Colab's kernel and shell: the secrets, and what is said when there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernel import FRAGMENTS, LOAD, run

pytestmark = pytest.mark.slow

COLAB = ["--IPKernelApp.kernel_class=google.colab._kernel.Kernel"]


@pytest.fixture
def secrets(monkeypatch, tmp_path):
    """Write Colab's secrets; the kernels find the stand-in for Colab's package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "standin"))
    file = tmp_path / "secrets.json"
    monkeypatch.setenv("COLAB_STANDIN", str(file))

    def write(**values: str | list[str]) -> Path:
        file.write_text(json.dumps(values))
        return file.with_suffix(".asked")

    return write


def test_colabs_secret_signs_in_and_fragments_run(secrets, environment, sandbox):
    environment()
    asked = secrets(CLARIFAI_PAT=sandbox.keys.pat, CLARIFAI_APP_ID="main")
    signed_in, again, *results = run(
        f"{LOAD}\n%clarifai_auth", "%clarifai_auth", *FRAGMENTS, kernel_arguments=COLAB
    )
    assert signed_in.startswith("Signed in as alice · PAT from CLARIFAI_PAT in Colab's secrets")
    assert again == signed_in
    assert results == ["puppy\n", "SUCCESS Charlie\n", "main\n"]
    assert asked.read_text().split().count("CLARIFAI_PAT") == 2


def test_a_denial_is_remembered_over_a_reload(secrets):
    asked = secrets(CLARIFAI_PAT=["NotebookAccessError"])
    _, first, _, second = run(
        LOAD,
        "%clarifai_auth",
        "%reload_ext clarifai_magic",
        "%clarifai_auth",
        allow_errors=True,
        kernel_arguments=COLAB,
    )
    for error in (first, second):
        assert "this notebook has no access to CLARIFAI_PAT: see the key icon" in error
    assert asked.read_text().split().count("CLARIFAI_PAT") == 1


def test_the_package_in_an_ordinary_kernel_is_not_colab(secrets):
    asked = secrets(CLARIFAI_PAT="0" * 32)
    _, error = run(LOAD, "%clarifai_auth", allow_errors=True)
    assert "not Google Colab" in error
    assert not asked.exists()
