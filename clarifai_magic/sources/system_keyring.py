"""Keys in the system's keyring, through the ``keyring`` package where it is installed.

The service is the API's base URL, so that a key is never sent to another deployment; the user
name is the Clarifai user, with the app behind a slash where one was chosen.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from clarifai_magic.credentials import Credentials
from clarifai_magic.deployment import find_deployment
from clarifai_magic.errors import SourceError
from clarifai_magic.sources.place import Absent, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_PATIENCE = 10.0  # seconds: enough to unlock a keyring, not enough to hang a notebook

T = TypeVar("T")


def from_keyring(name: str, _around: Surroundings) -> Credentials:
    """The key that was saved for the user (or user/app) `name`, or for any."""
    service = find_deployment().base
    found = _bounded(lambda keyring: keyring.get_credential(service, name or None))
    if found is None:
        raise Absent(f"nothing saved for {service}{f' and {name}' if name else ''}")
    user_id, _, app_id = found.username.partition("/")
    return Credentials(
        found.password,
        user_id=user_id,
        app_id=app_id,
        base=service,
        source=f"{found.username} in the keyring",
        kept=_removal(service, found.username),
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
        If there is no keyring or it does not take the key.
    """
    user = f"{user_id}/{app_id}" if app_id else user_id
    try:
        _bounded(lambda keyring: keyring.set_password(base, user, str.__str__(key)))
    except Absent as absent:
        raise SourceError(
            f"Not saved: {absent}.", "pip install clarifai-magic[keyring], or --save config."
        ) from None
    return _removal(base, user)


def _removal(service: str, user: str) -> str:
    return f"The key stays in the keyring; `keyring del {service} {user}` removes it."


def _bounded(use: Callable[[ModuleType], T]) -> T:
    """What `use` gives, unless the keyring fails or waits longer than anybody would."""
    try:
        import keyring
        from keyring.backends.fail import Keyring as NoKeyring
    except ImportError:
        raise Absent("the keyring package is not installed") from None
    if isinstance(keyring.get_keyring(), NoKeyring):
        raise Absent("this system has no keyring")
    values: list[T] = []
    failures: list[str] = []

    def work() -> None:
        try:
            values.append(use(keyring))
        except Exception as error:  # noqa: BLE001 - backends raise what their systems do
            failures.append(type(error).__name__)

    # A daemon: an unlock dialog that nobody answers must not keep the kernel from ending.
    thread = threading.Thread(target=work, name="clarifai-keyring", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if values:
        return values[0]
    if not failures:
        raise Absent(f"the keyring did not answer within {_PATIENCE:.0f} s; is it locked?")
    raise Absent(f"the keyring failed ({failures[0]})")
