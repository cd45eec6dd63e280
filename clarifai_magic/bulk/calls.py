"""How a map's requests are sent, and the interface of its engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from clarifai_magic.api.scopes import is_safe
from clarifai_magic.bulk.sending import Deliver, MapSession, Sending, Tally
from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from clarifai_magic.bulk.batching import Batch

__all__ = ["Deliver", "Engine", "MapSession", "Send", "Tally"]

_LONGEST = 10**9  # seconds: gRPC takes a deadline that is much later for one that is over


class Send(NamedTuple):
    """How a map's requests are sent. It pickles if its session is one for workers.

    Attributes
    ----------
    session : Session
        The session of the calls.
    method : str
        Bare name.
    in_flight : int
        The most concurrent calls.
    timeout : float or None
        Seconds for each call, its retries included.
    """

    session: MapSession
    method: str
    in_flight: int
    timeout: float | None

    @property
    def safe(self) -> bool:
        """Whether repeating a call is harmless."""
        return is_safe(self.method)

    def check(self) -> None:
        """Refuse numbers that cannot be.

        Raises
        ------
        ItemsError
            If there are any.
        """
        if not isinstance(self.in_flight, int) or self.in_flight < 1:
            raise ItemsError("in_flight= is the number of concurrent calls.", "Pass 1 or more.")
        if self.timeout is None:
            return
        number = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool)
        if not number or not 0 < self.timeout <= _LONGEST:
            raise ItemsError(
                "timeout= is the number of seconds for each call.",
                f"Pass a number above 0, and at most {_LONGEST:,}, or omit it.",
            )

    async def sending(
        self, following: Callable[[], Awaitable[Batch | None]], deliver: Deliver, tally: Tally
    ) -> None:
        """Make calls until there are no more batches.

        Parameters
        ----------
        following : callable
            Awaited for the next batch; None if there is none.
        deliver : callable
            Called with each batch and its response, or the error instead.
        tally : Tally
            Updated with the progress.
        """
        limits = self.in_flight, self.timeout
        await Sending(self.session, self.method, limits, following, deliver, tally).run()


class Engine(Protocol):
    """What makes the calls of a map: this process, or a cluster."""

    tally: Tally

    def run(
        self, batches: Iterator[Batch], send: Send, deliver: Deliver, tick: Callable[[], None]
    ) -> None:
        """Make the calls for all batches, and wait.

        Parameters
        ----------
        batches : iterator of Batch
            Taken in the caller's thread as they are wanted: each was made from items that came
            just then, and there may be no end to them. What it raises passes through.
        send : Send
            Makes the calls for some of them.
        deliver : callable
            Given each batch, or each part of one, with its response or with the error in its
            place; in any thread. Doing it twice with the same is harmless.
        tick : callable
            To be called in the caller's thread a few times a second.

        Raises
        ------
        KeyboardInterrupt
            If the caller's thread was interrupted. No call is under way any more, and all that
            was done by then has been delivered.
        ClarifaiMagicError
            If no call can be made any more; the reason for the batches that were not delivered.
        """
