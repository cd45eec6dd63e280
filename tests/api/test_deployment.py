"""Base URLs: accepted or refused with words, and never a silent step down from TLS."""

from __future__ import annotations

import os

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.errors import BaseURLError


@pytest.mark.parametrize(
    ("given", "base", "host", "port", "secure"),
    [
        ("", "https://api.clarifai.com", "api.clarifai.com", 443, True),
        ("api.example.com", "https://api.example.com", "api.example.com", 443, True),
        ("example.com:8443", "https://example.com:8443", "example.com", 8443, True),
        ("https://example.com/", "https://example.com", "example.com", 443, True),
        ("https://Example.com/v2/", "https://example.com", "example.com", 443, True),
        ("http://localhost:8080", "http://localhost:8080", "localhost", 8080, False),
        ("https://[::1]:9000", "https://[::1]:9000", "::1", 9000, True),
        ("  https://example.com\n", "https://example.com", "example.com", 443, True),
    ],
)
def test_what_people_write_is_understood(given, base, host, port, secure):
    deployment = find_deployment(given)
    assert (deployment.base, deployment.host) == (base, host)
    assert (deployment.port, deployment.secure) == (port, secure)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("ftp://example.com", "scheme"),
        ("https://", "no host"),
        ("https://example.com:99999", "cannot be read"),
        ("https://example.com:0", "port is 0"),
        ("https://example.com/prefix", "path, query or fragment"),
        ("https://example.com?x=1", "path, query or fragment"),
        ("https://user:secret@example.com", "user name or password"),
        ("https://exa mple.com", "characters"),
        ("https://ex%61mple.com", "characters"),
        ("https://example.com'$(id)'", "characters"),
        ("https://example.com,other.com", "characters"),
        ("https://ex\u00e4mple.com", "characters"),
    ],
)
def test_what_cannot_be_used_is_refused_with_words(given, reason):
    with pytest.raises(BaseURLError) as caught:
        find_deployment(given)
    assert reason in caught.value.message
    assert "secret" not in str(caught.value)


def test_the_environment_counts_where_nothing_is_named(monkeypatch):
    monkeypatch.setenv("CLARIFAI_GRPC_BASE", "grpc.example.com:444")
    assert find_deployment().base == "https://grpc.example.com:444"
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://api.example.com")
    assert find_deployment().base == "https://api.example.com"
    assert find_deployment("https://named.example.com").base == "https://named.example.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com", "example.com:443"),
        ("http://example.com:80", "HTTP://Example.com"),
        ("https://example.com:", "https://example.com/v2/"),
        ("https://[::1]:9000", "https://[0:0:0:0:0:0:0:1]:9000"),
    ],
)
def test_the_same_place_is_the_same_however_it_is_written(one, other):
    assert find_deployment(one) == find_deployment(other)


@pytest.mark.parametrize("variable", ["CLARIFAI_API_BASE", "CLARIFAI_GRPC_BASE"])
def test_the_environment_cannot_have_a_key_sent_in_the_clear(monkeypatch, variable):
    monkeypatch.setenv(variable, "http://example.com")
    with pytest.raises(BaseURLError, match=f"{variable}, is not encrypted") as caught:
        find_deployment()
    assert "--base http://example.com" in caught.value.hint
    assert find_deployment("http://example.com").is_plaintext
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert not find_deployment().secure


def test_a_blank_base_is_none_and_a_wrong_one_is_told_with_its_variable(monkeypatch):
    monkeypatch.setenv("CLARIFAI_API_BASE", " ")
    monkeypatch.setenv("CLARIFAI_GRPC_BASE", "ftp://example.com")
    with pytest.raises(BaseURLError) as caught:
        find_deployment(" ")
    assert "the value of CLARIFAI_GRPC_BASE" in caught.value.hint
    assert find_deployment("example.com").host == "example.com"


@pytest.mark.parametrize(
    ("base", "is_plaintext"),
    [
        ("http://localhost:1", False),
        ("http://127.0.0.9:1", False),
        ("http://[::1]:1", False),
        ("http://example.com", True),
        ("https://example.com", False),
    ],
)
def test_a_key_in_the_clear_is_known_as_such(base, is_plaintext):
    assert find_deployment(base).is_plaintext is is_plaintext


def test_a_ca_bundle_that_cannot_serve_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BaseURLError, match="cannot be read: No such file"):
        find_deployment(root_certificates=str(tmp_path / "missing.pem"))
    (tmp_path / "not.pem").write_bytes(b"\x30\x82DER")
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", str(tmp_path / "not.pem"))
    with pytest.raises(BaseURLError, match="no PEM certificate"):
        find_deployment()


@pytest.fixture
def authority(tmp_path):
    path = tmp_path / "my ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


def test_a_relative_ca_bundle_is_the_same_file_from_any_folder(authority, monkeypatch, tmp_path):
    monkeypatch.chdir(authority.parent)
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", authority.name)
    assert find_deployment().root_certificates == str(authority)
    assert find_deployment("", f"./{authority.name}") == find_deployment()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_deployment("", f"~/{authority.name}").root_certificates == str(authority)


@pytest.mark.parametrize(
    "path", ["~nosuchuser/ca.pem", "a\0b", "\udcff.pem", "x\n\x1b[2Jy", "fifo"]
)
def test_a_path_that_cannot_be_a_ca_bundle_is_told_on_one_line(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    with pytest.raises(BaseURLError, match="The CA bundle .* cannot be read") as caught:
        find_deployment("https://example.com", path)
    assert caught.value.message.isprintable()


def test_without_tls_the_environments_ca_bundle_does_not_matter(monkeypatch):
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", "/no/such")
    assert find_deployment("http://127.0.0.1:1").root_certificates == ""
    assert find_deployment("https://example.com", "").root_certificates == ""


@given(st.text(max_size=200))
def test_any_text_is_a_base_or_a_base_url_error(text):
    try:
        deployment = find_deployment(text)
    except BaseURLError:
        return
    assert deployment.secure or text.strip().lower().startswith("http://")
