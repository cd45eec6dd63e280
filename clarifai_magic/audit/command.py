"""The audit's command line."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clarifai_magic.audit.auditing import Scope, audit
from clarifai_magic.audit.findings import Finding, Problem, without
from clarifai_magic.audit.reports import accepted, as_json, as_sarif, in_words
from clarifai_magic.errors import SourceError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator, Sequence

NOTHING, FOUND, UNREAD = 0, 1, 2
"""The exit codes."""


def parser(program: str) -> ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=program,
        description="Search notebooks, programs, pages and other text for Clarifai keys.",
        epilog="Exit code: 0 no keys, 1 keys found, 2 a file could not be read.",
    )
    made.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="default: .")
    made.add_argument("--all", action="store_true", help="also search what .gitignore names")
    made.add_argument(
        "--git", action="store_true", help="search git's history of the paths instead"
    )
    made.add_argument("--baseline", type=Path, metavar="FILE", help="a report whose keys to accept")
    made.add_argument("--verify", action="store_true", help="ask Clarifai whether keys still work")
    made.add_argument("--fix", action="store_true", help="mask keys outside programs")
    made.add_argument(
        "--fix-sources",
        action="store_true",
        help="the same, and make programs read the key from the environment",
    )
    made.add_argument("--backup", type=Path, metavar="DIR", help="keep the original files there")
    forms = made.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="report in JSON, also for a baseline")
    forms.add_argument("--sarif", action="store_true", help="report in SARIF, for CI")
    return made


def run(arguments: Namespace, say: Callable[[str], object]) -> int:
    """Make an audit and report on it.

    Parameters
    ----------
    arguments : Namespace
        As from `parser`.
    say : callable
        Receives the report.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SourceError
        If the baseline is not valid, or the options would change history.
    BaseURLError
        If keys would be sent unencrypted.
    """
    fixing = arguments.fix or arguments.fix_sources
    if fixing and arguments.git:
        raise SourceError(
            "The audit does not change git's history.",
            "Revoke the key; rewriting history does not make it safe.",
        )
    known = accepted(arguments.baseline) if arguments.baseline else set()
    paths = tuple(path.expanduser() for path in arguments.paths) or (Path(),)
    found = [*audit(Scope(paths, arguments.all, arguments.git))]
    keys = {str.__str__(each.key) for each in found if isinstance(each, Finding)}
    problems = [each for each in found if isinstance(each, Problem)]
    findings = [
        each for each in found if isinstance(each, Finding) and each.fingerprint not in known
    ]
    if arguments.verify and findings:
        from clarifai_magic.audit.verifying import verified

        findings = list(verified(findings))
    unfixed = [*_fixed(arguments, findings)] if fixing else []
    named = partial(without, keys)
    reported = _report(
        arguments, [*map(named, findings)], [*map(named, problems)], [*map(named, unfixed)]
    )
    say(reported)
    return UNREAD if problems or unfixed else FOUND if findings else NOTHING


def _fixed(arguments: Namespace, findings: Sequence[Finding]) -> Iterator[Problem]:
    from clarifai_magic.audit.fixing import fix

    keys: dict[str, set[str]] = {}
    for finding in findings:
        if arguments.fix_sources or not finding.is_program:
            keys.setdefault(finding.file, set()).add(str.__str__(finding.key))
    for file, found in keys.items():
        sources, backup = arguments.fix_sources, arguments.backup
        if problem := fix(Path(file), sorted(found), sources=sources, backup=backup):
            yield problem


def _report(
    arguments: Namespace,
    findings: Sequence[Finding],
    unread: Sequence[Problem],
    unfixed: Sequence[Problem],
) -> str:
    problems = [*unread, *unfixed]
    if arguments.json:
        return as_json(findings, problems)
    if arguments.sarif:
        return as_sarif(findings, problems)
    lines = [*in_words(findings, problems)]
    masked = "Masked in the other files" if unfixed else "Masked"
    if findings and arguments.fix_sources:
        lines.append(f"{masked}; programs now read CLARIFAI_PAT from the environment.")
    elif findings and arguments.fix:
        lines.append(f"{masked}, outside programs; --fix-sources changes programs too.")
    return "\n".join(lines)
