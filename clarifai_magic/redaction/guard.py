"""Keeps the keys of open sessions out of everything that is shown, stored or written.

A kernel makes every message (streams, results, displays, errors, widget messages and replies)
with its session's ``serialize``, and sends binary data with ``send``. In a terminal everything
goes through the buffers of the standard streams, except prompts and pagers' text. What
IPython itself stores and writes to files goes through its history and its log.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from clarifai_magic.client.registry import registry
from clarifai_magic.concurrency import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from clarifai_magic.redaction.masking import Masker
    from clarifai_magic.redaction.places import Place

    class Outlets(Protocol):
        """Where output leaves; the notebook's host provides it."""

        def places(self) -> Iterable[Place]:
            """The places that the guard covers."""

        def settle(self, masker: Masker, gone: Masker | None) -> None:
            """Mask stored output for good; forget results that show a key that is gone."""


class OfProcess:
    """The outlets of a server's process, which has no IPython that keeps what was said.

    Parameters
    ----------
    places : callable
        Gives what the guard sits in front of.
    """

    def __init__(self, places: Callable[[], Iterable[Place]]) -> None:
        self.places = places

    def __call__(self) -> OfProcess:
        """The same at any time."""
        return self

    def settle(self, masker: Masker, gone: Masker | None) -> None:  # noqa: ARG002 - nothing is kept
        """Have what was said so far sent, for a key may be forgotten now."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


class Guard:
    """Masks keys while there are sessions, from `start` to `stop`.

    Parameters
    ----------
    outlets : callable
        Returns the `Outlets` that guarded output leaves through.
    wanted : callable
        Whether to guard at all; called at each `refresh`.
    """

    def __init__(self, outlets: Callable[[], Outlets], wanted: Callable[[], bool]) -> None:
        self._outlets = outlets
        self._wanted = wanted
        self._changing = Lock()
        self._started = False
        self._secrets: set[str] = set()
        self._masker: Masker | None = None
        self._places: list[Place] = []

    def start(self) -> None:
        """Follow the sessions that open and close."""
        self._started = True
        registry.subscribe(self.refresh)
        self.refresh()

    def stop(self) -> None:
        """Restore everything as before `start`."""
        registry.unsubscribe(self.refresh)
        self._started = False
        self.refresh()

    def refresh(self) -> None:
        """Guard the keys of the sessions that are open now."""
        # So that no thread installs a masker that knows fewer keys than another's.
        with self._changing:
            wanted = self._started and self._wanted()
            secrets = registry.secrets() if wanted else set()
            masker = self._masker
            if secrets != self._secrets:
                if masker is not None and not self._secrets <= secrets:
                    gone = _masker_of(self._secrets - registry.secrets())
                    self._outlets().settle(masker, gone)
                masker = _masker_of(secrets)
                self._secrets = secrets
            self._mask_with(masker)

    def _mask_with(self, masker: Masker | None) -> None:
        self._masker = masker
        if masker is not None:
            known = {each.identity for each in self._places}
            self._places += [
                each for each in self._outlets().places() if each.identity not in known
            ]
        for place in self._places:
            place.mask_with(masker)
        if masker is None:
            self._places.clear()


def _masker_of(secrets: set[str]) -> Masker | None:
    """What masks them, if there are any."""
    if not secrets:
        return None
    from clarifai_magic.redaction.masking import Masker

    return Masker(secrets)
