"""What is given to strangers: the same bytes from every clone, and a wheel that signs in where it is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from support import sandbox_process

pytestmark = [pytest.mark.dev, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
SIGN_IN = """
%load_ext clarifai_magic
%clarifai_auth
print(stub.MyScopes(service_pb2.MyScopesRequest()).scopes)
%clarifai_auth logout
"""


PINS = {
    "Colab": ROOT / "tests/colab/constraints.txt",
    "Kaggle": ROOT / "tests/pins/kaggle.txt",
    "JupyterHub": ROOT / "tests/pins/jupyterhub.txt",
}
"""What hosts of notebooks ship."""


def build(source: Path, folder: Path, **options) -> list[Path]:
    """Build the sdist, and from it the wheel, as `make dist` does."""
    command = [sys.executable, "-m", "build", "--outdir", folder, source]
    subprocess.run(command, check=True, capture_output=True, **options)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> list[Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    [built] = (each for each in dist if each.suffix == ".whl")
    return built


def test_another_clone_builds_the_same_bytes(dist, tmp_path):
    unlike = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "build", "dist", "__pycache__")
    clone = shutil.copytree(ROOT, tmp_path / "elsewhere", ignore=unlike)
    for path in clone.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    environment = os.environ | {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
    again = build(clone, tmp_path / "dist", env=environment, umask=0o077)
    assert [each.name for each in again] == [each.name for each in dist]
    assert [each.read_bytes() for each in again] == [each.read_bytes() for each in dist]


@pytest.mark.parametrize("host", PINS)
def test_what_a_host_of_notebooks_ships_can_stay_as_it_is(host, wheel, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--quiet", "--report", tmp_path / "report.json", "-c", PINS[host], wheel]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    shipped = dict(re.findall(r"^([\w.-]+)==(\S+)", PINS[host].read_text("utf-8"), re.MULTILINE))
    found = {
        each["metadata"]["name"].lower(): each["metadata"]["version"] for each in report["install"]
    }
    assert found["clarifai-magic"]
    kept = found.keys() & shipped.keys()
    assert {name: found[name] for name in kept} == {name: shipped[name] for name in kept}


def test_the_wheel_is_small_and_has_what_it_needs_and_nothing_else(wheel):
    assert wheel.stat().st_size < 450_000
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "py.typed",
        "notebook/form/form.js",
        "notebook/form/form.css",
        "notebook/snippets/snippet.sh.jinja",
    ):
        assert f"clarifai_magic/{needed}" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"clarifai_magic"}
    assert any(name.endswith("LICENSE") for name in names)


def test_in_a_bare_environment_it_installs_and_signs_in(wheel, tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare)
    command = [sys.executable, "-m", "pip", "--python", bare / "bin/python", "install", "--quiet"]
    subprocess.run([*command, "--no-compile", wheel], check=True, capture_output=True)
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
            timeout=180,
        )
    assert "Signed in as alice" in ran.stdout, ran.stdout + ran.stderr
    assert "['All']" in ran.stdout
    assert "Signed out." in ran.stdout
    assert variables["CLARIFAI_PAT"] not in ran.stdout + ran.stderr
