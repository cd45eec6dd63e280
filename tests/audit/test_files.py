"""Whatever a file is, it is searched as far as it can be, named if that is not all, and ends nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import corpus
import pytest
from support import CANARY

from clarifai_magic.audit import auditing
from clarifai_magic.audit.auditing import Scope, audit
from clarifai_magic.audit.findings import Finding, Problem

LEAK = f"PAT = '{CANARY}'\n"
CELLS = '{"cells": [%s], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
CODE = json.dumps(corpus.code(LEAK))


def with_number(number):
    return (CELLS % CODE).replace('"metadata": {},', f'"metadata": {{"x": {number}}},').encode()


BROKEN = {
    "no JSON": (LEAK.encode(), "is not JSON (line 1)"),
    "empty": (b"", "is not JSON"),
    "half a file": (corpus.notebook(LEAK)[:-40], "is not JSON"),
    "markers of a conflict": (b"<<<<<<< HEAD\n" + corpus.notebook(LEAK), "is not JSON"),
    "no cells": (json.dumps({"a": LEAK}).encode(), "has no cells"),
    "a list": (json.dumps([LEAK]).encode(), "has no cells"),
    "cells that are a number": (json.dumps({"cells": 1, "a": LEAK}).encode(), "has no cells"),
    "a cell that is a number": ((CELLS % f"1, {CODE}").encode(), "cell 1 is not a cell"),
    "a number of 5,000 digits": (with_number("1" * 5000), "a number of too many digits"),
    "NaN": (with_number("NaN"), "NaN is not a number"),
    "Latin-1": (corpus.notebook(f"# é\n{LEAK}").decode().encode("latin-1"), "is not UTF-8"),
    "nested too deep": (LEAK.encode() + b"[" * 100_000, "is not JSON"),
    "deep, but JSON": (b"[" * 100_000 + b"]" * 100_000, "is nested too deep"),
    "a BOM, which is one byte short": (b"\xef\xbb" + corpus.notebook(LEAK), "is not UTF-8"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "zz.py").write_text(LEAK)
    return tmp_path


def searched(*paths, **options):
    found = list(audit(Scope(paths, **options)))
    problems = {Path(each.file).name: each.reason for each in found if isinstance(each, Problem)}
    return {Path(each.file).name for each in found if isinstance(each, Finding)}, problems


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_notebook_is_named_and_searched_all_the_same(folder, content, words):
    (folder / "a.ipynb").write_bytes(content)
    found, problems = searched(folder)
    assert words in problems["a.ipynb"]
    assert found == {"zz.py"} | ({"a.ipynb"} if CANARY.encode() in content else set())


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + corpus.notebook(LEAK),
        corpus.notebook(LEAK).replace(b"\n", b"\r\n"),
        corpus.notebook(LEAK, [corpus.stream("\ud83d")]).replace(b"\xed\xa0\xbd", rb"\ud83d"),
        (
            CELLS % f'{CODE}, {{"cell_type": "raw", "source": 1, "metadata": {{"x": 1e999}}}}'
        ).encode(),
        (CELLS % f'{CODE}, {{"outputs": 1, "attachments": [1], "source": {{}}}}').encode(),
    ],
)
def test_what_is_unusual_is_no_problem(folder, content):
    (folder / "a.ipynb").write_bytes(content)
    assert searched(folder) == ({"zz.py", "a.ipynb"}, {})


def test_links_in_a_loop_folders_and_what_is_no_file_are_named(folder):
    (folder / "a.ipynb").symlink_to("b.ipynb")
    (folder / "b.ipynb").symlink_to("a.ipynb")
    (folder / "into").symlink_to(".")
    os.mkfifo(folder / "pipe.ipynb")
    found, problems = searched(folder, everything=True)
    assert found == {"zz.py"}
    assert problems.keys() == {"a.ipynb", "b.ipynb", "pipe.ipynb"}
    assert searched(folder / "none.ipynb", folder) == (
        {"zz.py"},
        {**searched(folder)[1], "none.ipynb": "it cannot be read: No such file or directory"},
    )


def test_what_may_not_be_read_is_named(folder):
    (folder / "a.ipynb").symlink_to("/proc/self/mem")  # which root may not either, at its start
    assert searched(folder) == ({"zz.py"}, {"a.ipynb": "it cannot be read: Input/output error"})


def test_a_file_too_large_to_be_read_at_once_is_searched_in_blocks(folder, monkeypatch):
    monkeypatch.setattr(auditing, "WHOLE", 1 << 20)
    monkeypatch.setattr(auditing, "_BLOCK", 1 << 16)
    line = b'"' + b"x" * 997 + b'",\n'
    with (folder / "a.ipynb").open("wb") as file:
        file.write(line * 1500 + LEAK.encode() + line * 1500)
    found = list(audit(Scope((folder / "a.ipynb",))))
    (problem,) = (each for each in found if isinstance(each, Problem))
    assert "3 MB; the audit searched it as text" in problem.reason
    (finding,) = (each for each in found if isinstance(each, Finding))
    assert finding.line == 1501


def test_a_key_at_the_seam_of_two_blocks_is_found(folder, monkeypatch):
    monkeypatch.setattr(auditing, "WHOLE", 1 << 16)
    monkeypatch.setattr(auditing, "_BLOCK", 1 << 14)
    for offset in range(0, 60, 7):
        (folder / "a.txt").write_bytes(b"-" * ((1 << 14) - offset) + LEAK.encode() + b"-" * 100_000)
        assert searched(folder)[0] == {"zz.py", "a.txt"}


def test_what_is_behind_the_bounds_is_told(folder, monkeypatch):
    monkeypatch.setattr(auditing, "WHOLE", 1 << 10)
    monkeypatch.setattr(auditing, "_BLOCK", 1 << 10)
    monkeypatch.setattr(auditing, "MOST", 1 << 12)
    (folder / "a.txt").write_bytes(b"-" * (1 << 13) + LEAK.encode())
    found = [str(each) for each in audit(Scope((folder / "a.txt",)))]
    assert any("was not searched" in each for each in found)
    monkeypatch.setattr(auditing, "SECONDS", -1)
    assert "it did not search the rest" in str(list(audit(Scope((folder,))))[-1])


@pytest.mark.parametrize("repository", [True, False])
def test_gitignore_is_honoured_unless_all_is_asked_for(folder, repository):
    if repository:
        subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / ".gitignore").write_text("*.env\nbuild/\n")
    (folder / "a.env").write_text(LEAK)
    (folder / "build").mkdir()
    (folder / "build" / "b.py").write_text(LEAK)
    (folder / "own").mkdir()
    (folder / "own" / ".gitignore").write_text("!c.env\n")
    (folder / "own" / "c.env").write_text(LEAK)
    assert searched(folder)[0] == {"zz.py", "c.env"}
    assert searched(folder / "own")[0] == {"c.env"}
    assert searched(folder, everything=True)[0] == {"zz.py", "a.env", "b.py", "c.env"}
    assert searched(folder / "a.env")[0] == {"a.env"}


def test_a_repository_within_another_is_searched(folder):
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "init", "-q", folder / "inner"], check=True)
    (folder / "inner" / "a b ü.py").write_text(LEAK)
    assert searched(folder)[0] == {"zz.py", "a b ü.py"}


def test_a_repository_starts_no_program_of_its_own(folder):
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(
        ["git", "config", "core.fsmonitor", f"touch {folder}/started"], cwd=folder, check=True
    )
    assert searched(folder)[0] == {"zz.py"}
    assert not (folder / "started").exists()


def test_a_program_that_is_audited_is_not_imported(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    (folder / "clarifai").mkdir()
    for name in ("__init__.py", "own.py"):
        (folder / "clarifai" / name).write_text(f"open({str(folder / 'imported')!r}, 'w')\n")
    (folder / "a.py").write_text(f"from clarifai.own import User\nUser('alice', '', '{CANARY}')")
    assert "a.py" in searched(folder)[0]
    assert not (folder / "imported").exists()


@pytest.mark.parametrize("name", ["a.py", "a.json", "a.txt", ".env", "A.YAML"])
def test_a_text_with_a_null_byte_is_searched(folder, name):
    (folder / name).write_bytes(f"\0\nPAT = '{CANARY}'\n".encode())
    assert searched(folder) == ({name, "zz.py"}, {})


@pytest.mark.parametrize(
    ("text", "is_key"),
    [
        ("<clarifaiPat>{}</clarifaiPat>", True),
        ("<pat>\n  {}\n</pat>", True),
        ('<api-key app="main">{}</api-key>', True),
        ("<patch>{}</patch>", False),
        ("<commit>{}</commit>", False),
        ("<pat>none</pat><commit>{}</commit>", False),
        ("<pat>none</pat><revision>{}</revision>", False),
    ],
)
def test_the_name_of_an_element_tells_what_is_in_it(folder, text, is_key):
    (folder / "a.xml").write_text(text.format(CANARY))
    assert searched(folder)[0] == {"zz.py"} | ({"a.xml"} if is_key else set())


def test_pictures_and_programs_in_binary_are_left_out(folder):
    (folder / "a.bin").write_bytes(b"\0" + LEAK.encode())
    assert searched(folder)[0] == {"zz.py"}
    assert searched(folder / "a.bin")[0] == {"a.bin"}


WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("end", [b"", b"x", b"\x00\xd8", b"\xd8\x00"])
def test_a_text_of_wide_characters_is_searched_though_its_end_is_none(folder, encoding, end):
    (folder / "a.txt").write_bytes(f"\ufeffé {LEAK}".encode(encoding) + end)
    assert searched(folder) == ({"zz.py", "a.txt"}, {})


@pytest.mark.parametrize("encoding", WIDE)
def test_blocks_of_wide_characters_are_searched(folder, monkeypatch, encoding):
    monkeypatch.setattr(auditing, "WHOLE", 1 << 16)
    monkeypatch.setattr(auditing, "_BLOCK", 1 << 14)
    text = "\ufeff" + "é" * 9_001 + f"\n{LEAK}" + "-" * 30_000
    (folder / "a.txt").write_bytes(text.encode(encoding))
    found = list(audit(Scope((folder / "a.txt",))))
    assert [each.line for each in found if isinstance(each, Finding)] == [2]


KEYS = [corpus.new_key(random.Random(number)) for number in range(40)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "PATS = [\n{}]\n".format("".join(f"    '{key}',\n" for key in KEYS))),
        ("a.py", f"PATS = {KEYS}\n"),
        ("a.json", json.dumps({"clarifai": {"pats": KEYS}}, indent=2)),
        ("a.yaml", "pats:\n" + "".join(f"  - {key}\n" for key in KEYS)),
        ("a.md", "My PATs:\n\n" + "\n".join(f"* `{key}`" for key in KEYS)),
        ("a.txt", "PATs\n" + "\n".join(KEYS)),
    ],
)
def test_each_key_of_a_list_is_found_however_long_it_is(folder, name, text):
    (folder / name).write_text(text)
    found = list(audit(Scope((folder / name,))))
    assert [str.__str__(each.key) for each in found] == KEYS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "PAT, THING = '{}', '{}'"),
        ("a.csv", "pat,thing\n{},{}"),
        ("a.txt", "PAT={}\nTHING={}"),
        ("a.json", '{{"pat": "{}",\n"md5": "{}"}}'),
    ],
)
def test_what_has_a_name_of_its_own_is_in_no_list(folder, name, text):
    (folder / name).write_text(text.format(*KEYS))
    (found,) = audit(Scope((folder / name,)))
    assert str.__str__(found.key) == KEYS[0]


@pytest.mark.parametrize(
    "text",
    [
        "{}  clarifai_pat.py\n{}  data.bin\n{}  token.py\n",
        "{} *clarifai_auth.ipynb\r\n{} *data.bin\r\n{} *pat\r\n",
        "MD5 (clarifai_pat.py) = {}\nMD5 (data.bin) = {}\nMD5 (token.py) = {}\n",
        "assert md5('pat') == '{}'\nassert md5(clarifai_key) == '{}'",
        "key MD5: {}\nkey SHA256: {}",
        "https://conda.anaconda.org/conda-forge/noarch/clarifai-12.0-py.conda#{}",
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.ipynb"])
def test_a_file_s_name_says_nothing_of_its_digest(folder, name, text):
    text = text.format(*KEYS)
    content = (
        corpus.notebook("!sums", [corpus.stream(text)]) if name == "a.ipynb" else text.encode()
    )
    (folder / name).write_bytes(content)
    assert searched(folder / name) == (set(), {})


@pytest.mark.parametrize(
    "text",
    ["PAT:\n{}  alice\n", "{}  is my PAT\n", "assert get('CLARIFAI_PAT') == '{}'"],
)
def test_what_only_resembles_a_digest_s_line_is_a_key(folder, text):
    (folder / "a.txt").write_text(text.format(*KEYS))
    assert searched(folder / "a.txt") == ({"a.txt"}, {})


@pytest.mark.parametrize("text", ["{}", "{}\n", "'{}'\r\n"])
@pytest.mark.parametrize(
    ("name", "is_key"),
    [
        ("clarifai_pat", True),
        ("pat.txt", True),
        (".api-key", True),
        ("TOKEN.old", True),
        ("data.txt", False),
        ("cache_key.txt", False),
        ("clarifai_pat.py.md5", False),
        ("key.sha1", False),
        ("model_id", False),
    ],
)
def test_a_file_that_is_nothing_but_a_key_is_told_by_its_name(folder, name, is_key, text):
    (folder / name).write_text(text.format(CANARY))
    assert searched(folder / name)[0] == ({name} if is_key else set())
