"""Signing in: sends the key to the API while importing the rest of the package.

Connecting takes longest, and most of the rest is importing the API's messages, so both happen
at the same time.
"""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from clarifai_magic.client.opening import Opening, ask_first
from clarifai_magic.client.registry import registry
from clarifai_magic.client.transport import Connection
from clarifai_magic.credentials.bundle import Credentials
from clarifai_magic.credentials.sources import Found, find_credentials
from clarifai_magic.credentials.sources.sandbox import hold
from clarifai_magic.errors import ClarifaiAuthWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.client.session import BaseSession

DEFAULT_TIMEOUT = 10.0

S = TypeVar("S", bound="BaseSession")


def sign_in(
    load: Callable[[], type[S]],
    credentials: Credentials | Found | None = None,
    *,
    verified: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    retries: bool = True,
) -> S:
    """Sign in, with a session of some kind.

    Parameters
    ----------
    load : callable
        Imports and returns the session's class while the API responds.
    credentials, verified, timeout, retries
        As for `clarifai_magic.connect`, whose errors are those of this function.

    Returns
    -------
    BaseSession
    """
    found = Found(credentials) if isinstance(credentials, Credentials) else credentials
    found = found or find_credentials()
    credentials = found.credentials
    token = os.urandom(16).hex()  # like `secrets`, without its imports
    with ExitStack() as undo:
        deployment = credentials.deployment
        if deployment.is_plaintext:
            # Before sending the key, which a filter that turns warnings into errors prevents.
            warnings.warn_explicit(deployment.words, ClarifaiAuthWarning, __name__, 0)
        connection = Connection(deployment, retries=retries)
        undo.callback(hold(deployment.base, connection))
        undo.callback(connection.close)
        first = ask_first(connection, credentials, timeout) if verified else None
        # The key must not show in a server's text meanwhile either.
        with registry.withholding({credentials.key, token}):
            kind = load()
            from clarifai_magic.client.session import open_session

            return open_session(kind, Opening(found, connection, token, first, retries, undo))
