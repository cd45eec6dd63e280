"""Masking: nobody recovers a key, nothing else changes, and what was JSON stays JSON."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
import sys
import threading
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaks import FORMS, PREPARE
from reading import MOST, recovered
from support import CANARY

from clarifai_magic.credentials.secret import MASK
from clarifai_magic.redaction import looking
from clarifai_magic.redaction.masking import Continuation, Masker

MASKER = Masker([CANARY])
ODD = 'odd"key\\with/every+thing=1%' * 2
KEYS = [
    CANARY,
    "a1B2c3D4e",
    "not-that-fruit-but-another-berry",
    "9F" * 3 + "0123456789abcdefABCDEFGHIJ",
    pytest.param("k" * 500 + "0123456789ab", marks=pytest.mark.slow),
    "0x" * 2 + "3f9a1c7be0d25864" * 31 + "xx.key-of-512-ch",
    ODD,
]
PUNCTUATION = "!" * 10 + '"#$%&' + "~" * 20
texts = st.lists(st.one_of(st.text(), st.sampled_from([CANARY, f"Key {CANARY}"]))).map("".join)


def documents(texts):
    return st.recursive(
        st.one_of(texts, st.integers(), st.booleans(), st.none()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
    )


@pytest.fixture(params=["hyperscan", "Python"])
def masker_of(request, monkeypatch):
    """Makes maskers that look by one means or the other."""
    if request.param == "hyperscan":
        pytest.importorskip("hyperscan")
        monkeypatch.setattr(looking, "_WORTHWHILE", 0)  # from the first byte on
    else:
        monkeypatch.setitem(sys.modules, "hyperscan", None)
    return lambda *keys: Masker(keys)


def written(key):
    """A key in every form."""
    names = {"key": key}
    exec(PREPARE.split("def pieces")[0].replace("logging.basicConfig()", ""), names)
    return {form: eval(expression, names) for form, expression in FORMS.items()}


@pytest.mark.slow
@given(documents(texts))
def test_no_message_keeps_the_key_and_all_stay_json(document):
    packed = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    masked = MASKER.json(packed)
    assert CANARY.encode() not in masked
    json.loads(masked.decode("utf-8", "surrogatepass"))


@pytest.mark.slow
@given(documents(st.text()))
def test_a_message_without_the_key_is_the_very_same(document):
    packed = json.dumps(document).encode()
    assert MASKER.json(packed) is packed


@given(texts)
def test_masking_is_idempotent(text):
    assert MASKER.text(MASKER.text(text)) == MASKER.text(text)


def test_no_form_gives_more_than_a_quarter_away(masker_of):
    key = f"{random.getrandbits(128):032x}"
    masker = masker_of(key)
    for form, text in written(key).items():
        packed = json.dumps({"text": text, "list": [text]}, ensure_ascii=False).encode()
        masked = masker.json(packed)
        json.loads(masked)
        data = text.encode("utf-8")
        assert len(masker.binary(data)) == len(data)
        for shown in (masker.text(text), masked, masker.binary(data)):
            assert recovered(shown, key) <= MOST, (form, shown)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 5, 8, 13])
def test_pieces_of_any_size_give_no_more_away(masker_of, size):
    key = f"{random.getrandbits(128):032x}"
    masker = masker_of(key)
    for form, text in written(key).items():
        stream = Continuation()
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        shown = "".join(masker.text(stream.start(masker, part)) for part in parts)
        assert recovered(shown, key) <= MOST, (form, size, shown)


@given(st.lists(st.text()))
def test_what_comes_in_pieces_is_otherwise_the_same(parts):
    stream = Continuation()
    assert [stream.start(MASKER, part) for part in parts] == parts


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_masked(masker_of, key):
    masker = masker_of(key)
    for text in (
        key,
        f"Key {key}!",
        json.dumps(key),
        key.encode().hex(" "),
        ", ".join(map(hex, key.encode())),
        base64.b64encode(key.encode()).decode(),
        json.dumps("\n".join(key)),
        json.dumps("\n".join(key) + "filler" * 1000),
    ):
        shown = masker.text(text)
        assert MASK in shown
        assert recovered(shown, key) <= MOST * max(len(key), 32) // 32


@pytest.mark.slow
@pytest.mark.parametrize("length", [32, 500])
@pytest.mark.parametrize(
    "between", [" " * 300, "\x1b[1m\x1b[38;2;255;100;200m\x1b[48;2;0;0;0m", "\\u200b"]
)
def test_pieces_may_be_far_apart(masker_of, length, between):
    key = "".join(random.choices("0123456789abcdef", k=length))
    masker, stream = masker_of(key), Continuation()
    shown = "".join(masker.text(stream.start(masker, each + between)) for each in key)
    assert recovered(shown, key) <= MOST * length // 32


@pytest.mark.parametrize(
    "between", ["=" * 80, "\n" + "#" * 300 + "\n", "[==>  ]" * 9, "&nbsp;" * 30]
)
def test_a_line_of_signs_is_not_all_that_a_stream_remembers(masker_of, between):
    key = f"{random.getrandbits(128):032x}"
    masker, stream = masker_of(key), Continuation()
    parts = [part for each in key for part in (each, between)]
    shown = "".join(masker.text(stream.start(masker, part)) for part in parts)
    assert recovered(shown, key) <= MOST
    stream = Continuation()
    written = b"".join(stream.data(masker, part.encode()) for part in parts)
    assert recovered(written, key) <= MOST


@pytest.mark.parametrize("key", [ODD, PUNCTUATION, "-".join("abcdefghijklmnop") + "-", "&#97;" * 7])
def test_no_part_of_a_key_with_other_characters_gives_more_than_a_quarter_away(masker_of, key):
    masker, most = masker_of(key), MOST * max(len(key), 32) // 32

    def has_part(text):
        return any(key[at : at + most + 1] in text for at in range(len(key) - most))

    for part in (key[:-1], key[1:], key[2 : most + 4]):
        text = f"It is {part}, as usual"
        assert not has_part(masker.text(text))
        assert not has_part(json.loads(masker.json(json.dumps(text).encode())))
        assert not has_part(masker.binary(text.encode()).decode())
    for size in (1, 3, 11):
        stream = Continuation()
        parts = [key[at : at + size] for at in range(0, len(key), size)]
        assert not has_part("".join(masker.text(stream.start(masker, part)) for part in parts))


@pytest.mark.slow
@pytest.mark.parametrize("between", ["\n" * 4500, " " * 9000, "│" * 3000])
def test_characters_may_be_far_apart(masker_of, between):
    key = f"{random.getrandbits(128):032x}"
    masker = masker_of(key)
    for start in (0, 60_000):
        text = "g" * start + between.join(key) + "g" * 3000
        assert recovered(masker.text(text), key) <= MOST
        packed = json.dumps(text, ensure_ascii=False).encode()
        assert recovered(masker.json(packed), key) <= MOST


def test_a_backslash_before_an_entity_is_no_escape(masker_of):
    key = "a86c13106" + "0" * 23
    shown = masker_of(key).text("\\" + "".join(f"&#x{ord(each):x};" for each in key[:9]))
    assert recovered(shown, key) <= MOST


def test_every_form_is_masked_in_an_attribute_and_in_markup_that_is_shown_as_text(masker_of):
    masker = masker_of(CANARY)
    for form, text in written(CANARY).items():
        shown = html.escape(text)
        attribute = f"<an-output data-value='{html.escape(json.dumps(text))}'></an-output>"
        for read in (shown, html.escape(shown), attribute):
            masked = masker.text(read)
            for each in (masked, html.unescape(masked), html.unescape(html.unescape(masked))):
                assert recovered(each, CANARY) <= MOST, (form, read)


def test_an_escape_may_follow_the_end_of_a_link(masker_of):
    key = f"{random.getrandbits(128):032x}"
    link = "\x1b]8;;http://x\x1b\\" * 2
    shown = masker_of(key).json(json.dumps(link.join(key)).encode())
    assert recovered(json.loads(shown).replace(link, ""), key) <= MOST


def test_bytes_without_a_key_are_the_very_same(masker_of):
    data = random.Random(7).randbytes(300_000)
    assert masker_of(CANARY).binary(data) is data


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("length", [32, 64, 512])
def test_wrapped_base64_is_masked_however_long_the_key_and_the_lines(masker_of, length, encoding):
    key = "".join(random.choices("0123456789abcdef", k=length))
    masker, coded = masker_of(key), base64.b64encode(key.encode(encoding)).decode()
    shortest = 10 if encoding == "utf-8" else 20  # lines that are searched in a long text
    for width, filler in [(6, ""), (shortest, "filler " * 1_000), (76, "filler " * 1_000)]:
        text = "\n".join(coded[at : at + width] for at in range(0, len(coded), width)) + filler
        for shown in (masker.text(text), masker.json(json.dumps(text).encode())):
            assert recovered(shown, key) <= MOST * length // 32, (width, len(filler))


@pytest.mark.parametrize("length", [32, 64])
def test_masks_join_nothing_that_gives_more_away(masker_of, length):
    key = "".join(random.choices("0123456789abcdef", k=length))
    width = length // 4
    lines = [key[at : at + width] for at in range(0, length, width)]
    dump = "\n".join(f"{each.encode().hex(' ', 2)}  {each}" for each in lines)
    masker = masker_of(key)
    for shown in (masker.text(dump).replace(MASK, ""), masker.binary(dump.encode())):
        assert recovered(shown, key) <= MOST * length // 32, shown


def test_a_key_without_letters_is_masked_whole(masker_of):
    assert PUNCTUATION not in masker_of(PUNCTUATION).text(f"<{PUNCTUATION}>")


def test_a_list_of_numbers_stays_json():
    packed = json.dumps(list(CANARY.encode())).encode()
    assert recovered(MASKER.json(packed), CANARY) <= MOST
    assert len(json.loads(MASKER.json(packed))) == len(CANARY)


@pytest.mark.parametrize("key", [CANARY, "58991394411771516204661099069584"])
def test_a_number_may_go_on_where_a_key_ends(masker_of, key):
    """What is left of it is none: 0 in place of the 1 of 1234 makes 0234."""
    masker = masker_of(key)
    for number in (int(f"{digit}{rest}") for digit in range(1, 10) for rest in (234, 0)):
        numbers = [*key.encode()[:20], number]
        masked = masker.json(json.dumps({"before": -1.5e300, "numbers": numbers}).encode())
        assert recovered(masked, key) <= MOST
        assert json.loads(masked)["before"] == -1.5e300
        assert len(json.loads(masked)["numbers"]) == len(numbers)


def test_honest_hexadecimal_and_base64_stay_as_they_are(masker_of):
    masker = masker_of(CANARY)
    chosen = random.Random(7)
    for text in (
        hashlib.sha256(CANARY.encode()).hexdigest(),
        " ".join(str(uuid.UUID(int=chosen.getrandbits(128))) for _ in range(1_000)),
        "\n".join(chosen.randbytes(16).hex() for _ in range(10_000)),
        base64.encodebytes(chosen.randbytes(300_000)).decode(),
    ):
        assert masker.text(text) is text


@pytest.mark.slow
def test_the_texts_of_installed_packages_stay_as_they_are():
    packages = Path(next(each for each in sys.path if each.endswith("site-packages")))
    kinds = (".ipynb", ".md", ".rst", ".txt", ".html", ".css", ".json", ".py", ".pyi")
    files = [each for each in sorted(packages.rglob("*")) if each.suffix in kinds][:10_000]
    assert len(files) > 1_000
    masker = Masker([f"{random.getrandbits(128):032x}"])
    assert [file for file in files if masker.data(data := file.read_bytes()) is not data] == []


def test_threads_that_look_at_once_find_the_same(masker_of):
    masker = masker_of(CANARY)
    text = "a line\n" * 20_000 + CANARY
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(masker.text(text))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [text.replace(CANARY, MASK)] * 8


def test_what_is_too_short_to_be_a_key_is_left_alone():
    assert Masker(["the"]).text("the cat") == "the cat"


def test_several_keys_are_masked_at_once():
    other = "0123456789abcdef" * 2
    assert Masker([CANARY, other]).text(f"{CANARY} {other}") == f"{MASK} {MASK}"


def test_a_hyperscan_that_cannot_be_loaded_is_done_without(monkeypatch):
    pytest.importorskip("hyperscan")
    masker = Masker([CANARY])
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    text = f"{'text ' * 20_000}{CANARY}"
    assert CANARY not in masker.text(text)
    assert masker.text("text " * 20_000) == "text " * 20_000
