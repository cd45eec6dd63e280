"""Signing in: the key is sent, and hidden, before the rest of the package is imported."""

from __future__ import annotations

import socket

import pytest

from clarifai_magic import Credentials, Session
from clarifai_magic.client.registry import registry
from clarifai_magic.client.signing_in import sign_in
from clarifai_magic.errors import RefusedError, UnreachableError


@pytest.mark.slow
def test_the_connection_is_made_while_the_sessions_class_is_imported():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)  # seconds

        def load():
            server.accept()[0].close()
            return Session

        credentials = Credentials("0" * 32, base=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UnreachableError):
            sign_in(load, credentials, timeout=2)


def test_the_key_is_hidden_from_the_moment_it_is_sent(sandbox):
    key, hidden = sandbox.keys.pat, []

    def load():
        hidden.extend(registry.secrets())
        return Session

    with sign_in(load, Credentials(key, base=sandbox.base)):
        assert registry.secrets() == set(hidden)
        assert key in hidden
    assert not registry.secrets()


@pytest.mark.parametrize("error", [ImportError, KeyboardInterrupt])
def test_nothing_is_left_of_a_sign_in_that_ends_while_it_imports(sandbox, error):
    def load():
        raise error

    with pytest.raises(error):
        sign_in(load, Credentials(sandbox.keys.pat, base=sandbox.base))
    assert not registry.secrets()
    assert not len(registry)


def test_nothing_is_left_of_a_sign_in_that_is_refused(sandbox):
    with pytest.raises(RefusedError):
        sign_in(lambda: Session, Credentials(sandbox.keys.revoked_key, base=sandbox.base))
    assert not registry.secrets()
