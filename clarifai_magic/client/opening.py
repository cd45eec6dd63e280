"""A session before the API has responded; needs none of the API's messages."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from contextlib import ExitStack

    from clarifai_magic.client.transport import Connection
    from clarifai_magic.credentials.bundle import Credentials
    from clarifai_magic.credentials.sources import Found

_log = logging.getLogger(__name__)


class FirstQuestion(NamedTuple):
    """MyScopes, whose request is empty, so that it can be sent before importing any message.

    Parameters
    ----------
    call : grpc.Future
        Returns the response's bytes.
    deadline : float
        The end of the time for all calls, by the monotonic clock.
    """

    call: Any
    deadline: float


class Opening(NamedTuple):
    """A session before the API has responded.

    Parameters
    ----------
    found : Found
        The credentials.
    connection : Connection
        Connecting to their deployment.
    token : str
        Replaces the key on this machine.
    first : FirstQuestion or None
        The call already in flight; None if the key is not to be verified.
    retries : bool
        Whether calls are retried.
    undo : ExitStack
        What the session undoes at its end.
    """

    found: Found
    connection: Connection
    token: str
    first: FirstQuestion | None
    retries: bool
    undo: ExitStack


def ask_first(connection: Connection, credentials: Credentials, timeout: float) -> FirstQuestion:
    """Request the key's scopes, which also starts to connect; `timeout` is in seconds."""
    _log.debug("MyScopes to %s", connection.deployment.base)
    call = connection.channel.unary_unary("/clarifai.api.V2/MyScopes")
    asked = call.future(b"", metadata=credentials.metadata, timeout=timeout)
    return FirstQuestion(asked, time.monotonic() + timeout)
