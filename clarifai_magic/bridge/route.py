"""What the broker's two protocols share: admission, destination and a counter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.bridge.admission import Gate, Request
    from clarifai_magic.bridge.upstream import Upstream


@dataclass
class Route:
    """The route of a request through the broker.

    Parameters
    ----------
    gate : Gate
        Admits requests.
    upstream : Upstream
        Their destination.

    Attributes
    ----------
    carried : int
        The number of forwarded requests.
    """

    gate: Gate
    upstream: Upstream
    carried: int = 0

    def authorization(self, request: Request, know: Callable[[], None]) -> bytes:
        """The upstream header of an admitted request; calls `know` then.

        Raises
        ------
        Refusal
            If the request is not admitted.
        """
        header = self.gate.authorization(request)
        self.carried += 1
        know()
        return header
