"""``--export-env``: a session in this process's environment, for other clients to find."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clarifai_magic.session import Session


def variables(session: Session) -> dict[str, str]:
    """What the Clarifai SDK and CLI, and programs in shell cells, look for.

    Returns
    -------
    dict of str to str
        The key among them, in clear: an environment holds plain text. Empty where a variable
        must not be set, lest another key or ID be taken for this session's.
    """
    who = session.identity
    key = str.__str__(session.found.credentials.key)
    of_an_app = who.kind == "API key"
    return {
        "CLARIFAI_PAT": "" if of_an_app else key,
        "CLARIFAI_API_KEY": key if of_an_app else "",
        "CLARIFAI_USER_ID": who.user_id,
        "CLARIFAI_APP_ID": who.app_id,
        "CLARIFAI_API_BASE": session.base,
        "CLARIFAI_ROOT_CERTIFICATES_PATH": session.deployment.root_certificates,
    }


def export(values: Mapping[str, str]) -> Callable[[], None]:
    """Set variables, or unset those with an empty value, until what is returned is called.

    That function puts back what was there before, where a variable is still as it was set.
    """
    before = {name: os.environ.get(name, "") for name in values}
    _put(values)

    def undo() -> None:
        ours = {name for name, value in values.items() if os.environ.get(name, "") == value}
        _put({name: before[name] for name in ours})

    return undo


def _put(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
