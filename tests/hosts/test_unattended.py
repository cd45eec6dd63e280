"""What runs notebooks with nobody at them: a key from the environment, or an error at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version

import nbformat
import pytest
from extensions import add_kernel, load_only
from jupyter import jupyter
from support import SUMMARY

SIGN_IN = "%load_ext clarifai_magic\n%clarifai_auth"
PRY = "print(clarifai_session.broker.token, metadata, USER_ID)\nopen('token', 'w').write(clarifai_session.broker.token)"
RUNNERS = {
    "papermill": ["papermill", "in.ipynb", "out.ipynb", "--log-output", "--log-level=DEBUG"],
    "nbclient": ["jupyter", "execute", "in.ipynb", "--output=out.ipynb"],
}


@pytest.fixture
def notebook(tmp_path):
    """A folder with a notebook that signs in and pries."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SIGN_IN, PRY)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "in.ipynb")
    return tmp_path


def execute(runner, folder):
    command, *arguments = RUNNERS[runner]
    module = ["-m", command] if command == "papermill" else ["-m", "jupyter_core"]
    return subprocess.run(
        [sys.executable, *module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def secrets_in(folder, sandbox, shown):
    """The keys, and the session's token, in all that was shown and in every file."""
    secrets = {key.encode() for key in vars(sandbox.keys).values()}
    token = folder / "token"
    if token.exists():
        secrets.add(token.read_bytes())
        token.unlink()
    kept = shown.encode() + b"".join(
        file.read_bytes() for file in folder.rglob("*") if file.is_file()
    )
    return [secret for secret in secrets if secret in kept]


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_environments_key_signs_in(runner, notebook, sandbox, environment, record_property):
    record_property(SUMMARY, f"hosts: {runner} {version(runner)}")
    environment(PAT=sandbox.keys.other_pat)
    done = execute(runner, notebook)
    assert done.returncode == 0, done.stderr
    written = (notebook / "out.ipynb").read_text()
    assert "Signed in as bob · PAT from CLARIFAI_PAT" in written
    assert "[clarifai key] (('authorization', [clarifai key]),) bob" in written
    assert secrets_in(notebook, sandbox, done.stdout + done.stderr) == []


@pytest.mark.parametrize("runner", RUNNERS)
def test_without_a_key_it_fails_at_once_and_says_why(runner, notebook, environment):
    environment()
    done = execute(runner, notebook)
    assert done.returncode != 0
    assert "No Clarifai key was found" in done.stderr
    assert "Set CLARIFAI_PAT (or CLARIFAI_API_KEY) in the environment." in done.stderr


def test_jupyter_scheduler_runs_a_notebook(sandbox, tmp_path_factory, record_property):
    record_property(SUMMARY, f"hosts: jupyter-scheduler {version('jupyter-scheduler')}")
    home = load_only(tmp_path_factory.mktemp("jupyter") / "home", "jupyter_scheduler")
    add_kernel(home, "keyed", {"CLARIFAI_PAT": sandbox.keys.other_pat})
    with jupyter(home, sandbox.base) as server:
        server.notebook("in", SIGN_IN, PRY)
        file = server.root / "work/in.ipynb"
        file.write_text(file.read_text().replace('"python3"', '"keyed"'))

        def ask(path: str, values: object = None) -> object:
            data = json.dumps(values).encode() if values else None
            with urllib.request.urlopen(f"{server.url}/scheduler/{path}", data) as answer:
                return json.load(answer)

        [runtime, *_] = ask("runtime_environments")
        job = ask(
            "jobs",
            {
                "name": "sign in",
                "input_uri": "in.ipynb",
                "output_formats": ["ipynb"],
                "runtime_environment_name": runtime["name"],
            },
        )
        deadline = time.monotonic() + 300
        while (state := ask(f"jobs/{job['job_id']}"))["status"] not in {"COMPLETED", "FAILED"}:
            assert time.monotonic() < deadline
            time.sleep(0.2)  # between two questions
    assert state["status"] == "COMPLETED", state["status_message"]
    (home / "data/kernels/keyed/kernel.json").unlink()
    [written] = [
        file.read_text() for file in home.rglob("*.ipynb") if "Signed in as" in file.read_text()
    ]
    assert "Signed in as bob · PAT from CLARIFAI_PAT" in written
    assert secrets_in(home, sandbox, json.dumps(state)) == []
