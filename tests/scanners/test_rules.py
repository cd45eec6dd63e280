"""The rules for other scanners: made from one source, and better than what those know by themselves."""

from __future__ import annotations

import importlib.util

import pytest
import scanners
from scanners import RULES


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return scanners.compared(tmp_path_factory.mktemp("corpus"))


def test_the_audit_finds_all_and_nothing_else(figures):
    (found, leaks), (false, decoys) = figures["this audit"]
    assert found == leaks > 500
    assert false == 0 < decoys


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("kingfisher with our rule", "kingfisher"),
        ("detect-secrets with our plugin", "detect-secrets"),
        ("betterleaks with our rule", "betterleaks"),
    ],
)
def test_a_scanner_finds_more_with_our_rule_and_takes_less_for_a_key(figures, name, without):
    (found, leaks), (false, decoys) = figures[name]
    assert found > max(figures[without][0][0], leaks * 0.55)
    assert false < decoys * 0.06


def test_the_table_of_readme_is_what_is_measured(figures, pytestconfig):
    readme = (pytestconfig.rootpath / "README.md").read_text(encoding="utf-8")
    assert scanners.table(figures) in readme


def test_the_rules_are_those_that_are_made(tmp_path):
    spec = importlib.util.spec_from_file_location("make", RULES / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert {name: (RULES / name).read_text() for name in make.FILES} == {
        name: made() for name, made in make.FILES.items()
    }
