"""What a cluster's worker does of a map: a share of its batches, for some seconds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic.bulk.calls import Send, Tally
from clarifai_magic.bulk.loop_thread import LoopThread
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, ClarifaiMagicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clarifai_magic.bulk.batching import Batch

TURN = 2.0
"""Seconds for which a worker takes calls of a share."""


class Worked(NamedTuple):
    """What a worker gives back of a share.

    Attributes
    ----------
    outcomes : list of (Batch, message or ClarifaiMagicError)
        In the order in which they came; the batches without their requests.
    retried : int
        Calls that were retried.
    reason : ClarifaiMagicError or None
        Why no more calls can be made.
    """

    outcomes: list[tuple[Batch, Any]]
    retried: int
    reason: ClarifaiMagicError | None = None


class Work(NamedTuple):
    """A share of a map's batches, and how they are sent; it pickles."""

    send: Send
    batches: Sequence[Batch]

    def __call__(self) -> Worked:
        """On a worker: make calls for a while, and wait for those that were begun."""
        outcomes: list[tuple[Batch, Any]] = []
        tally, waiting, until = Tally(), iter(self.batches), time.monotonic() + TURN

        async def following() -> Batch | None:
            return next(waiting, None) if time.monotonic() < until else None

        def deliver(batch: Batch, outcome: Any) -> None:
            outcomes.append((replace(batch, request=None), outcome))

        loop = internals(self.send.session).connection.owned(LoopThread)
        try:
            loop.run(self.send.sending(following, deliver, tally))
        except ClarifaiMagicError as reason:
            return Worked(outcomes, tally.retried, reason)
        return Worked(outcomes, tally.retried)

    def uncertain(self) -> Worked:
        """What is told of a share that another worker has begun, where once is enough."""
        error = uncertain()
        return Worked([(replace(each, request=None), error) for each in self.batches], 0)

    def __repr__(self) -> str:
        return f"<{len(self.batches)} requests of a map of {self.send.method}>"


def uncertain(why: str = "A worker died over the call") -> CallError:
    """The error of a call that may have been carried out."""
    error = CallError(
        f"{why}; it may have been carried out.",
        "Check whether it was; resume() retries it.",
    )
    error.maybe_done = True
    return error
