"""Layers in front of what a server of dashboards, Panel's or Solara's, sends to pages and logs.

All that a page shows of a program comes to it by websocket, as JSON or as bytes; what a program
prints is in the server's log.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from clarifai_magic.redaction.guard import Guard, OfProcess
from clarifai_magic.redaction.layers import NOTICE, OfEach, withheld
from clarifai_magic.redaction.places import Place, of_streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.redaction.masking import Masker

_SENDS = {
    "tornado.websocket": ("WebSocketHandler", "write_message"),  # Panel's pages
    "solara.server.websocket": ("WebsocketWrapper", "send"),
}
"""By module: the class of a server's websockets, and the method that sends by one."""


@cache
def guard() -> Guard:
    """The guard of this process's pages, for all viewers."""
    guard = Guard(OfProcess(_places), wanted=lambda: True)
    guard.start()
    return guard


def _places() -> Iterator[Place]:
    for module, (owner, name) in _SENDS.items():
        if module in sys.modules:
            yield Place(getattr(sys.modules[module], owner), name, Sent)
    yield from of_streams()


class Sent(OfEach):
    """In front of the method that sends by a websocket."""

    def __call__(self, socket: Any, data: Any, *arguments: Any, **options: Any) -> Any:
        """Send a text, which is JSON, or bytes."""
        if self.masker is not None:
            data = self._shown(self.masker, data)
        return self.original(socket, data, *arguments, **options)

    def _shown(self, masker: Masker, data: Any) -> Any:
        if isinstance(data, bytes | bytearray | memoryview):
            return self.masked(masker.binary, bytes(data), lambda data: bytes(len(data)))
        text = data if isinstance(data, str) else json.dumps(data)
        return self.masked(lambda text: _json(masker, text), text, _without)


def _json(masker: Masker, text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    masked = masker.json(data)
    return text if masked is data else masked.decode("utf-8", "surrogatepass")


def _without(text: str) -> str:
    """A message that could not be searched, as one of the same form."""
    try:
        return json.dumps(withheld(json.loads(text)))
    except ValueError:
        return json.dumps(NOTICE)
