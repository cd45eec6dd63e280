"""Keeps the keys of open sessions out of everything that the kernel or the terminal shows.

In a kernel, ``kernel.session.pack`` makes the bytes of every message there is: streams,
results, displays, errors, widget messages, replies. In a terminal all of it is written to
``sys.stdout`` and ``sys.stderr``.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from clarifai_magic.errors import ClarifaiAuthWarning
from clarifai_magic.live import live

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.masking import Masker


class Guard:
    """Masks keys while there are sessions, from `start` to `stop`.

    Parameters
    ----------
    shell : InteractiveShell
        Whose output is guarded.
    wanted : callable
        Whether to guard at all; asked at each `refresh`.
    """

    def __init__(self, shell: InteractiveShell, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted
        kernel = getattr(shell, "kernel", None)
        self._places = (
            [_Place(sys, "stdout", _Stream), _Place(sys, "stderr", _Stream)]
            if kernel is None
            else [_Place(kernel.session, "pack", _Pack)]
        )

    def start(self) -> None:
        """Follow the sessions that come and go."""
        live.subscribe(self.refresh)
        self.refresh()

    def stop(self) -> None:
        """Leave everything as it was before `start`."""
        live.unsubscribe(self.refresh)
        for place in self._places:
            place.mask_with(None)

    def refresh(self) -> None:
        """Guard the keys of the sessions that are open now."""
        masker = None
        if len(live) and self._wanted():
            from clarifai_magic.masking import Masker

            masker = Masker({str.__str__(session.found.credentials.key) for session in live})
        for place in self._places:
            place.mask_with(masker)


class _Place:
    """An attribute that a layer is put in front of while there is a masker.

    Somebody else may have wrapped the layer since: then it stays in their chain and changes
    nothing any more.
    """

    def __init__(self, owner: Any, name: str, layer: type[_Layer]) -> None:
        self._owner = owner
        self._name = name
        self._make = layer
        self._layer: _Layer | None = None

    def mask_with(self, masker: Masker | None) -> None:
        present = getattr(self._owner, self._name)
        if masker is not None and self._layer is None:
            self._layer = self._make(present)
            setattr(self._owner, self._name, self._layer)
        if self._layer is None:
            return
        self._layer.masker = masker
        if masker is None:
            if present is self._layer:
                setattr(self._owner, self._name, self._layer.original)
            self._layer = None


class _Layer:
    """Masks on the way to what was there before."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.masker: Masker | None = None
        self._complained = False

    def _masked(self, kind: str, what: Any) -> Any:
        """What is shown; should masking fail, it is shown as it is rather than lost."""
        masker = self.masker
        if masker is None:
            return what
        try:
            return getattr(masker, kind)(what)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must arrive
            if not self._complained:
                self._complained = True
                warnings.warn(
                    f"The guard failed ({type(error).__name__}): output is no longer masked.",
                    ClarifaiAuthWarning,
                    stacklevel=2,
                )
            return what


class _Pack(_Layer):
    """In front of the function that makes a message's bytes."""

    def __call__(self, content: Any) -> Any:
        return self._masked("json", self.original(content))


class _Stream(_Layer):
    """In front of a text stream."""

    def write(self, text: str) -> Any:
        return self.original.write(self._masked("text", text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)
