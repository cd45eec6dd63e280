"""The corpus: every leak is found, in every kind of file, and nothing else is taken for one."""

from __future__ import annotations

import base64
import random
import sysconfig
from pathlib import Path

import corpus
import pytest

from clarifai_magic.audit.auditing import Scope, audit
from clarifai_magic.audit.findings import Finding, Problem
from clarifai_magic.audit.reading import Reader
from clarifai_magic.audit.tokens import may_hold_key

LEAKS = list(corpus.leaks())
DECOYS = list(corpus.decoys())


def found(planted):
    return list(Reader().read(planted.file, planted.content))


def test_the_corpus_is_large_enough():
    assert len({(each.shape) for each in LEAKS}) >= 60
    assert len({(each.shape, each.place) for each in DECOYS}) >= 200
    assert len({each.key for each in LEAKS}) == len(LEAKS)


@pytest.mark.parametrize("place", sorted({each.place for each in LEAKS}))
def test_every_leak_is_found_and_its_key_is_not_told(place):
    for planted in LEAKS:
        if planted.place == place:
            findings = found(planted)
            assert {str.lower(each.key) for each in findings} == {planted.key}, planted.shape
            told = f"{findings} {[str(each) for each in findings]} {findings[0].known()}".lower()
            assert planted.key not in told, planted.shape


@pytest.mark.parametrize("place", sorted({each.place for each in DECOYS}))
def test_no_decoy_is_taken_for_a_key(place):
    assert [
        (each.shape, found(each)) for each in DECOYS if each.place == place and found(each)
    ] == []


@pytest.mark.slow
def test_the_standard_library_has_no_key():
    folder = Path(sysconfig.get_path("stdlib"))
    files = [each for each in sorted(folder.rglob("*.py")) if "site-packages" not in each.parts]
    suspects = [each for each in files if may_hold_key(each.read_bytes())]
    assert len(suspects) > 5
    assert [each for file in suspects for each in Reader().read(str(file), file.read_bytes())] == []


def test_the_project_itself_has_no_key(pytestconfig):
    found = audit(Scope((pytestconfig.rootpath,)))
    assert [str(each) for each in found if isinstance(each, Finding)] == []


@pytest.mark.slow
def test_all_of_it_is_found_in_a_folder_too(tmp_path):
    corpus.write(tmp_path)
    found = list(audit(Scope((tmp_path / "leaks",))))
    assert not [each for each in found if isinstance(each, Problem)]
    assert {Path(each.file).name for each in found} == {each.file for each in LEAKS}
    assert list(audit(Scope((tmp_path / "decoys",)))) == []


def test_many_keys_in_base64_are_each_found_once_and_soon():
    chance = random.Random(1)
    keys = [corpus.new_key(chance) for _ in range(300)]
    coded = [base64.b64encode(f"Key {key}".encode()).decode() for key in keys]
    text = "".join(f"authorization: {each}\n" for each in coded)
    found = list(Reader().read("a.yaml", text.encode()))
    assert [(str.__str__(each.key), each.line) for each in found] == [
        (key, line) for line, key in enumerate(keys, start=1)
    ]
