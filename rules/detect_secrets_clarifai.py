"""Finds Clarifai keys. Made by rules/make.py."""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class ClarifaiDetector(RegexBasedDetector):
    """Finds a Clarifai PAT or API key by what stands before it."""

    secret_type = "Clarifai PAT or API key"
    denylist = (
        re.compile(
            r"""(?:^|[^a-zA-Z0-9_-]|--)(?i:(?:[a-z0-9]{1,20}[_.-]){0,4}(?:pats?\d?|clarifai|authorization|bearer|api[_-]?keys?|access[_-]?token)(?:[_-]?(?:key|token|pat|secret|dev|prod|\d))*|(?:(?:my|set|own|x)[_-])?(?:keys?|tokens?|secret|auth|password)\d?|(?:my|clarifai|api|access)(?:Pat|PAT|Key|Token|Secret))(?:&quot;|</?\w+>|[\\"'`\])}*]){0,4}\s{0,3}(?::\s{0,3}str\s{0,3}=|:=|=>|==|[=:,(]|\s)(?:&quot;|[\s"'`(\[{*\\rb]){0,6}(?:(?:is|format)\b[\s"'(]*)?(?i:(?:(?:key|bearer)(?:%20|[\s\"'+]){1,8})?)([0-9a-f]{32}|[0-9A-F]{32})(?:[^0-9a-zA-Z]|$)"""
        ),
    )
