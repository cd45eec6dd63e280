"""``--save``: a key remembered where the user says, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarifai_magic.errors import SourceError

if TYPE_CHECKING:
    from clarifai_magic.session import Session

PLACES = ("config", "keyring")


def save(session: Session, place: str) -> str:
    """Save a session's key.

    Parameters
    ----------
    session : Session
        Signed in, so that what is saved is known to work.
    place : str
        One of `PLACES`: the Clarifai command line's file, which holds PATs only, or the keyring.

    Returns
    -------
    str
        Where the key now is and how to remove it; logout says it too.

    Raises
    ------
    SourceError
        If the key cannot be saved there.
    """
    words = _to_config(session) if place == "config" else _to_keyring(session)
    session.kept.append(words)
    return words


def _to_config(session: Session) -> str:
    who = session.identity
    if who.kind == "API key":
        raise SourceError(
            "Not saved: the command line's file holds PATs, and this is an API key.",
            "--save keyring takes both.",
        )
    from clarifai_magic.sources import cli_config

    return cli_config.save(
        session.found.credentials.key,
        {
            "CLARIFAI_USER_ID": who.user_id,
            "CLARIFAI_APP_ID": who.app_id,
            "CLARIFAI_API_BASE": session.base,
            "CLARIFAI_ROOT_CERTIFICATES_PATH": session.deployment.root_certificates,
        },
        context=who.owner or who.user_id or "default",
    )


def _to_keyring(session: Session) -> str:
    from clarifai_magic.sources import system_keyring

    who = session.identity
    return system_keyring.save(
        session.found.credentials.key, session.base, who.user_id or "me", who.app_id
    )
