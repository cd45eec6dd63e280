"""What a source is: a function that looks in one place for credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from clarifai_magic.credentials import Credentials


class Absent(Exception):  # noqa: N818 - not an error: the next source is tried
    """This place has no key; the argument says why, in a few words."""


class PassedOver(NamedTuple):
    """A source that was not used.

    Parameters
    ----------
    place : str
        The source, in words for the user.
    reason : str
        Why it was passed over.
    """

    place: str
    reason: str


class Later(Exception):  # noqa: N818 - not an error either: no other source is tried
    """The key comes later, by a form that has to be shown now.

    Parameters
    ----------
    passed_over : sequence of PassedOver
        The sources before it.
    """

    def __init__(self, passed_over: Sequence[PassedOver] = ()) -> None:
        super().__init__()
        self.passed_over = passed_over


@dataclass(frozen=True)
class Surroundings:
    """What a source may need to know of where the code runs.

    Parameters
    ----------
    namespace : mapping
        The notebook's variables, for ``var:NAME``.
    may_ask : bool
        Whether somebody is there to answer a prompt.
    shows_forms : bool
        Whether they sit at a notebook front end, which can show them a form.
    shell_module : str
        Name of the module that defines IPython's shell here, which tells Google Colab.
    signed_in : Credentials, optional
        Those of the notebook's present session.
    denied : set of str
        Secrets that the user has said no to; sources add to it and do not ask for these again.
    """

    namespace: Mapping[str, Any] = field(default_factory=dict)
    may_ask: bool = False
    shows_forms: bool = False
    shell_module: str = ""
    signed_in: Credentials | None = None
    denied: set[str] = field(default_factory=set)


Source = Callable[[str, Surroundings], Credentials]
"""Takes the NAME of ``SOURCE:NAME`` and the surroundings; raises `Absent`."""

KEY_NAMES = ("CLARIFAI_PAT", "CLARIFAI_API_KEY")
"""What a key is called in the environment and in the secrets of hosted notebooks."""


def bundle(read: Callable[[str], str], name: str, source: str) -> Credentials:
    """The credentials that a place keeps under the usual names.

    Parameters
    ----------
    read : callable
        Gives the value of a name in that place, empty if there is none.
    name : str
        What the key is called there; empty for `KEY_NAMES`, in their order.
    source : str
        The place, in words that go behind the name of the key.

    Raises
    ------
    Absent
        If none of the names has a value.
    """
    names = (name,) if name else KEY_NAMES
    for key_name in names:
        if key := read(key_name):
            return Credentials(
                key,
                user_id=read("CLARIFAI_USER_ID"),
                app_id=read("CLARIFAI_APP_ID"),
                source=f"{key_name} {source}",
            )
    raise Absent(f"no {' or '.join(names)}")
