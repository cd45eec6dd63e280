"""Masking: no key survives, nothing else changes, and what was JSON stays JSON."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CANARY

from clarifai_magic.masking import SHORTEST_PART, Masker
from clarifai_magic.secret import MASK

MASKER = Masker([CANARY])
ODD = 'odd"key\\with/every+thing=1%'
PARTS = [CANARY[:n] for n in range(SHORTEST_PART, len(CANARY) + 1)] + [
    CANARY[-n:] for n in range(SHORTEST_PART, len(CANARY))
]
texts = st.lists(st.one_of(st.text(), st.sampled_from([CANARY, f"Key {CANARY}"]))).map("".join)
documents = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
)


@given(documents)
def test_no_message_keeps_the_key_and_all_stay_json(document):
    packed = json.dumps(document).encode()
    masked = MASKER.json(packed)
    assert CANARY.encode() not in masked
    assert json.loads(masked) == json.loads(packed.replace(CANARY.encode(), MASK.encode()))


@given(documents.filter(lambda document: CANARY not in json.dumps(document)))
def test_a_message_without_the_key_is_the_very_same(document):
    packed = json.dumps(document).encode()
    assert MASKER.json(packed) is packed


@given(texts)
def test_masking_is_idempotent(text):
    assert MASKER.text(MASKER.text(text)) == MASKER.text(text)


@given(st.integers(0, len(CANARY)), st.text(max_size=20), st.text(max_size=20))
def test_a_key_cut_in_two_shows_less_than_it_needs(cut, before, after):
    shown = MASKER.text(before + CANARY[:cut]) + MASKER.text(CANARY[cut:] + after)
    assert max(len(part) for part in PARTS if part in shown or len(part) <= 8) <= SHORTEST_PART
    packed = [
        MASKER.json(json.dumps({"text": part}).encode())
        for part in (before + CANARY[:cut], CANARY[cut:] + after)
    ]
    assert CANARY not in "".join(json.loads(part)["text"] for part in packed)


@pytest.mark.parametrize("key", [CANARY, ODD * 2])
@pytest.mark.parametrize(
    "encode",
    [
        str,
        lambda key: json.dumps(key)[1:-1],
        lambda key: quote(key, safe=""),
        *[
            lambda key, before=before: base64.b64encode((before + key + "!").encode()).decode()
            for before in ("", "x", "xx", "Key ", "user:")
        ],
        lambda key: base64.urlsafe_b64encode(f"Key {key}".encode()).decode(),
    ],
)
def test_plain_encodings_are_masked_too(key, encode):
    encoded = encode(key)
    shown = Masker([key]).text(f"<{encoded}>")
    assert MASK in shown
    assert encoded[4:-4] not in shown


def test_what_is_too_short_to_be_a_key_is_left_alone():
    assert Masker(["the"]).text("the cat") == "the cat"


def test_several_keys_are_masked_at_once():
    other = "0123456789abcdef" * 2
    assert Masker([CANARY, other]).text(f"{CANARY}{other}") == MASK * 2
