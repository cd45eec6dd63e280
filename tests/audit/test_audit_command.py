"""The audit's command line: exit codes, reports, baselines, verification and the magic."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import corpus
import pytest
import yaml
from support import CANARY, SECRETS

from clarifai_magic.audit.command import parser, run
from clarifai_magic.errors import BaseURLError, SourceError

COMMAND = [
    sys.executable,
    "-c",
    "from clarifai_magic.command import main; raise SystemExit(main())",
]


def audited(*words):
    said = []
    code = run(parser("audit").parse_args([*map(str, words)]), said.append)
    assert not any(secret in said[0] for secret in SECRETS)
    return code, said[0]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "a.ipynb"
    file.write_bytes(corpus.notebook(f"x = 1\nPAT = '{CANARY}'", [corpus.stream(f"PAT={CANARY}")]))
    return file


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (f"PAT = '{CANARY}'", 1),
        ("print(1)", 0),
        (None, 2),
        (f"# é\nPAT = '{CANARY}'".encode("latin-1"), 2),
    ],
)
def test_it_exits_as_ci_and_pre_commit_need_it(tmp_path, content, code):
    file = tmp_path / "-n.py"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in ([*COMMAND, "audit"], [sys.executable, "-m", "clarifai_magic.audit"]):
        done = subprocess.run(
            [*command, "--", file.name], cwd=tmp_path, capture_output=True, check=False, text=True
        )
        assert done.returncode == code, done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert (file.name in done.stdout) == bool(code)


def test_a_finding_tells_file_cell_line_kind_and_how_sure(file):
    code, said = audited(file)
    source, output, advice = said.splitlines()
    assert code == 1
    assert source.startswith(f"{file}: cell 1, source, line 2: it is next to PAT (likely, ")
    assert output.startswith(f"{file}: cell 1, output, line 1: ")
    assert source.split()[-1] == output.split()[-1]
    assert "revoke it at" in advice


def test_json_is_a_baseline(file, tmp_path):
    code, said = audited("--json", file)
    assert code == 1
    first, second = json.loads(said)["findings"]
    assert (first["cell"], first["line"], first["kind"], first["sure"]) == (
        1,
        2,
        "source",
        "likely",
    )
    assert first["fingerprint"] == second["fingerprint"]
    baseline = tmp_path / "baseline.json"
    baseline.write_text(said)
    assert audited("--baseline", baseline, file) == (0, "No key was found.")
    (tmp_path / "b.py").write_text(f"PAT = '{CANARY[::-1]}'")
    assert audited("--baseline", baseline, tmp_path)[0] == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        '{"findings": [1]}',
        '{"findings": [{}]}',
        '{"findings": null}',
        "[" * 100_000,
    ],
)
def test_a_baseline_that_is_none_is_refused(file, tmp_path, content):
    baseline = tmp_path / "baseline.json"
    if content is not None:
        baseline.write_text(content)
    with pytest.raises(SourceError, match="baseline"):
        audited("--baseline", baseline, file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_baseline_may_be_in_any_encoding_that_a_shell_redirects_into(file, tmp_path, encoding):
    baseline = tmp_path / "baseline.json"
    baseline.write_text(audited("--json", file)[1], encoding=encoding)
    assert audited("--baseline", baseline, file) == (0, "No key was found.")


def test_sarif_says_what_ci_shows(file, tmp_path):
    (tmp_path / "b.md").write_text(f"\nPAT: {CANARY}\n")
    (tmp_path / "c.ipynb").write_text("{")
    code, said = audited("--sarif", tmp_path)
    assert code == 2
    (made,) = json.loads(said)["runs"]
    assert len(made["results"]) == 3
    assert made["results"][2]["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}
    assert {each["ruleId"] for each in made["results"]} == {
        made["tool"]["driver"]["rules"][0]["id"]
    }
    assert not made["invocations"][0]["executionSuccessful"]


@pytest.mark.parametrize("name", [b"a b.py", b"50%25#1?.py", "ü\n.py".encode(), b"\xff.py"])
def test_sarif_names_each_file_so_that_it_is_found(tmp_path, name):
    file = os.fsencode(tmp_path) + b"/" + name
    Path(os.fsdecode(file)).write_text(f"PAT = '{CANARY}'")
    (made,) = json.loads(audited("--sarif", tmp_path)[1])["runs"]
    location = made["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert unquote_to_bytes(urlsplit(location["uri"]).path) == file


@pytest.mark.parametrize("form", [[], ["--json"], ["--sarif"]])
@pytest.mark.parametrize("key", [CANARY, CANARY.upper()])
def test_no_report_tells_a_key_that_is_in_the_file_s_name_too(tmp_path, form, key):
    file = tmp_path / f"CLARIFAI_PAT={key}.txt"
    file.write_text(f"PAT={CANARY}")
    code, said = audited("--fix", *form, file)
    assert code == 1
    assert CANARY not in said.lower()
    assert CANARY not in file.read_text()


@pytest.mark.parametrize("form", [[], ["--json"], ["--sarif"]])
@pytest.mark.parametrize("text", ["", f"PAT={CANARY[::-1]}"])
def test_no_report_tells_a_key_of_one_file_by_the_name_of_another(tmp_path, form, text):
    (tmp_path / f"{CANARY.upper()}.ipynb").write_text(text)  # which is no notebook
    file = tmp_path / "a.txt"
    file.write_text(f"PAT={CANARY}")
    code, said = audited(*form, tmp_path)
    assert code == 2
    assert CANARY not in said.lower()
    (tmp_path / "accepted").write_text(audited("--json", file)[1])
    assert CANARY not in audited("--baseline", tmp_path / "accepted", *form, tmp_path)[1].lower()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pat", "valid, a PAT, scopes: All"),
        ("api_key", "valid, the API key of app alice/"),
        (None, "revoked, or never a key"),
    ],
)
def test_verify_asks_once_a_key_and_tells_what_it_is(
    environment, sandbox, tmp_path, caplog, name, words
):
    key = getattr(sandbox.keys, name) if name else CANARY
    environment()
    for number in range(3):
        (tmp_path / f"{number}.env").write_text(f"CLARIFAI_PAT={key}\n")
    caplog.set_level("DEBUG", "clarifai_magic")
    assert words not in audited(tmp_path)[1]
    assert not caplog.records
    code, said = audited("--verify", tmp_path)
    assert (code, said.count(words)) == (1, 3)
    asked = [each for each in caplog.records if each.name.endswith("questions")]
    assert [each.getMessage().split()[0] for each in asked] == ["MyScopes"]


def test_a_key_that_was_found_is_not_sent_unencrypted(environment, tmp_path):
    environment(API_BASE="http://example.invalid")
    (tmp_path / "a.env").write_text(f"PAT={CANARY}")
    with pytest.raises(BaseURLError):
        audited("--verify", tmp_path)


def test_every_key_of_the_sandbox_is_known_for_what_it_is(environment, sandbox, tmp_path):
    environment()
    for name, key in dataclasses.asdict(sandbox.keys).items():
        (tmp_path / f"{name}.env").write_text(f"CLARIFAI_PAT={key}\n")
    _, said = audited("--verify", "--json", tmp_path)
    told = {each["file"]: each["verified"] for each in json.loads(said)["findings"]}
    assert len(told) == len(dataclasses.asdict(sandbox.keys))
    assert all(each.startswith(("valid", "revoked", "unknown")) for each in told.values())


def test_the_magic_finds_live_keys_wherever_they_stand(shell, environment, sandbox, tmp_path):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "a.txt").write_text(f"\nnothing tells {sandbox.keys.pat} apart")
    assert "No key was found" in shell.run(f"%clarifai_auth audit '{folder}'")
    shell.run("%clarifai_auth")
    said = shell.run(f"%clarifai_auth audit '{folder}'")
    assert "text, line 2: the key of an open session (certain, " in said
    assert "Masked" in shell.run(f"%clarifai_auth audit --fix '{folder}'")
    assert sandbox.keys.pat not in (folder / "a.txt").read_text()


def test_the_history_is_not_fixed(tmp_path):
    with pytest.raises(SourceError, match="history"):
        audited("--git", "--fix", tmp_path)


@pytest.mark.parametrize("command", ["audit", "doctor", "sandbox"])
def test_each_command_tells_its_options(command):
    done = subprocess.run([*COMMAND, command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: clarifai-magic {command}")
    assert (
        command
        in subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    )


def test_the_hook_runs_a_command_that_is_there(pytestconfig):
    (hook,) = yaml.safe_load((pytestconfig.rootpath / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["clarifai-magic", "audit", "--"]


def test_no_other_key_and_no_escape_is_told_with_a_finding(tmp_path):
    other = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    (tmp_path / "a\x1b[2J.txt").write_text(f"pat-{other}-x {CANARY}\n")
    code, said = audited(tmp_path)
    assert code == 1
    assert other not in said
    assert "\x1b" not in said
