"""What is typed into the form's fields: checks, and what is wrong, beside the field it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.api.deployment import deployment_at, find_deployment
from clarifai_magic.credentials.parsing import clean_id, clean_key
from clarifai_magic.errors import (
    AppMismatchError,
    AppNotFoundError,
    ClarifaiMagicError,
    RefusedError,
    ThrottledError,
    TLSError,
    UnreachableError,
    UserNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CHECKS: dict[str, Callable[[str, str], object]] = {
    "key": lambda text, _key: clean_key(text),
    "user_id": lambda text, key: clean_id("user ID", text, clean_key(key)),
    "app_id": lambda text, key: clean_id("app ID", text, clean_key(key)),
    "root_certificates": lambda path, _key: deployment_at(PUBLIC_BASE, path),
    "base": lambda text, _key: find_deployment(text, root_certificates=""),
}
"""What validates each field, and the key, before anything goes to the API."""

_CONCERNED: dict[type[ClarifaiMagicError], str] = {
    UserNotFoundError: "user_id",
    AppNotFoundError: "app_id",
    AppMismatchError: "app_id",
    ThrottledError: "",
    RefusedError: "key",
    TLSError: "root_certificates",
    UnreachableError: "base",
}
"""The field that an API error concerns; a subclass goes before its base."""

_LABELS = {
    "--root-certificates PATH": "CA certificates",
    "--root-certificates": "CA certificates",
    "--user-id": "User ID",
    "--app-id": "App ID",
    "--base": "API base URL",
}
"""The form's names for the options in errors."""


def first_wrong(fields: Mapping[str, str]) -> dict[str, Any]:
    """The message about the first field that is not valid; empty if all are."""
    for name, check in _CHECKS.items():
        try:
            check(fields[name], fields["key"])
        except ClarifaiMagicError as error:
            return _beside(name, error)
    return {}


def complaint(error: ClarifaiMagicError) -> dict[str, Any]:
    """The message about an error of the API."""
    concerned = (field for kind, field in _CONCERNED.items() if isinstance(error, kind))
    return _beside(next(concerned, ""), error)


def _beside(field: str, error: ClarifaiMagicError) -> dict[str, Any]:
    """The form's text for an error, beside a field or, without one, beside the button."""
    message, hint = error.message, error.hint
    for option, label in _LABELS.items():
        message, hint = message.replace(option, label), hint.replace(option, label)
    return {"type": "error", "field": field, "message": message, "hint": hint}
