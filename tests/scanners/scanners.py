"""Other scanners on the audit's corpus, by themselves and with our rules.

    python tests/scanners/scanners.py

prints the table of README.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "audit"))

import corpus  # noqa: E402 - where it stands is known only now

BIN = ROOT / ".venv-scanners" / "bin"
RULES = ROOT / "rules"


def _run(*words, cwd):
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, check=False)
    return done.stdout


def kingfisher(folder, *, ours):
    """The files in which it finds something."""
    rules = ["--rules-path", RULES / "kingfisher.yml", "--load-builtins=false"] if ours else []
    words = (BIN / "kingfisher", "scan", *rules, "--no-validate", "--no-update-check")
    said = _run(*words, "--confidence=low", "--format=jsonl", ".", cwd=folder)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {Path(each["finding"]["path"]).name for each in lines if "finding" in each}


def detect_secrets(folder, *, ours):
    """The same; with ours it is asked for ours alone."""
    plugin = ["--plugin", RULES / "detect_secrets_clarifai.py"] if ours else []
    said = _run(BIN / "detect-secrets", "scan", "--all-files", *plugin, ".", cwd=folder)
    found = json.loads(said)["results"].items()
    wanted = "Clarifai" if ours else ""
    return {Path(name).name for name, all_ in found if any(wanted in each["type"] for each in all_)}


def betterleaks(folder, *, ours):
    """The same."""
    rules = ["--config", RULES / "betterleaks.toml"] if ours else []
    with tempfile.TemporaryDirectory() as elsewhere:
        report = Path(elsewhere) / "report.json"
        words = (BIN / "betterleaks", "filesystem", ".", *rules, "--silent", "--output", report)
        _run(*words, cwd=folder)
        found = json.loads(report.read_text() or "[]") or []
    return set(_files(found))


def _files(value):
    """The names of files that are said anywhere in a report."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _files(each)
    elif isinstance(value, str) and Path(value).suffix:
        yield Path(value).name


def audit(folder):
    """The files in which ours finds something."""
    said = _run(sys.executable, "-m", "clarifai_magic.audit", "--json", folder, cwd=ROOT)
    return {Path(each["file"]).name for each in json.loads(said)["findings"]}


SCANNERS = {
    "this audit": audit,
    "kingfisher": partial(kingfisher, ours=False),
    "kingfisher with our rule": partial(kingfisher, ours=True),
    "detect-secrets": partial(detect_secrets, ours=False),
    "detect-secrets with our plugin": partial(detect_secrets, ours=True),
    "betterleaks": partial(betterleaks, ours=False),
    "betterleaks with our rule": partial(betterleaks, ours=True),
}


def compared(folder):
    """By scanner: how many leaks of all it finds, and for how many decoys it takes a key."""
    corpus.write(folder)
    names = {
        kind: {each.name for each in (folder / kind).iterdir()} for kind in ("leaks", "decoys")
    }
    return {
        name: [(len(scan(folder / kind) & names[kind]), len(names[kind])) for kind in names]
        for name, scan in SCANNERS.items()
    }


def table(figures):
    lines = ["| | leaks found | false alarms |", "|---|---|---|"]
    for name, ((found, leaks), (false, decoys)) in figures.items():
        lines.append(f"| {name} | {found} of {leaks} ({found / leaks:.0%}) | {false} of {decoys} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(table(compared(Path(place))))
