"""Where a key can be found: one small function a place, tried one after the other.

A source returns Credentials, or raises `Absent` with the reason why it has none. Each gives a
whole bundle: a key is never paired with the IDs of another source.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic.credentials import Credentials
from clarifai_magic.errors import ClarifaiMagicError, NoCredentialsError, SourceError
from clarifai_magic.keys import SECRETS_PAGE
from clarifai_magic.sources.cli_config import from_config
from clarifai_magic.sources.hosted import from_colab, from_kaggle
from clarifai_magic.sources.place import (
    KEY_NAMES,
    Absent,
    Later,
    PassedOver,
    Source,
    Surroundings,
    bundle,
)
from clarifai_magic.sources.system_keyring import from_keyring

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPT = "Clarifai PAT or API key: "


class Found(NamedTuple):
    """Credentials, and what was looked at besides.

    Parameters
    ----------
    credentials : Credentials
        The first that was found.
    passed_over : tuple of PassedOver
        Sources before it that had none, and what it shadows.
    """

    credentials: Credentials
    passed_over: tuple[PassedOver, ...] = ()

    def narrowed(self, **changes: str) -> Found:
        """The same with the non-empty `changes` put into the credentials."""
        return self._replace(credentials=self.credentials.replaced(**changes))


def from_environment(name: str, _around: Surroundings) -> Credentials:
    """A key in the environment: in `name`, else in CLARIFAI_PAT, else in CLARIFAI_API_KEY."""
    found = bundle(lambda variable: os.environ.get(variable, ""), name, "in the environment")
    variable = found.source.partition(" ")[0]
    return replace(found, kept=f"{variable} is still set in the environment.")


def from_variable(name: str, around: Surroundings) -> Credentials:
    """A key in the notebook variable `name`."""
    if name not in around.namespace:
        raise Absent(f"no variable {name!r} in the notebook")
    return Credentials(
        around.namespace[name],
        source=f"the notebook variable {name}",
        kept=f"The notebook variable {name} still holds the key.",
    )


def from_form(_name: str, around: Surroundings) -> Credentials:
    """A key that somebody will type into a form, once the cell has run."""
    if not (around.may_ask and around.shows_forms):
        raise Absent("nobody can fill in a form here")
    raise Later


def from_prompt(_name: str, around: Surroundings) -> Credentials:
    """A key typed at a hidden prompt."""
    if not around.may_ask:
        raise Absent("nobody can answer a prompt here")
    import getpass

    try:
        # Looked up late: ipykernel puts its own function there.
        key = getpass.getpass(PROMPT)
    except (EOFError, NotImplementedError):
        raise Absent("nobody answered the prompt") from None
    return Credentials(key, source="the prompt")


def from_sandbox(_name: str, around: Surroundings) -> Credentials:
    """The PAT of a sandbox started in this process, which lives as long as its session."""
    if around.signed_in is not None and around.signed_in.server is not None:
        return around.signed_in
    from clarifai_magic.sandbox import Sandbox

    sandbox = Sandbox()
    sandbox.start()
    return Credentials(
        sandbox.keys.pat,
        user_id=sandbox.user_id,
        app_id=sandbox.app_id,
        base=sandbox.base,
        source="the sandbox",
        server=sandbox,
    )


SILENT: dict[str, tuple[str, Source]] = {
    "env": ("the environment", from_environment),
    "colab": ("Colab's secrets", from_colab),
    "kaggle": ("Kaggle's secrets", from_kaggle),
    "config": ("the CLI's config", from_config),
    "keyring": ("the keyring", from_keyring),
}
"""The sources that are tried in this order, with their names in words."""

ASKING: dict[str, tuple[str, Source]] = {
    "form": ("the form", from_form),
    "prompt": ("the prompt", from_prompt),
}
"""The sources that ask somebody; tried when nothing else has a key."""

NAMED_ONLY: dict[str, tuple[str, Source]] = {
    "var": ("a notebook variable", from_variable),
    "sandbox": ("the sandbox", from_sandbox),
}
"""The sources that are used only when they are named."""

ALL = {**SILENT, **ASKING, **NAMED_ONLY}

_NEEDS_NAME = {"var"}


def find_credentials(source: str = "", around: Surroundings | None = None) -> Found:
    """Find a key.

    Parameters
    ----------
    source : str
        ``SOURCE[:NAME]`` to look there only. When empty, the `SILENT` ones are tried, then the
        present session's credentials, then the `ASKING` ones.
    around : Surroundings, optional
        By default: no notebook, and somebody to ask if standard input is a terminal.

    Returns
    -------
    Found

    Raises
    ------
    NoCredentialsError
        If no source has a key; the message names every place that was looked at.
    SourceError
        If the named source does not exist or has no key.
    KeyFormatError
        If what a source holds cannot be a key.
    Later
        If a form has to be shown; only where the surroundings say that one can be.
    """
    around = around or Surroundings(may_ask=sys.stdin is not None and sys.stdin.isatty())
    if source:
        return Found(_from_named(source, around))
    passed_over: list[PassedOver] = []
    if found := _first(SILENT, around, passed_over):
        return Found(found, (*passed_over, *_shadowed(found)))
    if around.signed_in is not None:
        return Found(around.signed_in, tuple(passed_over))
    if found := _first(ASKING, around, passed_over):
        return Found(found, tuple(passed_over))
    looked = "; ".join(f"{place.place}: {place.reason}" for place in passed_over)
    raise NoCredentialsError(
        f"No Clarifai key was found ({looked}).",
        "Set CLARIFAI_PAT (or CLARIFAI_API_KEY) in the environment, or try without an account: "
        f"%clarifai_auth --from sandbox. Keys are made at {SECRETS_PAGE}.",
    )


def _first(
    chain: Mapping[str, tuple[str, Source]], around: Surroundings, passed_over: list[PassedOver]
) -> Credentials | None:
    """The first credentials of a chain; the sources before it are added to `passed_over`."""
    for place, find in chain.values():
        try:
            return find("", around)
        except Absent as absent:
            passed_over.append(PassedOver(place, str(absent)))
        except Later:
            raise Later(passed_over) from None
        except ClarifaiMagicError as error:
            error.hint = f"It was found in {place}. {error.hint}"
            raise
    return None


def _from_named(source: str, around: Surroundings) -> Credentials:
    kind, _, name = source.partition(":")
    if kind not in ALL:
        raise SourceError("There is no such source.", f"Take one of: {', '.join(ALL)}.")
    if kind in _NEEDS_NAME and not name:
        raise SourceError(f"The source {kind} needs a name.", f"Write --from {kind}:NAME.")
    place, find = ALL[kind]
    try:
        # Who names a source wants it asked, whatever was answered before.
        return find(name, replace(around, denied=set()))
    except Absent as absent:
        raise SourceError(
            f"No key from {place}: {absent}.",
            f"Put one there, or leave --from {kind} away to try every source.",
        ) from None


def _shadowed(found: Credentials) -> list[PassedOver]:
    return [
        PassedOver(name, f"shadowed by {found.source}")
        for name in KEY_NAMES
        if os.environ.get(name) and not found.source.startswith(name)
    ]
