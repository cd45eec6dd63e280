"""Acting on a module when others import it: once, after its code, whoever imports it."""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarifai_magic.importing import when_imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that nobody has imported."""
    name = "imported_later"
    (tmp_path / f"{name}.py").write_text("value = 'its own'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    yield name
    sys.modules.pop(name, None)
    assert sys.meta_path == finders


def test_a_module_is_changed_once_its_code_has_run(module):
    seen = []
    when_imported(module, lambda each: seen.append(each.value) or setattr(each, "value", "ours"))
    assert not seen
    assert importlib.import_module(module).value == "ours"
    assert seen == ["its own"]


def test_a_module_that_is_imported_already_is_changed_at_once(module):
    present = importlib.import_module(module)
    when_imported(module, lambda each: setattr(each, "value", "ours"))
    assert present.value == "ours"


def test_all_who_wait_for_a_module_see_it(module):
    seen = []
    for who in "abc":
        when_imported(module, lambda _module, who=who: seen.append(who))
    importlib.import_module(module)
    assert sorted(seen) == ["a", "b", "c"]


def test_it_stays_a_module_like_others(module):
    when_imported(module, lambda _module: None)
    found = importlib.import_module(module)
    assert importlib.reload(found) is found
    assert found.__spec__.loader.get_source(module) == "value = 'its own'\n"


def test_a_module_that_another_thread_is_importing_is_not_missed(module):
    with ThreadPoolExecutor(8) as threads:
        for _ in range(200):
            sys.modules.pop(module, None)
            seen = []
            waits = threads.submit(when_imported, module, seen.append)
            imports = [threads.submit(importlib.import_module, module) for _ in range(2)]
            waits.result()
            assert len({id(each.result()) for each in imports}) == 1
            assert len(seen) == 1


def test_what_is_raised_reaches_who_imports_it_and_nothing_is_left(module):
    def act(_module):
        raise ValueError

    when_imported(module, act)
    with pytest.raises(ValueError, match="^$"):
        importlib.import_module(module)
    assert importlib.import_module(module).value == "its own"
