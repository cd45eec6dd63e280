"""The sources of a key: one small function per place, tried in order.

A source returns Credentials, or raises `KeyNotHere` with the reason. Each gives a whole bundle: a
key is never paired with the IDs of another source.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from clarifai_magic import viewers
from clarifai_magic.api import PUBLIC_BASE, SECRETS_PAGE
from clarifai_magic.api.deployment import deployment_at, find_deployment
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.parsing import clean_id
from clarifai_magic.credentials.sources.base import (
    KEY_NAMES,
    KeyNotHere,
    NeedsForm,
    Skipped,
    Source,
    SourceContext,
    bundle,
)
from clarifai_magic.environment import own
from clarifai_magic.errors import KeyFormatError, NoCredentialsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

PROMPT = "Clarifai PAT or API key{}: "


class Found(NamedTuple):
    """Credentials, and the other sources tried.

    Parameters
    ----------
    credentials : Credentials
        The first that was found.
    skipped : tuple of Skipped
        Sources before it without a key, and those it shadows.
    """

    credentials: Credentials
    skipped: tuple[Skipped, ...] = ()

    def narrowed(self, **changes: str) -> Found:
        """The same with the non-empty `changes` in the credentials."""
        return self._replace(credentials=self.credentials.replaced(**changes))


def from_environment(name: str, around: SourceContext) -> Credentials:
    """A key in the environment: in `name`, else in CLARIFAI_PAT, else in CLARIFAI_API_KEY."""
    found = bundle(own, name, "env", around)
    for variable in KEY_NAMES:  # another key in an ID's place is not an ID either
        clean_id("user ID", found.user_id, own(variable))
        clean_id("app ID", found.app_id, own(variable))
    return found


def from_variable(name: str, around: SourceContext) -> Credentials:
    """A key in the notebook variable `name`."""
    if name not in around.namespace:
        raise KeyNotHere(f"no variable {name!r} in the notebook")
    return around.credentials(around.namespace[name], Provenance("var", name))


def from_form(_name: str, around: SourceContext) -> Credentials:
    """A key from a form, after the cell has run."""
    if not around.answers_later:
        raise KeyNotHere("nobody can fill in a form here")
    raise NeedsForm


def from_prompt(_name: str, around: SourceContext) -> Credentials:
    """A key typed at a hidden prompt."""
    if not around.may_ask:
        raise KeyNotHere("nobody can answer a prompt here")
    import getpass

    from clarifai_magic.credentials.sources.patience import answered_within

    where = find_deployment(around.base, around.root_certificates or None).words
    try:
        # Looked up late: ipykernel replaces the function.
        asked = partial(getpass.getpass, PROMPT.format(f" ({where})" if where else ""))
        key = answered_within(around.patience, asked)
    except TimeoutError:
        raise KeyNotHere(f"nobody answered it within {around.patience:.0f} seconds") from None
    except (EOFError, NotImplementedError):
        raise KeyNotHere("nobody answered the prompt") from None
    if not key.strip():
        raise KeyNotHere("nobody answered the prompt")
    return around.credentials(key, Provenance("prompt"))


def _of(module: str, function: str) -> Source:
    """A source in a module of its own, which is imported when the source is asked."""

    def find(name: str, around: SourceContext) -> Credentials:
        source: Source = getattr(import_module(f"{__name__}.{module}"), function)
        return source(name, around)

    return find


SILENT: dict[str, tuple[str, Source]] = {
    "env": ("the environment", from_environment),
    "colab": ("Colab's secrets", _of("hosted", "from_colab")),
    "kaggle": ("Kaggle's secrets", _of("hosted", "from_kaggle")),
    "config": ("the CLI's config", _of("cli_config", "from_config")),
    "keyring": ("the keyring", _of("keyring", "from_keyring")),
}
"""The sources tried in this order, with their names in words."""

ASKING: dict[str, tuple[str, Source]] = {
    "form": ("the form", from_form),
    "prompt": ("the prompt", from_prompt),
}
"""The sources that ask the user; tried when nothing else has a key."""

NAMED_ONLY: dict[str, tuple[str, Source]] = {
    "var": ("a notebook variable", from_variable),
    "sandbox": ("the sandbox", _of("sandbox", "from_sandbox")),
}
"""The sources used only when named."""

ALL = {**SILENT, **ASKING, **NAMED_ONLY}

_NEEDS_NAME = {"var"}
_TAKES_NONE = {"form", "prompt", "sandbox"}


def find_credentials(source: str = "", around: SourceContext | None = None) -> Found:
    """Find a key.

    Parameters
    ----------
    source : str
        ``SOURCE[:NAME]`` to use only that. If empty, tries the `SILENT` ones, then the current
        session's credentials, then the `ASKING` ones.
    around : SourceContext, optional
        By default: no notebook, and a prompt if standard input is a terminal.

    Returns
    -------
    Found

    Raises
    ------
    NoCredentialsError
        If no source has a key; the message names every source tried.
    SourceError
        If the named source does not exist or has no key.
    BaseURLError
        If the base URL in force, or its CA bundle, cannot be used.
    KeyFormatError
        If a source's value cannot be a key.
    NeedsForm
        If a form must be shown; only if `around` allows one.
    """
    around = around or SourceContext(may_ask=_someone_at_the_terminal())
    deployment_at(around.base or PUBLIC_BASE, around.root_certificates)  # before asking the user
    if source:
        return Found(_from_named(source, around))
    skipped: list[Skipped] = []
    if found := _first(SILENT, around, skipped):
        return Found(found, (*skipped, *_shadowed(found)))
    if around.signed_in is not None:
        _log.debug("key of the session that is signed in")
        present = around.signed_in.replaced(
            base=around.base, root_certificates=around.root_certificates
        )
        return Found(present, tuple(skipped))
    if found := _first(ASKING, around, skipped):
        return Found(found, tuple(skipped))
    looked = "; ".join(f"{place.place}: {place.reason}" for place in skipped)
    raise NoCredentialsError(
        f"No Clarifai key was found ({looked}).",
        f"{around.instead} Without an account: %clarifai_auth --from sandbox. "
        f"Keys are made at {SECRETS_PAGE}.",
    )


def _someone_at_the_terminal() -> bool:
    """Whether somebody can be asked there: not for a viewer of a page, who is elsewhere."""
    return viewers.current() is None and sys.stdin is not None and sys.stdin.isatty()


def _first(
    chain: Mapping[str, tuple[str, Source]], around: SourceContext, skipped: list[Skipped]
) -> Credentials | None:
    """The first credentials of a chain; adds the sources before it to `skipped`."""
    for place, find in chain.values():
        try:
            found = find("", around)
        except KeyNotHere as absent:
            _log.debug("no key from %s: %s", place, absent)
            skipped.append(Skipped(place, str(absent)))
        except NeedsForm:
            _log.debug("asking for a key: %s", place)
            raise NeedsForm(skipped) from None
        except KeyFormatError as error:
            _log.debug("no usable key from %s: %s", place, error.code)
            error.hint = f"It was found in {place}. {error.hint}"
            raise
        else:
            _log.debug("key from %s", place)
            return found
    return None


def _from_named(source: str, around: SourceContext) -> Credentials:
    kind, _, name = source.partition(":")
    if kind not in ALL:
        raise SourceError("Unknown source.", f"Use one of: {', '.join(ALL)}.")
    if kind in _NEEDS_NAME and not name:
        raise SourceError(f"The source {kind} needs a name.", f"Write --from {kind}:NAME.")
    if kind in _TAKES_NONE and name:
        raise SourceError(f"The source {kind} takes no name.", f"Write --from {kind}.")
    place, find = ALL[kind]
    _log.debug("key from %s only", place)
    try:
        # Naming a source asks it again, despite an earlier refusal.
        return find(name, around._replace(denied=None))
    except KeyNotHere as absent:
        elsewhere = f"Put one there, or omit --from {kind} to try every source."
        raise SourceError(
            f"No key from {place}: {absent}.", around.instead if kind in ASKING else elsewhere
        ) from None


def _shadowed(found: Credentials) -> list[Skipped]:
    return [
        Skipped(name, f"shadowed by {found.source}")
        for name in KEY_NAMES
        if own(name) and found.source != Provenance("env", name)
    ]
