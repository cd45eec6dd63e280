"""Dask's part in a map: its workers are handed shares, and a dead worker's share once only."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from clarifai_magic.bulk.plaintext import refuse_plaintext
from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from clarifai_magic.bulk.cluster import Future
    from clarifai_magic.bulk.work import Work, Worked

_ENCRYPTED = {"tls", "wss", "inproc"}


class Dask:
    """A `Cluster` behind a `distributed.Client`.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    insecure : bool
        Whether a key may go to the workers unencrypted.

    Raises
    ------
    ItemsError
        If the client is one for ``await``.
    """

    def __init__(self, client: Any, *, insecure: bool) -> None:
        if client.asynchronous:
            raise ItemsError(
                "map waits for the cluster, and this Dask client is asynchronous.",
                "Pass a Client(…) made without asynchronous=True.",
            )
        self._client = client
        self._insecure = insecure

    def threads(self) -> int:
        """How many threads the workers have; see `Cluster`."""
        threads = self._client.nthreads()
        if not self._insecure:
            for address in (self._client.scheduler.address, *threads):
                scheme, _, place = address.rpartition("://")
                if scheme not in _ENCRYPTED:
                    refuse_plaintext(place.rpartition(":")[0], f"Dask at {address}", _TLS)
        return sum(threads.values())

    def submit(self, work: Work) -> Future:
        """Have a worker do it; see `Cluster`."""
        # Dask gives a dead worker's tasks to another; what changes something is not done again.
        claim = "" if work.send.safe else f"clarifai-{uuid.uuid4().hex}"
        future: Future = self._client.submit(worked, work, claim, pure=False)
        return future

    def is_loss(self, error: BaseException) -> bool:
        """Whether Dask lost the workers, or the task; see `Cluster`."""
        from distributed import CancelledError, KilledWorker

        return isinstance(error, (CancelledError, KilledWorker))

    def at_work(self) -> AbstractContextManager[None]:
        """Nothing in particular; see `Cluster`."""
        return nullcontext()


_TLS = "Give the cluster and the client security= with TLS"


def worked(work: Work, claim: str) -> Worked:
    """On a worker: do it.

    Parameters
    ----------
    claim : str
        Unique to the work if it may be begun only once; empty if it may be begun again.
    """
    return work.uncertain() if claim and _was_claimed(claim) else work()


def _was_claimed(claim: str) -> bool:
    from distributed import Event

    event = Event(claim)
    if event.is_set():
        return True
    event.set()
    return False
