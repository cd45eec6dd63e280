"""An audit's findings, for people, for programs, and for CI in SARIF."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.audit.findings import CERTAIN, LIKELY, POSSIBLE
from clarifai_magic.errors import SourceError
from clarifai_magic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clarifai_magic.audit.findings import Finding, Problem

_RULE = "clarifai-key"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {CERTAIN: "error", LIKELY: "error", POSSIBLE: "warning"}


def in_words(findings: Sequence[Finding], problems: Sequence[Problem]) -> Iterator[str]:
    """The findings and what to do about them, line by line."""
    yield from map(str, findings)
    for problem in problems:
        yield f"Not fully searched: {problem}"
    if findings:
        yield f"Anyone who has seen one of these may have the key: revoke it at {SECRETS_PAGE}."
    else:
        yield "No key was found."


def as_json(findings: Sequence[Finding], problems: Sequence[Problem]) -> str:
    """The same for programs, and for a baseline."""
    found = [finding.known() for finding in findings]
    return json.dumps(
        {"findings": found, "problems": [asdict(each) for each in problems]}, indent=1
    )


def as_sarif(findings: Sequence[Finding], problems: Sequence[Problem]) -> str:
    """The same in SARIF 2.1.0, which GitHub and GitLab read."""
    rule = {
        "id": _RULE,
        "name": "ClarifaiKey",
        "shortDescription": {"text": "A Clarifai PAT or API key"},
        "help": {"text": f"Revoke it at {SECRETS_PAGE}, and read it from the environment."},
    }
    driver = {"name": "clarifai-magic", "version": __version__, "rules": [rule]}
    invocation = {
        "executionSuccessful": not problems,
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": str(each)}} for each in problems
        ],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "results": list(map(_result, findings)),
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _result(finding: Finding) -> dict[str, Any]:
    artifact = {"uri": quote(os.fsencode(Path(finding.file).as_posix()))}
    # A notebook's line number counts within a place, not within the file.
    region = {} if finding.cell else {"region": {"startLine": finding.line}}
    result: dict[str, Any] = {
        "ruleId": _RULE,
        "level": _LEVELS[finding.sure],
        "message": {"text": f"{finding.place}: {finding.reason} ({finding.sure})"},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, **region}}],
        "partialFingerprints": {"clarifaiKey/v1": finding.fingerprint},
    }
    if finding.commit:
        result["properties"] = {"commit": finding.commit}
    return result


def accepted(baseline: Path) -> set[str]:
    """The fingerprints of a baseline, which is a report in JSON.

    Raises
    ------
    SourceError
        If it is not such a report.
    """
    try:
        known = json.loads(baseline.read_bytes())  # which tells the encoding, as of PowerShell's >
        return {str(finding["fingerprint"]) for finding in known["findings"]}
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, RecursionError):
        reason = "is not an audit report"
    raise SourceError(
        f"The baseline {baseline} {reason}.",
        f"Make one: clarifai-magic audit --json > {baseline}",
    )
