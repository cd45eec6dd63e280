"""git's history: what was deleted long ago is found, and the commit is named that brought it."""

from __future__ import annotations

import subprocess

import pytest
from support import CANARY

from clarifai_magic.audit.auditing import Scope, audit
from clarifai_magic.audit.findings import Problem


@pytest.fixture
def git(tmp_path):
    def git(*words):
        name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init", "-q")
    return git


def committed(git, folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git("add", "-A")
    git("commit", "-qm", "x")
    return git("rev-parse", "HEAD")


def test_a_key_that_was_deleted_is_found_in_the_commit_that_brought_it(git, tmp_path):
    committed(git, tmp_path, a="x = 1")
    first = committed(git, tmp_path, a=f"PAT = '{CANARY}'")
    committed(git, tmp_path, b="x = 1")
    committed(git, tmp_path, a="PAT = ''")
    assert list(audit(Scope((tmp_path,)))) == []
    (finding,) = audit(Scope((tmp_path,), history=True))
    assert (finding.file, finding.commit, finding.line) == ("a.py", first, 1)
    assert first[:12] in str(finding)


def test_other_branches_and_what_was_reset_are_searched(git, tmp_path):
    committed(git, tmp_path, a="x = 1")
    git("checkout", "-qb", "other")
    branch = committed(git, tmp_path, b=f"PAT = '{CANARY}'")
    git("checkout", "-q", "-")
    reset = committed(git, tmp_path, c=f"MY_PAT = '{CANARY}'")
    git("reset", "-q", "--hard", "HEAD~")
    found = list(audit(Scope((tmp_path,), history=True)))
    assert {(each.file, each.commit) for each in found} == {("b.py", branch), ("c.py", reset)}


def test_in_another_repositorys_hook_it_is_this_ones_history(git, tmp_path, monkeypatch):
    committed(git, tmp_path, a=f"PAT = '{CANARY}'")
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", other], check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    (finding,) = audit(Scope((tmp_path,), history=True))
    assert finding.file == "a.py"


def test_a_folder_without_history_is_named(tmp_path):
    (problem,) = audit(Scope((tmp_path,), history=True))
    assert isinstance(problem, Problem)
    assert "no history" in problem.reason


def test_what_a_commit_and_a_tag_say_is_searched(git, tmp_path):
    committed(git, tmp_path, a="x = 1")
    git("commit", "-q", "--allow-empty", "-m", f"Sign in\n\nwith CLARIFAI_PAT={CANARY}")
    said = git("rev-parse", "HEAD")
    git("tag", "-a", "v1", "-m", f"The PAT: {CANARY}")
    committed(git, tmp_path, a="x = 2")
    found = {(each.file, each.commit) for each in audit(Scope((tmp_path,), history=True))}
    assert found == {("a commit's message", said), ("v1", "")}
