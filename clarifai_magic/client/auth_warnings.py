"""Warnings about later calls that are refused because of the key."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.api.scopes import Auth, missing_scopes, requirement
from clarifai_magic.api.statuses import ABSENT_STATUSES, CHECK_IDS, PUBLIC_IDS, named, words
from clarifai_magic.errors import ClarifaiAuthWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from clarifai_magic.client.identity import Identity

_log = logging.getLogger(__name__)

_BETWEEN = {"clarifai_magic", "grpc"}
"""The packages between a user's line and the response to it."""


class AuthWarnings:
    """Warns once per cause when the API refuses a session's call.

    Parameters
    ----------
    identity : Identity
        Of the calls' key.

    Attributes
    ----------
    wanted : callable
        Called at each refusal; returns whether to warn.
    """

    def __init__(self, identity: Identity) -> None:
        self.wanted: Callable[[], bool] = lambda: True
        self._identity = identity
        self._seen: set[tuple[str, int]] = set()

    def __call__(self, method: str, code: int, asked: Any) -> None:
        """Warn of a call to `method` whose response had the status `code`.

        `asked` are the request's IDs if these may be at fault, else None. There is no warning about
        a missing resource under other users' IDs, unless the key reaches no other users at all.
        """
        _log.debug("%s refused: %s", method, named(code))
        if asked is not None and not self._at_home(asked):
            return
        if (method, code) in self._seen or not self.wanted():
            return
        self._seen.add((method, code))
        wrong, remedy = concerning(method, code, self._identity)
        place = _caller() or (method, 0)
        # A filter may turn warnings into errors; here an error would replace the response.
        with contextlib.suppress(ClarifaiAuthWarning):
            # Explicit, because gRPC decides how many frames lie between.
            warnings.warn_explicit(
                f"{method} was refused ({named(code)}): {wrong}. {remedy}",
                ClarifaiAuthWarning,
                *place,
            )

    def _at_home(self, asked: Any) -> bool:
        own = ("", "me", self._identity.user_id)
        return self._identity.kind == "API key" or asked.user_id in own


def _caller() -> tuple[str, int] | None:
    """File and number of the user's line that led here.

    None if the stack has no such line: in gRPC's threads and an event loop's tasks.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - CPython's, and documented
    while frame and _package(frame) in _BETWEEN:
        frame = frame.f_back
    if frame is None or _package(frame) in sys.stdlib_module_names:
        return None
    return frame.f_code.co_filename, frame.f_lineno


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def concerning(method: str, code: int, identity: Identity) -> tuple[str, str]:
    """What a refused call means for the key that made it.

    Parameters
    ----------
    method : str
        Bare name, such as ``PostInputs``.
    code : int
        The status code of the response.
    identity : Identity
        Of the key.

    Returns
    -------
    wrong, remedy : str
        As in `WORDS`, but with the missing scopes or the required kind of key.
    """
    _, wrong, remedy = words(code)
    need = requirement(method)
    if need.auth is Auth.PAT and identity.kind == "API key":
        return (
            f"{method} takes a PAT, but this is an API key",
            f"Sign in with a PAT; create one at {SECRETS_PAGE}.",
        )
    if code in ABSENT_STATUSES:
        means = "sign in with a PAT and give" if identity.kind == "API key" else "give"
        return (
            "the model or workflow does not exist under the call's IDs",
            f"For a model or workflow of Clarifai's own {means} the request {PUBLIC_IDS}.",
        )
    if code == status_code_pb2.CONN_INSUFFICIENT_SCOPES and identity.scopes:
        missing = missing_scopes(method, identity.scopes, identity.endpoints)
        if missing:
            return f"the key lacks {', '.join(sorted(missing))}", remedy
        return "the key may do this only with the resources of its own user and app", CHECK_IDS
    if code == status_code_pb2.CONN_KEY_INVALID and identity.kind == "PAT" and not identity.app_id:
        return (
            "a PAT needs an app ID here, but no app is chosen",
            "Run %clarifai_auth --app-id ID, or set user_app_id in the request.",
        )
    return wrong, remedy
