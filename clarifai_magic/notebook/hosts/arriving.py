"""Turns the key that a form sends into a Secret before anything in the kernel can log it.

The kernel and the comm package log whole messages at DEBUG, before handling them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.credentials.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable


def secret_on_arrival(session: Any, comm_id: str) -> Callable[[], None]:
    """Turn the key in each message to a comm into a `Secret` as soon as it is read.

    Parameters
    ----------
    session : jupyter_client.session.Session
        The kernel's, which reads messages.
    comm_id : str
        The form's comm.

    Returns
    -------
    callable
        Undoes it. If other code has wrapped the reading since, it stays in that chain.
    """
    original = session.unpack
    listening = True

    def unpack(data: Any) -> Any:
        message = original(data)
        if listening and isinstance(message, dict) and message.get("comm_id") == comm_id:
            _hide_key(message)
        return message

    def undo() -> None:
        nonlocal listening
        listening = False
        if session.unpack is unpack:
            session.unpack = original

    session.unpack = unpack
    return undo


def _hide_key(message: dict[str, Any]) -> None:
    content = message.get("data", {}).get("content", {})
    if isinstance(content.get("key"), str):
        content["key"] = Secret(content["key"])
