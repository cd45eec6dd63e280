"""Keys in the system keyring, through the ``keyring`` package if it is installed.

The service is the API's base URL, so that a key never goes to another deployment; the user
name is the Clarifai user, followed by a slash and the app if one was chosen.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources.base import KeyNotHere, SourceContext
from clarifai_magic.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 10.0  # seconds: enough to unlock a keyring, not enough to hang a notebook

T = TypeVar("T")


def from_keyring(name: str, around: SourceContext) -> Credentials:
    """The key saved for the user (or user/app) `name`, or for any."""
    deployment = find_deployment(around.base, around.root_certificates or None)
    service = deployment.base

    def look() -> tuple[str, str] | None:
        found = _backend().get_credential(service, name or None)
        if found is None:
            return None
        user, key = found.username or "", found.password
        if not (isinstance(user, str) and isinstance(key, str)):
            raise KeyNotHere("its backend returned something other than text")
        return user, key

    found = _bounded(look)
    if found is None:
        raise KeyNotHere(f"nothing saved for {service}{f' and {name}' if name else ''}")
    user, key = found
    user_id, _, app_id = user.partition("/")
    return Credentials(
        key,
        user_id=user_id,
        app_id=app_id,
        base=service,
        root_certificates=deployment.root_certificates,
        source=Provenance("keyring", user),
        kept=_removal(service, user),
    )


def save(key: str, base: str, user_id: str, app_id: str) -> str:
    """Save a key.

    Returns
    -------
    str
        Where the key now is and how to remove it.

    Raises
    ------
    SourceError
        If there is no keyring or it does not keep the key.
    """
    user = f"{user_id}/{app_id}" if app_id else user_id
    plain = str.__str__(key)

    def store() -> bool:
        backend = _backend()
        backend.set_password(base, user, plain)
        return bool(backend.get_password(base, user) == plain)

    try:
        kept = _bounded(store)
    except KeyNotHere as absent:
        raise SourceError(
            f"Not saved: {absent}.", "pip install clarifai-magic[keyring], or --save config."
        ) from None
    if not kept:
        raise SourceError(
            "Not saved: the keyring accepted the key but did not keep it.",
            "`keyring diagnose` shows which keyring is in use; or --save config.",
        )
    return _removal(base, user)


def _removal(service: str, user: str) -> str:
    command = shlex.join(["keyring", "del", service, user])
    return f"The key stays in the keyring; `{command}` removes it."


def _backend() -> Any:
    """The keyring in use; finding it may fail or block, like using it."""
    import keyring
    from keyring.backends.fail import Keyring as NoKeyring

    try:
        backend = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001 - it imports what the user configured
        raise KeyNotHere(f"its backend cannot be loaded ({type(error).__name__})") from None
    if isinstance(backend, NoKeyring):
        raise KeyNotHere("this system has no keyring")
    return backend


def _bounded(use: Callable[[], T]) -> T:
    """What `use` returns, unless the keyring fails or blocks too long."""
    if "keyring" not in sys.modules and importlib.util.find_spec("keyring") is None:
        raise KeyNotHere("the keyring package is not installed")
    values: list[T] = []
    failures: list[str] = []

    def work() -> None:
        try:
            values.append(use())
        except KeyNotHere as absent:
            failures.append(str(absent))
        except BaseException as error:  # noqa: BLE001 - backends raise what their systems do
            failures.append(f"the keyring failed ({type(error).__name__})")

    # A daemon: an unanswered unlock dialog must not keep the kernel from ending.
    thread = threading.Thread(target=work, name="clarifai-keyring", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if values:
        return values[0]
    if not failures:
        raise KeyNotHere(f"the keyring did not answer within {_PATIENCE:.0f} s; is it locked?")
    raise KeyNotHere(failures[0])
