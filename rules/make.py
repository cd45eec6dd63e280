"""Writes the rules for other scanners, from what the audit knows: ``python rules/make.py``.

They know one line at a time and no program's flow, so they find less than the audit.
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
# Without look-around, which neither RE2 nor Vectorscan has.
SPECIFIC = r"pats?\d?|clarifai|authorization|bearer|api[_-]?keys?|access[_-]?token"
GENERIC = r"keys?|tokens?|secret|auth|password"
BEFORE = r"(?:[a-z0-9]{1,20}[_.-]){0,4}"  # of what is certain; the cache_key is another
AFTER = r"(?:[_-]?(?:key|token|pat|secret|dev|prod|\d))*"
NAME = rf"{BEFORE}(?:{SPECIFIC}){AFTER}|(?:(?:my|set|own|x)[_-])?(?:{GENERIC})\d?"
CAMEL = r"(?:my|clarifai|api|access)(?:Pat|PAT|Key|Token|Secret)"
TAKES = (
    r"""(?:&quot;|</?\w+>|[\\"'`\])}*]){0,4}\s{0,3}"""
    r"(?::\s{0,3}str\s{0,3}=|:=|=>|==|[=:,(]|\s)"
    r"""(?:&quot;|[\s"'`(\[{*\\rb]){0,6}(?:(?:is|format)\b[\s"'(]*)?"""
)
HEADER = r"(?:(?:key|bearer)(?:%20|[\s\"'+]){1,8})?"
KEY = "[0-9a-f]{32}"
KEYS = f"({KEY}|{KEY.replace('a-f', 'A-F')})"
PATTERN = rf"(?:^|[^a-zA-Z0-9_-]|--)(?i:{NAME}|{CAMEL}){TAKES}(?i:{HEADER}){KEYS}(?:[^0-9a-zA-Z]|$)"
ABOUT = "Clarifai PAT or API key"
MADE = "Made by rules/make.py."


def kingfisher() -> str:
    """A rule in YAML, of which JSON is a part."""
    rule = {
        "name": ABOUT,
        "id": "clarifai.1",
        "pattern": PATTERN,
        "min_entropy": 2.8,
        "confidence": "medium",
    }
    return f"# {MADE}\n{json.dumps({'rules': [rule]}, indent=2)}\n"


def betterleaks() -> str:
    """A configuration for betterleaks, and for gitleaks, whose form it is."""
    return f"""# {MADE}
title = "Clarifai"

[[rules]]
id = "clarifai-key"
description = "{ABOUT}"
regex = '''{PATTERN}'''
"""


def detect_secrets() -> str:
    """A plugin, for ``detect-secrets scan --plugin FILE``."""
    return f'''"""Finds Clarifai keys. {MADE}"""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class ClarifaiDetector(RegexBasedDetector):
    """Finds a {ABOUT} by what stands before it."""

    secret_type = "{ABOUT}"
    denylist = (
        re.compile(
            r"""{PATTERN}"""
        ),
    )
'''


FILES = {
    "kingfisher.yml": kingfisher,
    "betterleaks.toml": betterleaks,
    "detect_secrets_clarifai.py": detect_secrets,
}

if __name__ == "__main__":
    for name, made in FILES.items():
        (HERE / name).write_text(made(), encoding="utf-8")
