"""The system's keyring: bounded in time, and a bundle of key, user and app."""

from __future__ import annotations

import threading

import keyring
import keyring.backend
import keyring.backends.fail
import pytest
from support import CANARY

from clarifai_magic.credentials import Credentials
from clarifai_magic.errors import NoCredentialsError, SourceError
from clarifai_magic.sources import find_credentials, system_keyring
from clarifai_magic.sources.place import Surroundings

ALONE = Surroundings()
PUBLIC = "https://api.clarifai.com"


class Memory(keyring.backend.KeyringBackend):
    """A keyring in memory, through keyring's own interface for backends."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def get_credential(self, service: str, username: str | None):
        for (kept_service, kept_user), password in self.kept.items():
            if kept_service == service and username in (None, kept_user):
                return keyring.credentials.SimpleCredential(kept_user, password)
        return None


@pytest.fixture
def use():
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_what_was_saved_is_found_with_user_and_app(use):
    use(Memory())
    words = system_keyring.save(CANARY, PUBLIC, "alice", "main")
    assert words.endswith("`keyring del https://api.clarifai.com alice/main` removes it.")
    found = find_credentials(around=ALONE).credentials
    assert found == Credentials(
        CANARY, user_id="alice", app_id="main", base=PUBLIC, source="alice/main in the keyring"
    )
    assert found.kept == words


def test_one_of_several_is_named(use):
    use(Memory())
    system_keyring.save("0" * 32, PUBLIC, "alice", "")
    system_keyring.save(CANARY, PUBLIC, "bob", "")
    assert find_credentials("keyring:bob", ALONE).credentials.key == CANARY
    with pytest.raises(SourceError, match="nothing saved for .* and carol"):
        find_credentials("keyring:carol", ALONE)


def test_a_key_of_another_deployment_is_not_offered(use, monkeypatch):
    use(Memory())
    system_keyring.save(CANARY, "https://private.example.com", "alice", "")
    with pytest.raises(NoCredentialsError, match="nothing saved for https://api.clarifai.com"):
        find_credentials(around=ALONE)
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://private.example.com")
    assert find_credentials(around=ALONE).credentials.key == CANARY


def test_no_keyring_at_all_is_a_word_in_passing(use):
    use(keyring.backends.fail.Keyring())
    with pytest.raises(NoCredentialsError, match="the keyring: this system has no keyring"):
        find_credentials(around=ALONE)
    with pytest.raises(SourceError, match="Not saved: this system has no keyring"):
        system_keyring.save(CANARY, PUBLIC, "alice", "")


def test_a_keyring_that_waits_for_somebody_is_not_waited_for(use, monkeypatch):
    monkeypatch.setattr(system_keyring, "_PATIENCE", 0.1)
    forever = threading.Event()

    class Locked(Memory):
        def get_credential(self, service: str, username: str | None):
            forever.wait()
            return super().get_credential(service, username)

    use(Locked())
    with pytest.raises(NoCredentialsError, match="is it locked"):
        find_credentials(around=ALONE)
    forever.set()


def test_a_failing_backend_is_named_by_its_error_alone(use):
    class Broken(Memory):
        def get_credential(self, service: str, username: str | None):
            raise RuntimeError(CANARY)

    use(Broken())
    with pytest.raises(NoCredentialsError, match="the keyring failed .RuntimeError."):
        find_credentials(around=ALONE)
