"""What docs/dependencies.md says of packages and licences is what is installed."""

from __future__ import annotations

import re

import pytest
from dependencies import PAGE, page

pytestmark = pytest.mark.dev

ROW = re.compile(r"^\| (\**[\w.-]+\**) \| ([^|]*) \|", re.MULTILINE)


def test_the_table_of_dependencies_has_the_packages_own_and_each_ones_licence():
    written, installed = dict(ROW.findall(PAGE.read_text("utf-8"))), dict(ROW.findall(page()))
    own = {name for name in installed if name.startswith("**")}
    assert own <= set(written), "make dependencies"
    # What they bring in turn differs from release to release, and between versions of Python.
    both = set(written) & set(installed)
    assert {name: written[name] for name in both} == {name: installed[name] for name in both}
