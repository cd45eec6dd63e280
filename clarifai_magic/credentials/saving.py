"""``--save``: save a key where the user says, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarifai_magic.errors import SourceError

if TYPE_CHECKING:
    from clarifai_magic.credentials.bundle import Credentials

PLACES = ("config", "keyring")


def save(credentials: Credentials, place: str, *, of_an_app: bool, owner: str = "") -> str:
    """Save a key and what belongs to it.

    Parameters
    ----------
    credentials : Credentials
        Those of an open session, so that they are known to work.
    place : str
        One of `PLACES`: the Clarifai command line's file, which holds PATs only, or the keyring.
    of_an_app : bool
        Whether the key is an app's API key.
    owner : str
        The key's owner; names the context in the file.

    Returns
    -------
    str
        Where the key now is and how to remove it.

    Raises
    ------
    SourceError
        If the key cannot be saved there.
    """
    if place == "config":
        return _to_config(credentials, of_an_app=of_an_app, owner=owner)
    from clarifai_magic.credentials.sources import keyring

    return keyring.save(
        credentials.key, credentials.base, credentials.user_id or "me", credentials.app_id
    )


def _to_config(credentials: Credentials, *, of_an_app: bool, owner: str) -> str:
    if of_an_app:
        raise SourceError(
            "Not saved: the CLI's file holds PATs, but this is an API key.",
            "--save keyring takes both.",
        )
    from clarifai_magic.credentials.sources import cli_config

    return cli_config.save(
        credentials.key,
        {
            "CLARIFAI_USER_ID": credentials.user_id,
            "CLARIFAI_APP_ID": credentials.app_id,
            "CLARIFAI_API_BASE": credentials.base,
            "CLARIFAI_ROOT_CERTIFICATES_PATH": credentials.deployment.root_certificates,
        },
        context=owner or credentials.user_id or "default",
    )
