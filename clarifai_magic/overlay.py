"""Values lent to a mapping in layers: whatever order these end in, the original values return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clarifai_magic.concurrency import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ABSENT: Final = object()
"""The value of a name that the mapping lacks; a layer may have it too."""


class Layer:
    """One set of values over a mapping's own.

    Attributes
    ----------
    values : dict of str
        The names' values; `ABSENT` removes a name.
    covered : dict of str
        The user's own values beneath, to restore.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.covered: dict[str, Any] = {}


class Overlay:
    """Layers of values over a mapping that others also write to.

    A value that is not the uppermost layer's is the user's own: a new layer covers it, and restores
    it at its end. A value that the user set over a layer stays when that layer ends.

    Parameters
    ----------
    read : callable
        Returns the value of a name, `ABSENT` if there is none.
    write : callable
        Sets a name to a value, or removes it for `ABSENT`.
    same : callable
        Whether a value in the mapping is the one that a layer put there.
    """

    def __init__(
        self,
        read: Callable[[str], Any],
        write: Callable[[str, Any], None],
        same: Callable[[Any, Any], bool],
    ) -> None:
        self._read = read
        self._write = write
        self._same = same
        self._layers: list[Layer] = []
        self._changing = Lock()

    def put(self, values: Mapping[str, Any], *, beneath: bool = False) -> Layer:
        """Put a layer over the others, or beneath them all.

        Parameters
        ----------
        values : mapping of str
            The names' values.
        beneath : bool
            Whether to put it below the existing layers.
        """
        with self._changing:
            return self._insert(values, 0 if beneath else len(self._layers))

    def replace(self, layer: Layer, values: Mapping[str, Any]) -> Layer:
        """Replace a layer; a name in both never lacks a value in between."""
        with self._changing:
            successor = self._insert(values, self._layers.index(layer) + 1)
            self.remove(layer)
        return successor

    def _insert(self, values: Mapping[str, Any], position: int) -> Layer:
        over, under = self._layers[position:], self._layers[:position][::-1]
        layer = Layer()
        self._layers.insert(position, layer)
        try:
            for name, value in values.items():
                self._lay(layer, name, value, over, under)
        except BaseException:  # including an interrupt
            self.remove(layer)
            raise
        return layer

    def _lay(
        self, layer: Layer, name: str, value: Any, over: list[Layer], under: list[Layer]
    ) -> None:
        if above := _first(over, name):
            if name in above.covered:
                layer.covered[name] = above.covered.pop(name)
            layer.values[name] = value
            return
        present, below = self._read(name), _first(under, name)
        if below is None or not self._same(present, below.values[name]):
            layer.covered[name] = present
        layer.values[name] = value
        if present is not value:
            self._write(name, value)

    def remove(self, layer: Layer) -> None:
        """Remove a layer at any position; doing it twice is harmless."""
        with self._changing:
            if layer not in self._layers:
                return
            position = self._layers.index(layer)
            over, under = self._layers[position + 1 :], self._layers[:position][::-1]
            for name, value in layer.values.items():
                if above := _first(over, name):
                    if name in layer.covered:
                        above.covered.setdefault(name, layer.covered[name])
                elif self._same(self._read(name), value):
                    below = _first(under, name)
                    beneath = below.values[name] if below else ABSENT
                    self._write(name, layer.covered.get(name, beneath))
            self._layers.remove(layer)

    def own(self, name: str) -> Any:
        """The user's own value of a name, beneath the layers; `ABSENT` if there is none."""
        with self._changing:
            present, shown = self._read(name), _first(self._layers[::-1], name)
            if shown is None or not self._same(present, shown.values[name]):
                return present
            covered = (each.covered[name] for each in self._layers[::-1] if name in each.covered)
            return next(covered, ABSENT)

    def shows(self, name: str) -> bool:
        """Whether the value of a name is a layer's."""
        with self._changing:
            shown = _first(self._layers[::-1], name)
            return shown is not None and self._same(self._read(name), shown.values[name])


def _first(layers: Iterable[Layer], name: str) -> Layer | None:
    """The first layer that has a name."""
    return next((layer for layer in layers if name in layer.values), None)
