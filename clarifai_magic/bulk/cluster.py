"""A map on a cluster, whichever it is: shares of its batches handed out, and answers taken in.

A worker takes calls of a share for some seconds only; what it has not begun by then it gives back.
So a dead worker costs little, whoever interrupts waits little, and no worker is needed to stop
another.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from clarifai_magic.bulk.calls import Tally
from clarifai_magic.bulk.ending import whole
from clarifai_magic.bulk.in_process import TICK
from clarifai_magic.bulk.work import TURN, Work, Worked, uncertain
from clarifai_magic.bulk.worker_keys import words
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, ClarifaiMagicError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from clarifai_magic.bulk.batching import Batch
    from clarifai_magic.bulk.calls import Deliver, MapSession, Send

_AHEAD = 2  # shares for each thread of the workers: one is at hand when another is done
_MOST_BATCHES = 1_000
_MOST_BYTES = 2**23  # of a share's requests, unless one alone is larger
_TRIES = 3  # of a share whose workers die
_PATIENCE = 10.0  # seconds for what is under way when somebody interrupts


class Future(Protocol):
    """What a cluster gives for work that was handed in: like those of concurrent.futures."""

    def add_done_callback(self, callback: Callable[[Any], Any], /) -> Any:
        """Have it called with this, in any thread, once it is done."""

    def result(self) -> Any:
        """Give what the work gave, or raise."""

    def cancel(self) -> Any:
        """End it."""


class Cluster(Protocol):
    """What differs from one kind of cluster to the next."""

    def threads(self) -> int:
        """How many shares are worked on at the same time; 0 where there is no worker yet.

        Raises
        ------
        CallError
            If a key would go to its workers in plaintext.
        """

    def submit(self, work: Work) -> Future:
        """Have a worker do it; what changes something (`send.safe`), once at most."""

    def is_loss(self, error: BaseException) -> bool:
        """Whether a worker died over it, rather than that the work itself raised the error."""

    def at_work(self) -> AbstractContextManager[None]:
        """What is to be so during a map."""


@dataclass(eq=False)
class _Share:
    """Batches that are handed out together, and how often that was in vain."""

    batches: list[Batch]
    lost: int = 0
    began: float = 0.0


class _Shares:
    """The batches of a map, cut into shares: as large as workers can do in a turn."""

    def __init__(self, batches: Iterator[Batch], least: int) -> None:
        self._coming = batches
        self._back: deque[Batch] = deque()
        self._again: deque[_Share] = deque()
        self._size = least

    def next(self) -> _Share | None:
        """Give the next share; None if there are no more."""
        if self._again:
            return self._again.popleft()
        batches: list[Batch] = []
        size, until = 0, time.monotonic() + TICK
        while len(batches) < self._size:
            batch = self._back.popleft() if self._back else next(self._coming, None)
            if batch is None:
                break
            batches.append(batch)
            size += batch.size
            if size > _MOST_BYTES or time.monotonic() > until:  # an iterable may take its time
                break
        return _Share(batches) if batches else None

    def give_back(self, batches: Sequence[Batch]) -> None:
        """Take what a worker has not begun."""
        self._back.extend(batches)

    def retry(self, share: _Share) -> None:
        """Hand a share out again."""
        self._again.append(share)

    def adapt(self, share: _Share) -> None:
        """Make shares larger where workers are done with theirs early."""
        if time.monotonic() - share.began < TURN / 2 and len(share.batches) >= self._size:
            self._size = min(2 * self._size, _MOST_BATCHES)


class OnCluster:
    """An engine: a cluster's workers, which have this package, make the calls.

    Parameters
    ----------
    cluster : Cluster
        Hands work to them.
    session : WorkerSession
        Handed over to them, for one map.

    Attributes
    ----------
    tally : Tally
        How it is going.
    """

    def __init__(self, cluster: Cluster, session: MapSession) -> None:
        self._cluster, self._session = cluster, session
        self.tally = Tally()
        if internals(session).found.credentials.source.kind == "workers":
            self.tally.by = words(session)

    def run(
        self, batches: Iterator[Batch], send: Send, deliver: Deliver, tick: Callable[[], None]
    ) -> None:
        """Make the calls for all batches, and wait; see `Engine`."""
        workers = send._replace(session=self._session)
        try:
            with self._cluster.at_work():
                _Run(self._cluster, batches, workers, deliver, self.tally).until_the_end(tick)
        finally:
            self._session.close()


class _Run:
    """One map on a cluster, from its beginning to its end."""

    def __init__(
        self,
        cluster: Cluster,
        batches: Iterator[Batch],
        send: Send,
        deliver: Deliver,
        tally: Tally,
    ) -> None:
        self._cluster, self._send, self._deliver, self._tally = cluster, send, deliver, tally
        self._shares = _Shares(batches, send.in_flight)
        self._under_way: dict[Future, _Share] = {}
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._some_came = False
        self._threads, self._looked = 0, float("-inf")

    def until_the_end(self, tick: Callable[[], None]) -> None:
        try:
            while self._hand_out():
                self._take_in()
                tick()
        except BaseException:
            self._wind_up(tick)
            raise
        finally:
            self._give_up()

    def _hand_out(self) -> bool:
        """Hand out what there is room for; whether anything is under way."""
        if time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            with reached():
                self._threads = self._cluster.threads()
        # Where there is no worker yet, what waits for one makes an adaptive cluster start it.
        while len(self._under_way) < _AHEAD * max(1, self._threads):
            share = self._shares.next()
            if share is None:
                break
            internals(self._send.session).require_open()  # or it would not pickle
            with reached(), whole():  # or a worker would do what nobody waits for
                share.began = time.monotonic()
                future = self._cluster.submit(Work(self._send, share.batches))
                self._under_way[future] = share
                future.add_done_callback(self._done.put)
        return bool(self._under_way)

    def _take_in(self) -> None:
        """Wait a moment for a share to come back, and take in those that did."""
        with whole(), suppress(queue.Empty):
            future = self._done.get(timeout=TICK)
            while True:
                reason = self._keep(future, self._under_way.pop(future))
                if reason is not None:
                    raise reason
                future = self._done.get_nowait()

    def _keep(self, future: Future, share: _Share) -> ClarifaiMagicError | None:
        """Take what a worker gave, or what it means that it gave nothing; a reason to end."""
        try:
            worked: Worked = future.result()
        except BaseException as error:  # noqa: BLE001 - a cancelled future's may be none
            return self._lose(share, error)
        self._some_came = True
        self._tally.retried += worked.retried
        answered = {index for batch, _ in worked.outcomes for index in batch.indices}
        for batch, outcome in worked.outcomes:
            self._deliver(batch, outcome)
        self._shares.adapt(share)
        self._shares.give_back([each for each in share.batches if each.indices[0] not in answered])
        return worked.reason

    def _lose(self, share: _Share, error: BaseException) -> ClarifaiMagicError | None:
        share.lost += 1
        loss = self._cluster.is_loss(error)
        if loss and not self._send.safe:
            for batch in share.batches:
                self._deliver(batch, uncertain())
        elif loss and share.lost < _TRIES:
            self._shares.retry(share)
        elif self._some_came:
            gone = CallError(
                f"The cluster gave the call up: {type(error).__name__}.",
                "Look at the workers' logs; resume() retries the call.",
            )
            for batch in share.batches:
                self._deliver(batch, gone)
        else:
            return CallError(
                f"The cluster's workers make no calls: {type(error).__name__}.",
                "Install this version of clarifai_magic on them, and look at their logs.",
            )
        return None

    def _wind_up(self, tick: Callable[[], None]) -> None:
        """Before an early end: keep what the workers have answered; an interrupt ends the wait."""
        until = time.monotonic() + _PATIENCE
        while self._under_way and self._threads and time.monotonic() < until:
            with suppress(ClarifaiMagicError):  # there is a reason already
                self._take_in()
            tick()

    def _give_up(self) -> None:
        """End what is under way, and tell what it may have done."""
        for future, share in self._under_way.items():
            with suppress(Exception):  # of a cluster that is gone
                future.cancel()
            if self._threads and not self._send.safe:
                for batch in share.batches:
                    self._deliver(batch, uncertain("The map ended before the answer came"))


@contextmanager
def reached() -> Iterator[None]:
    """Tell in words what a cluster raises that is not there any more.

    Raises
    ------
    CallError
        In place of the cluster's own errors, of many kinds.
    """
    try:
        yield
    except ClarifaiMagicError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        raise CallError(
            f"The cluster takes no calls: {type(error).__name__}.",
            "Check that its client is open and that it runs; resume() continues.",
        ) from None
