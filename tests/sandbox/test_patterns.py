"""Strings made of patterns: the pattern is found in them, and no pattern takes long."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from clarifai_magic.sandbox.patterns import matching

PIECES = (
    *("a", "Z", "7", ".", r"\.", r"\d", r"\W", r"\S", "[a-f]", "[^a-z]", "[^\\W_]", r"[\D\s]", "é"),
    *("^", "$", r"\A", r"\Z", r"\b", "(?i:B)", "(?=a)", r"(a)\1", "(?>ab|a)", "a*+"),
)
patterns = st.recursive(
    st.sampled_from(PIECES),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})")
        | st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+?", "{2,3}", "?", "{4}"]))
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(patterns, st.integers(0, 9), st.integers(0, 40))
@example("(?i)[^a]", 0, 9)
def test_a_pattern_is_found_in_its_string(pattern: str, least: int, most: int):
    made = None
    with contextlib.suppress(ValueError):
        made = matching(pattern, least, most)
        assert least <= len(made) <= most
        assert re.search(pattern, made)
    event("refused" if made is None else "made")


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("", ""),
        (r"^\d{4}-\d{2}$", "0000-00"),
        (r"^(?:GET|PUT) /[\w-]+$", "GET /-"),
        ("[^a-z0-9]", "!"),
        ("^(a+)+$", "a"),
        ("(x+x+)+y", "xxy"),
        ("(a?){50}a{50}b", "a" * 50 + "b"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a.Aa"),
    ],
)
def test_the_shortest_string_is_made_at_once(pattern: str, made: str):
    assert matching(pattern, 0, 100) == made


@pytest.mark.parametrize(
    "pattern",
    ["(", "a{9999999999}", "((((a{99}){99}){99}){99})", "(){4000000000}a{101}", r"[^\w\W]", "a^"],
)
def test_a_pattern_for_which_there_is_no_string_is_refused(pattern: str):
    with pytest.raises(ValueError, match="pattern"):
        matching(pattern, 0, 100)


def test_a_string_is_lengthened_where_the_pattern_lets_it_be():
    assert matching("b", 3, 3) == "b.."
    assert matching("b$", 3, 3) == "..b"
    with pytest.raises(ValueError, match="pattern"):
        matching("^b$", 3, 3)
