"""Keys: what people paste is repaired or refused with the reason, and never shows."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from pprint import pformat

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib.pretty import pretty
from support import CANARY

from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.parsing import clean_id, clean_key
from clarifai_magic.credentials.secret import MASK, Secret
from clarifai_magic.errors import KeyFormatError, SecretError


@pytest.mark.parametrize(
    "pasted",
    [
        CANARY,
        f"  {CANARY}\n",
        f"\ufeff{CANARY}\u200b\r\n",
        f'"{CANARY}"',
        f"'{CANARY}'",
        f"\u201c{CANARY}\u201d",
        f"Key {CANARY}",
        f"key  {CANARY}",
        f"Bearer {CANARY}",
        f'"Key {CANARY}"',
        f'Key "{CANARY}"',
        f"Authorization: Key {CANARY}",
        f"CLARIFAI_PAT={CANARY}",
        f'export CLARIFAI_PAT="{CANARY}"\n',
        f"CLARIFAI_API_KEY = '{CANARY}';",
        f"set CLARIFAI_PAT={CANARY}",
        f'$env:CLARIFAI_PAT = "{CANARY}"',
        f"%env CLARIFAI_PAT={CANARY}",
        f'"CLARIFAI_PAT": "{CANARY}"',
        f'"Authorization": "Key {CANARY}"',
        f"PAT = '{CANARY}'  ",
        f"export CLARIFAI_PAT=Key {CANARY}",
    ],
)
def test_a_plainly_meant_key_is_repaired(pasted):
    assert clean_key(pasted) == CANARY


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Key ", "empty"),
        ("'\"", "empty"),
        (f"{CANARY[:8]}\0{CANARY[8:]}", "Character 9 of the key is U+0000"),
        (f"{CANARY}\n{CANARY}", "Character 33 of the key is a line break"),
        (f"{CANARY[:16]} {CANARY[16:]}", "Character 17 of the key is a space"),
        (f"{CANARY[:4]}\u2013{CANARY[4:]}", "Character 5 of the key is U+2013 EN DASH"),
        (f"{CANARY}\ud800", "Character 33 of the key is U+D800"),
        (CANARY * 320, "10,240 characters"),
        ("YOUR_PAT_HERE", "placeholder"),
        ("{YOUR_PAT}", "placeholder"),
        ("<your key>", "placeholder"),
        ("$CLARIFAI_PAT", "placeholder"),
        ("export CLARIFAI_PAT=", "empty"),
        ('CLARIFAI_PAT="YOUR_PAT_HERE"', "placeholder"),
        (f"CLARIFAI_PAT={CANARY} CLARIFAI_APP_ID=main", "Character 33 of the key is a space"),
        ("????", "placeholder"),
        (None, "not NoneType"),
        (b"bytes", "not bytes"),
    ],
)
def test_an_unusable_key_is_refused_with_the_reason_and_without_echo(pasted, reason):
    with pytest.raises(KeyFormatError, match="(?s).+") as caught:
        clean_key(pasted)
    assert reason in caught.value.message
    assert caught.value.hint
    assert CANARY[:8] not in str(caught.value)


@given(st.text(max_size=600))
def test_any_text_becomes_a_sendable_key_or_a_key_format_error(text):
    with contextlib.suppress(KeyFormatError):
        key = clean_key(text)
        assert key.isascii()
        assert key.isprintable()
        assert " " not in key


def test_a_key_of_another_shape_is_no_line_that_sets_a_variable():
    for key in ("abc=def", "eyJhbGciOi:x.y", "QUJDREVG=="):
        assert clean_key(key) == key


@given(st.text(alphabet="CLARIFAI_PAT=:\"'; 0a", max_size=512))
def test_lines_that_set_variables_become_a_key_or_an_error(text):
    with contextlib.suppress(KeyFormatError):
        assert clean_key(clean_key(text)) == clean_key(text)


@given(st.text(alphabet="0123456789abcdef", min_size=8, max_size=40))
def test_cleaning_is_idempotent(text):
    assert clean_key(clean_key(text)) == clean_key(text)


SHOWN = {
    "str": str,
    "repr": repr,
    "format": "{}".format,
    "padded": "{!s:>40}".format,
    "percent": lambda value: f"%s {value}" % (value,),
    "pretty": pretty,
    "pprint": pformat,
    "in a list": lambda value: repr([value]),
    "copied": lambda value: repr(copy.copy(value)),
    "deep-copied": lambda value: repr(copy.deepcopy({"a": [value]})),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize(
    "value",
    [Secret(CANARY), Credentials(CANARY), Credentials(CANARY).metadata],
    ids=["Secret", "Credentials", "metadata"],
)
def test_nothing_that_shows_a_value_shows_the_key(show, value):
    assert CANARY not in show(value)


def test_the_real_key_is_there_for_grpc():
    ((name, value),) = Credentials(CANARY).metadata
    assert name == "authorization"
    assert value.encode() == b"Key " + CANARY.encode()
    assert str(value) == MASK


@pytest.mark.parametrize(
    "holder", [Secret(CANARY), Credentials(CANARY), Credentials(CANARY).metadata]
)
def test_pickling_is_refused_with_the_reason(holder):
    with pytest.raises(SecretError, match="pickling would store it in plaintext"):
        pickle.dumps(holder)


@pytest.mark.parametrize("text", ["a b", "a/b", "a\x1bb", "x" * 300, 7])
def test_an_id_that_cannot_be_one_is_refused_without_echo(text):
    with pytest.raises(KeyFormatError) as caught:
        clean_id("app ID", text)
    assert str(text) not in str(caught.value)


@pytest.mark.parametrize("place", ["user_id", "app_id", "base", "root_certificates"])
@pytest.mark.parametrize(
    "pasted", ["{}", " '{}'\n", "PAT={}", "{}/main"], ids=["bare", "quoted", "named", "in a path"]
)
def test_a_key_in_another_ones_place_is_refused_without_being_repeated(place, pasted):
    for text in (pasted.format(CANARY), pasted.format(CANARY.upper())):
        with pytest.raises(KeyFormatError, match="key") as caught:
            Credentials(f"Key {CANARY}", **{place: text})
        assert CANARY not in str(caught.value).lower()
        with pytest.raises(KeyFormatError, match="key"):
            Credentials(CANARY).replaced(**{place: text})


@pytest.mark.parametrize("name", ["key", "base", "anything"])
def test_credentials_do_not_change(name):
    credentials = Credentials(CANARY, user_id="alice")
    with pytest.raises(AttributeError, match="do not change"):
        setattr(credentials, name, "other")
    with pytest.raises(AttributeError, match="do not change"):
        delattr(credentials, name)
    assert credentials == Credentials(CANARY, user_id="alice")
    assert hash(credentials) == hash(Credentials(CANARY, user_id="alice"))
    assert credentials != Credentials(CANARY, user_id="bob")


def test_an_id_of_32_hexadecimal_digits_is_an_id():
    assert Credentials(CANARY, app_id="f" * 32).app_id == "f" * 32
    assert Credentials("abc", app_id="abcd").app_id == "abcd"


def test_what_the_environment_becomes_later_changes_nothing(monkeypatch, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("CLARIFAI_API_BASE", "Private.example.com:443")
    credentials = Credentials(CANARY)
    assert credentials.base == "https://private.example.com"
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://other.example.com")
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", str(tmp_path / "ca.pem"))
    assert Credentials(CANARY) != credentials
    assert credentials.replaced(app_id="", base="private.example.com") == credentials
    chosen = credentials.replaced(app_id="main")
    assert (chosen.base, chosen.root_certificates) == (credentials.base, "")
    assert chosen.deployment == credentials.deployment
    elsewhere = credentials.replaced(base="third.example.com")
    assert elsewhere.root_certificates == str(tmp_path / "ca.pem")


def test_a_relative_ca_bundle_is_settled_where_the_credentials_are_made(monkeypatch, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.chdir(tmp_path)
    credentials = Credentials(CANARY, root_certificates="ca.pem")
    monkeypatch.chdir("/")
    assert credentials.root_certificates == str(tmp_path / "ca.pem")
    assert credentials.replaced(app_id="main").root_certificates == str(tmp_path / "ca.pem")


def test_where_a_key_was_found_is_told_in_words_that_obey_no_terminal():
    assert str(Provenance("env", "TEAM_PAT")) == "TEAM_PAT in the environment"
    assert f"{Provenance('config', 'x{}' + chr(27) + '[2J')}".isprintable()
    assert str(Credentials(CANARY).source) == "Python"


@given(st.text(max_size=300))
def test_any_text_becomes_an_id_or_a_key_format_error(text):
    with contextlib.suppress(KeyFormatError):
        assert clean_id("app ID", text).isprintable()


def test_ids_are_stripped_and_may_be_absent():
    assert clean_id("user ID", " alice\n") == "alice"
    assert clean_id("user ID", None) == ""
    assert json.dumps(Credentials(CANARY, user_id=" alice ").user_id) == '"alice"'
