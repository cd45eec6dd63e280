"""Base URLs: accepted or refused with words, and never a silent step down from TLS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarifai_magic.deployment import find_deployment
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
        ("https://example.com/prefix", "goes on after the host"),
        ("https://example.com?x=1", "goes on after the host"),
        ("https://user:secret@example.com", "user name or password"),
        ("https://exa mple.com", "characters"),
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
    ("base", "in_the_clear"),
    [
        ("http://localhost:1", False),
        ("http://127.0.0.9:1", False),
        ("http://[::1]:1", False),
        ("http://example.com", True),
        ("https://example.com", False),
    ],
)
def test_a_key_in_the_clear_is_known_as_such(base, in_the_clear):
    assert find_deployment(base).in_the_clear is in_the_clear


def test_a_ca_bundle_that_cannot_serve_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BaseURLError, match="cannot be read: No such file"):
        find_deployment(root_certificates=str(tmp_path / "missing.pem"))
    (tmp_path / "not.pem").write_bytes(b"\x30\x82DER")
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", str(tmp_path / "not.pem"))
    with pytest.raises(BaseURLError, match="no PEM certificate"):
        find_deployment()


@given(st.text(max_size=200))
def test_any_text_is_a_base_or_a_base_url_error(text):
    try:
        deployment = find_deployment(text)
    except BaseURLError:
        return
    assert deployment.secure or text.strip().lower().startswith("http://")
