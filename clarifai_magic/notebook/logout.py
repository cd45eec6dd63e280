"""What logout does, and its report on what it cannot undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarifai_magic.client.internals import internals
from clarifai_magic.errors import NotSignedInError
from clarifai_magic.notebook import environment
from clarifai_magic.notebook.forks import forked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from clarifai_magic.notebook.sessions import Notebook

_IPYTHONS = {"In", "Out"}
_SDK_IMPORTED = (
    "The Clarifai SDK was imported during the session and keeps its address: "
    "restart the kernel to use the SDK without it."
)


def known(name: str, names: Collection[str], notebook: Notebook) -> str:
    """A name, if it is one of the known ones.

    Raises
    ------
    NotSignedInError
        Otherwise; the message lists the open sessions.
    """
    if name not in names:
        raise NotSignedInError(
            "No open session has that name.",
            f"Signed in: {', '.join(notebook.sessions) or 'none yet'}. "
            "%clarifai_auth --as NAME signs in another.",
        )
    return name


def sign_out(notebook: Notebook, names: Sequence[str]) -> list[str]:
    """Close the sessions and the forms of these names; return the lines that say what is left."""
    sessions = [notebook.sessions[name] for name in names if name in notebook.sessions]
    keys = {str.__str__(internals(session).found.credentials.key) for session in sessions}
    kept = [words for session in sessions for words in internals(session).kept]
    forked_since = {
        process
        for name in names
        if name in notebook.sessions
        for process in forked() - notebook.forked_before[name]
    }
    bases = {session.broker.base for session in sessions if session.broker.is_open}
    for name in names:
        notebook.close(name)
    if not sessions:
        return ["Not signed in."]
    lines = ["Signed out."]
    if notebook.sessions:
        lines = [f"Signed out. Still signed in: {', '.join(notebook.sessions)}."]
    if environment.sdk_base() in bases:
        kept.append(_SDK_IMPORTED)
    left = [*dict.fromkeys(kept), *_holding(notebook, keys), *_of_forks(forked_since)]
    return [*lines, *left]


def _holding(notebook: Notebook, keys: Collection[str]) -> Iterator[str]:
    """The report on the environment and on the user's own variables."""
    for name in environment.holding(keys):
        yield f"{name} is still set in the environment."
    search, shell = notebook.search(keys), notebook.shell
    names = [
        name
        for name, value in list(shell.user_ns.items())
        if name not in _IPYTHONS
        and value is not shell.user_ns_hidden.get(name, notebook)
        and not notebook.names.shows(name)
        and search.finds(value)
    ]
    if len(names) == 1:
        yield f"The notebook variable {names[0]} still holds the key."
    elif names:
        yield f"The notebook variables {', '.join(names)} still hold the key."


def _of_forks(processes: Collection[int]) -> Iterator[str]:
    numbers = ", ".join(map(str, sorted(processes)))
    if len(processes) == 1:
        yield f"A process forked from this one ({numbers}) keeps the key until it ends."
    elif processes:
        yield f"Processes forked from this one ({numbers}) keep the key until they end."
