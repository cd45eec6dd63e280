"""The file of Clarifai's command line: read as that reads it, saved so that it reads it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import CANARY

from clarifai_magic.credentials import Credentials
from clarifai_magic.errors import NoCredentialsError, SourceError
from clarifai_magic.sources import cli_config, find_credentials
from clarifai_magic.sources.place import Surroundings

ALONE = Surroundings()
DOCUMENT = {
    "current_context": "work",
    "contexts": {
        "home": {"CLARIFAI_PAT": "0" * 32, "CLARIFAI_USER_ID": "bob"},
        "work": {
            "CLARIFAI_API_BASE": "https://api.example.com",
            "CLARIFAI_PAT": CANARY,
            "CLARIFAI_USER_ID": "alice",
            "SOMETHING_ELSE": {"kept": True},
        },
        "env": {"CLARIFAI_PAT": "ENVVAR", "CLARIFAI_USER_ID": "carol"},
        "short": {"pat": CANARY, "user_id": "dave"},
        "empty": {},
    },
}


@pytest.fixture
def config():
    file = Path.home() / ".config" / "clarifai" / "config"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(DOCUMENT))
    file.chmod(0o600)
    return file


@pytest.mark.usefixtures("config")
def test_the_current_context_is_taken_whole():
    assert find_credentials(around=ALONE).credentials == Credentials(
        CANARY,
        user_id="alice",
        base="https://api.example.com",
        source="the context work of ~/.config/clarifai/config",
    )


@pytest.mark.usefixtures("config")
def test_a_context_is_a_bundle_that_the_environment_does_not_mix_with(monkeypatch):
    monkeypatch.setenv("CLARIFAI_USER_ID", "mallory")
    assert find_credentials("config:home", ALONE).credentials.user_id == "bob"
    monkeypatch.setenv("CLARIFAI_PAT", "f" * 32)
    found = find_credentials(around=ALONE).credentials
    assert (found.key, found.user_id) == ("f" * 32, "mallory")


@pytest.mark.usefixtures("config")
def test_envvar_means_the_environment(monkeypatch):
    with pytest.raises(SourceError, match="no PAT in the context 'env'"):
        find_credentials("config:env", ALONE)
    monkeypatch.setenv("CLARIFAI_PAT", "f" * 32)
    found = find_credentials("config:env", ALONE).credentials
    assert (found.key, found.user_id) == ("f" * 32, "carol")


@pytest.mark.usefixtures("config")
def test_short_names_are_read_as_the_command_line_does():
    assert find_credentials("config:short", ALONE).credentials.user_id == "dave"


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("config:nope", "no context 'nope' in ~/.config/clarifai/config .there: "),
        ("config:empty", "no PAT"),
    ],
)
def test_an_unknown_or_empty_context_is_told(source, words):
    with pytest.raises(SourceError, match=words):
        find_credentials(source, ALONE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"contexts: [\n  {CANARY}: {{", "not valid YAML, line"),
        ("just words", "has no contexts"),
        ("contexts: 7", "has no contexts"),
        ("", "has no contexts"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
    ],
)
def test_a_broken_file_is_told_without_its_content_and_left_as_it_is(config, content, words):
    content = content if isinstance(content, bytes) else content.encode()
    config.write_bytes(content)
    with pytest.raises(NoCredentialsError) as caught:
        find_credentials(around=ALONE)
    assert words in str(caught.value)
    assert CANARY not in str(caught.value)
    with pytest.raises(SourceError, match="Not saved"):
        cli_config.save(CANARY, {}, "alice")
    assert config.read_bytes() == content


def test_a_folder_in_the_files_place_is_told(config):
    config.unlink()
    config.mkdir()
    with pytest.raises(SourceError, match="is a folder"):
        find_credentials("config", ALONE)


@pytest.fixture
def nobody():
    """Not root, who reads every file."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_an_unreadable_file_is_told(config, request):
    config.chmod(0)
    request.getfixturevalue("nobody")
    with pytest.raises(SourceError, match="Permission denied"):
        find_credentials("config", ALONE)


def test_a_file_that_others_can_read_is_reported(config):
    assert find_credentials(around=ALONE).credentials.warning == ""
    config.chmod(0o644)
    assert "chmod 600" in find_credentials(around=ALONE).credentials.warning


def test_saving_adds_a_context_and_keeps_everything_else(config):
    config.chmod(0o644)
    cli_config.save(CANARY, {"CLARIFAI_USER_ID": "erin", "CLARIFAI_APP_ID": ""}, "erin")
    saved = yaml.safe_load(config.read_text())
    assert saved["contexts"].pop("erin") == {"CLARIFAI_PAT": CANARY, "CLARIFAI_USER_ID": "erin"}
    assert saved == DOCUMENT
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert list(config.parent.iterdir()) == [config]


def test_saving_updates_a_context_and_keeps_its_other_values(config):
    cli_config.save("f" * 32, {"CLARIFAI_USER_ID": "alice"}, "work")
    saved = yaml.safe_load(config.read_text())["contexts"]["work"]
    assert saved == {**DOCUMENT["contexts"]["work"], "CLARIFAI_PAT": "f" * 32}


def test_saving_where_nothing_was_makes_a_private_folder_and_a_current_context():
    words = cli_config.save(CANARY, {"CLARIFAI_USER_ID": "alice"}, "alice")
    file = cli_config.path()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert find_credentials(around=ALONE).credentials.user_id == "alice"
    assert "clarifai config delete-context alice" in words


def test_a_link_to_the_file_stays_a_link(config, tmp_path):
    elsewhere = tmp_path / "dotfiles"
    config.rename(elsewhere)
    config.symlink_to(elsewhere)
    cli_config.save(CANARY, {}, "erin")
    assert config.is_symlink()
    assert "erin" in elsewhere.read_text()


def test_the_real_command_line_reads_what_was_saved(config):
    # It demands a user of every context that it lists.
    contexts = {name: DOCUMENT["contexts"][name] for name in ("home", "work")}
    config.write_text(yaml.safe_dump({**DOCUMENT, "contexts": contexts}))
    cli_config.save(CANARY, {"CLARIFAI_USER_ID": "erin"}, "erin")
    done = subprocess.run(
        [Path(sys.executable).parent / "clarifai", "--config", config, "config", "get-contexts"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "erin" in done.stdout
    assert "work" in done.stdout


@pytest.mark.parametrize(("key", "succeeds"), [("pat", True), ("revoked_key", False)])
def test_what_the_real_command_line_saves_at_login_signs_in(sandbox, shell, key, succeeds):
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "clarifai", "login", sandbox.base),
            *("--pat", getattr(sandbox.keys, key), "--user-id", "alice", "--context", "alice"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is succeeds
    if succeeds:
        signed_in = shell.run("%clarifai_auth --app-id main")
        assert "alice · PAT from the context alice of ~/.config/clarifai/config" in signed_in
    else:
        assert not cli_config.path().exists() or sandbox.keys.revoked_key not in (
            cli_config.path().read_text()
        )
