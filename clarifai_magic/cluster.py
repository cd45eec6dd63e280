"""`Session.map` on a Dask cluster: Dask hands the requests out, each worker sends its share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from clarifai_magic.errors import CallError, ItemsError
from clarifai_magic.mapping import send
from clarifai_magic.scopes import changes_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clarifai_magic.mapping import Answers
    from clarifai_magic.parts import Part
    from clarifai_magic.session import Session

_SHARES = 4  # a worker's thread gets that many, so that a slow one does not hold up the rest
_MOST = 1_000  # parts in a share: what is lost at most when a worker dies


def spread(client: Any, answers: Answers, tick: Callable[[], None]) -> None:
    """Have the cluster make the calls for what is left.

    An interrupt ends it without an error; what is done by then is kept.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster, whose workers have this package.
    answers : Answers
        Knows what is left, and takes what comes of it.
    tick : callable
        Called when there is news.

    Raises
    ------
    ItemsError
        If the client is one for ``await``.
    """
    if getattr(client, "asynchronous", False):
        raise ItemsError(
            "map waits for the cluster, and this Dask client is asynchronous.",
            "Pass a Client(…) made without asynchronous=True.",
        )
    from distributed import as_completed

    method = answers.plan.method
    parts = list(answers.plan.parts(answers.left))
    workers = answers.session.for_workers()
    threads = sum(client.nthreads().values())
    size = max(1, min(len(parts) // (threads * _SHARES) or 1, _MOST))
    shares = {}
    for start in range(0, len(parts), size):
        share = parts[start : start + size]
        # Dask gives a dead worker's tasks to another; what changes something is not done again.
        claim = "" if changes_nothing(method) else f"clarifai-{uuid.uuid4().hex}"
        future = client.submit(sent, workers, method, share, answers.limits, claim, pure=False)
        shares[future] = share
    try:
        for future in as_completed(list(shares)):
            _keep(answers, shares[future], future)
            tick()
    except KeyboardInterrupt:
        client.cancel(list(shares), force=True)


def sent(
    session: Session,
    method: str,
    parts: Sequence[Part],
    limits: tuple[int, float | None],
    claim: str,
) -> tuple[list[tuple[Part, Any]], int]:
    """On a worker: make the calls for a share of the parts.

    Parameters
    ----------
    claim : str
        Unique to the share if it may be sent only once; empty if it may be sent again.

    Returns
    -------
    outcomes : list of (Part, message or ClarifaiMagicError)
        In the order in which they came.
    retried : int
        Calls that were made again.
    """
    if claim and _was_claimed(claim):
        error = CallError(
            "A worker died over the call, which may have been carried out.",
            "Look whether it was; resume() makes it again.",
        )
        return [(part, error) for part in parts], 0
    before = session.retries.count
    outcomes: list[tuple[Part, Any]] = []
    session.portal.run(
        send(session, method, parts, lambda *outcome: outcomes.append(outcome), limits),
        tick=lambda: None,
    )
    return outcomes, session.retries.count - before


def _was_claimed(claim: str) -> bool:
    from distributed import Event

    event = Event(claim)
    if event.is_set():
        return True
    event.set()
    return False


def _keep(answers: Answers, share: Sequence[Part], future: Any) -> None:
    """Take what a worker gave, or why Dask has nothing from it."""
    if future.status == "finished":
        outcomes, retried = future.result()
        answers.retried += retried
        for part, outcome in outcomes:
            answers.take(part, outcome)
    elif future.status == "error":
        error = CallError(
            f"The cluster gave the call up: {type(future.exception()).__name__}.",
            "Look at the workers' logs; resume() makes the call again.",
        )
        for part in share:
            answers.take(part, error)
