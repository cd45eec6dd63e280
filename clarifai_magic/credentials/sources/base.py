"""What a source is: a function that looks in one place for credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from clarifai_magic.credentials.bundle import Credentials, Provenance


class KeyNotHere(Exception):  # noqa: N818 - not an error: the next source is tried
    """This place has no key; the argument says why, in a few words."""


class Skipped(NamedTuple):
    """A source that was not used.

    Parameters
    ----------
    place : str
        The source, in words for the user.
    reason : str
        Why it was skipped.
    """

    place: str
    reason: str


class NeedsForm(Exception):  # noqa: N818 - not an error either: no other source is tried
    """The key comes later, from a form to show now.

    Parameters
    ----------
    skipped : sequence of Skipped
        The sources before it.
    """

    def __init__(self, skipped: Sequence[Skipped] = ()) -> None:
        super().__init__()
        self.skipped = skipped


class SourceContext(NamedTuple):
    """What a source may need to know about its surroundings.

    Parameters
    ----------
    namespace : mapping
        The notebook's variables, for ``var:NAME``.
    may_ask : bool
        Whether a prompt can be answered.
    patience : float
        How many seconds a prompt waits; 0 for no limit.
    answers_later : bool
        Whether a form can give a key after the cell has run.
    instead : str
        What a person does to give a key without a prompt, or without an answer to it.
    in_colab : bool
        Whether this is Google Colab, which has secrets.
    base, root_certificates : str
        The requested base URL and CA bundle; empty if none.
    signed_in : Credentials, optional
        Those of the notebook's current session.
    denied : set of str, optional
        Secrets that the user refused; sources add to it and do not request these again. None to
        request all of them.
    """

    namespace: Mapping[str, Any] = MappingProxyType({})
    may_ask: bool = False
    patience: float = 0
    answers_later: bool = False
    instead: str = "Set CLARIFAI_PAT (or CLARIFAI_API_KEY) in the environment."
    in_colab: bool = False
    base: str = ""
    root_certificates: str = ""
    signed_in: Credentials | None = None
    denied: set[str] | None = None

    def credentials(self, key: Any, source: Provenance, **parts: str) -> Credentials:
        """The bundle of a key from a place without a base URL: it uses the requested one."""
        roots = self.root_certificates or None
        return Credentials(key, base=self.base, root_certificates=roots, source=source, **parts)


Source = Callable[[str, SourceContext], Credentials]
"""Takes the NAME of ``SOURCE:NAME`` and the surroundings; raises `KeyNotHere`."""

KEY_NAMES = ("CLARIFAI_PAT", "CLARIFAI_API_KEY")
"""The names of a key in the environment and in the secrets of hosted notebooks."""


def bundle(read: Callable[[str], str], name: str, kind: str, around: SourceContext) -> Credentials:
    """The credentials in a place, under the usual names.

    Parameters
    ----------
    read : callable
        Returns the value of a name in that place, empty if there is none.
    name : str
        The key's name there; empty for `KEY_NAMES`, in order.
    kind : str
        The source's, for the provenance.
    around : SourceContext
        The surroundings.

    Raises
    ------
    KeyNotHere
        If none of the names has a value.
    """
    names = (name,) if name else KEY_NAMES
    for key_name in names:
        if key := read(key_name):
            return around.credentials(
                key,
                Provenance(kind, key_name),
                user_id=read("CLARIFAI_USER_ID"),
                app_id=read("CLARIFAI_APP_ID"),
            )
    raise KeyNotHere(f"no {' or '.join(names)}")
