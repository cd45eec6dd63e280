"""Turns the key that a form sends into a Secret before anything in the kernel can log it.

The kernel and the comm package log whole messages at DEBUG, before handling them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from clarifai_magic.concurrency import Lock
from clarifai_magic.credentials.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

_changing = Lock()


class Arrival(ABC):
    """Stands in place of the method by which messages arrive, from the first form on.

    Parameters
    ----------
    original : callable
        The method.
    """

    def __init__(self, original: Callable[[Any], Any]) -> None:
        self.original = original
        self.comm_ids: set[str] = set()

    @abstractmethod
    def __call__(self, message: Any, /) -> Any:
        """What the method does, with the key in a message to one of the comms hidden."""


class Unpacked(Arrival):
    """In place of the method with which a kernel's session reads the parts of a message."""

    def __call__(self, data: Any, /) -> Any:
        """Read a part."""
        message = self.original(data)
        match message:
            case {"comm_id": str(comm_id), "data": {"content": content}}:
                if comm_id in self.comm_ids:
                    _hide_key(content)
        return message


class Handled(Arrival):
    """In place of the method with which a kernel of marimo's takes a command."""

    def __call__(self, command: Any, /) -> Any:
        """Take a command."""
        if getattr(command, "model_id", None) in self.comm_ids:
            _hide_key(getattr(command.message, "content", None))
        return self.original(command)


def secret_on_arrival(owner: Any, method: str, arrival: type[Arrival], comm_id: str) -> None:
    """Turn the key in each message to a comm into a `Secret` as soon as it arrives.

    Also after the form's end: a page can have sent one before it knew of that.

    Parameters
    ----------
    owner : object
        Whose method it is by which messages arrive.
    method : str
        The method's name.
    arrival : type of Arrival
        What to put in its place, unless it is there for another form.
    comm_id : str
        The form's comm.
    """
    with _changing:
        present = getattr(owner, method)
        if not isinstance(present, arrival):
            present = arrival(present)
            setattr(owner, method, present)
        present.comm_ids.add(comm_id)


def _hide_key(content: Any) -> None:
    if isinstance(content, dict) and isinstance(content.get("key"), str):
        content["key"] = Secret(content["key"])
