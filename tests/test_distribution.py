"""What is given to strangers: the wheel, installed into a bare environment, signs in."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from support import sandbox_process

ROOT = Path(__file__).parents[1]
SIGN_IN = """
%load_ext clarifai_magic
%clarifai_auth
print(stub.MyScopes(service_pb2.MyScopesRequest()).scopes)
%clarifai_auth logout
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_is_small_and_has_what_it_needs_and_nothing_else(wheel):
    assert wheel.stat().st_size < 200_000
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("py.typed", "form/form.js", "form/form.css", "snippets/snippet.sh.jinja"):
        assert f"clarifai_magic/{needed}" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"clarifai_magic"}
    assert any(name.endswith("LICENSE") for name in names)


def test_in_a_bare_environment_it_installs_and_signs_in(wheel, tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=True)
    subprocess.run([bare / "bin/pip", "install", "--quiet", wheel], check=True, capture_output=True)
    script = tmp_path / "sign_in.ipy"
    script.write_text(SIGN_IN, encoding="utf-8")
    with sandbox_process() as variables:
        ran = subprocess.run(
            [bare / "bin/ipython", "--no-banner", "--colors=NoColor", script],
            check=False,
            env=os.environ | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert "Signed in as alice" in ran.stdout, ran.stdout + ran.stderr
    assert "['All']" in ran.stdout
    assert "Signed out." in ran.stdout
    assert variables["CLARIFAI_PAT"] not in ran.stdout + ran.stderr
