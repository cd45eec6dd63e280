"""Every fault of the table gives its error: short, without a key, in time, and as documented."""

from __future__ import annotations

import pytest
from faults import FAULTS, KEY_SHAPED, PAGE, page


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=pytest.mark.slow if fault.base == "silent" else ())
        for fault in FAULTS
    ],
    ids=lambda fault: fault.title,
)
def test_a_fault_is_told_in_few_words_with_what_to_do(fault):
    error = fault.provoke()
    assert error.code == fault.code
    shown = "".join(error._render_traceback_()).split("\n")
    assert len(shown) == 2
    assert shown[1].startswith("→ ")
    assert KEY_SHAPED[:16] not in "".join(shown)


@pytest.mark.slow
def test_the_page_on_troubleshooting_is_true():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_can_be_found_by_what_clarifai_says():
    text = PAGE.read_text(encoding="utf-8")
    for said in ("API key not found", "11009", "Invalid request"):
        assert said in text
