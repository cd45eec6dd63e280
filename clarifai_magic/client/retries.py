"""Retries after throttling, for a model that is starting, and after an outage if that is safe.

Imports tenacity only for a retry, so that signing in does not wait for it.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.api.scopes import is_safe
from clarifai_magic.api.statuses import named
from clarifai_magic.concurrency import Lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_log = logging.getLogger(__name__)

THROTTLED = status_code_pb2.CONN_THROTTLED
ON_ITS_WAY = {
    status_code_pb2.MODEL_DEPLOYING: "deploying",
    status_code_pb2.MODEL_QUEUED_FOR_DEPLOYMENT: "queued for deployment",
    status_code_pb2.MODEL_BUSY_PLEASE_RETRY: "busy",
    status_code_pb2.MODEL_LOADING: "loading",
}
"""The statuses of a model that will answer a retry, and what it is doing meanwhile."""

OUTAGE_PATIENCE = 15.0
_THROTTLED_PATIENCE = 120.0
_COLD_PATIENCE = 600.0
"""Seconds for a call without its own time-out."""

_LEAST = 0.001  # seconds for an attempt


class Retries:
    """Retries a session's calls while that may help.

    Throttling (11005) and a model that is starting mean that the API did nothing: any call may be
    retried. After an outage (UNAVAILABLE), only calls that change nothing are.

    Parameters
    ----------
    wanted : bool
        Whether to retry calls at all.

    Attributes
    ----------
    count : int
        The number of retries so far.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.count = 0
        self._counting = Lock()

    def add(self) -> None:
        """Count a retry."""
        with self._counting:
            self.count += 1

    def of(self, method: str) -> MethodRetries:
        """The retrier of one method's calls, by its full name."""
        return MethodRetries(self, method.rpartition("/")[2])


class MethodRetries:
    """Retries the calls of one method."""

    def __init__(self, retries: Retries, method: str) -> None:
        self._retries = retries
        self._method = method

    def is_retryable(self, error: BaseException) -> bool:
        """Whether a retry may help, and is harmless."""
        return (
            self._retries.wanted
            and isinstance(error, grpc.RpcError)
            and error.code() is grpc.StatusCode.UNAVAILABLE
            and is_safe(self._method)
        )

    def retry(
        self, call: Callable[[float | None], Any], first: Outcome, deadline: float | None
    ) -> Any:
        """Retry a call while that may help; returns the last response or raises the last error.

        Parameters
        ----------
        call : callable
            Makes the call; takes the seconds it may last.
        first : Outcome
            The outcome of the first attempt.
        deadline : float or None
            The end of the caller's time, by the monotonic clock.
        """
        if first.settled or not self._retries.wanted:
            return first.response
        import tenacity

        outcomes: list[Outcome] = []

        def attempt() -> Any:
            with self._noting(outcomes, deadline):
                outcomes.append(Outcome(call(_left(deadline))) if outcomes else first)
            return outcomes[-1].result()

        return tenacity.Retrying(**self._policy(deadline))(attempt)

    async def retry_awaiting(
        self, call: Callable[[float | None], Awaitable[Any]], first: Outcome, deadline: float | None
    ) -> Any:
        """The same for awaited calls."""
        if first.settled or not self._retries.wanted:
            return first.response
        import tenacity

        outcomes: list[Outcome] = []

        async def attempt() -> Any:
            with self._noting(outcomes, deadline):
                outcomes.append(Outcome(await call(_left(deadline))) if outcomes else first)
            return outcomes[-1].result()

        return await tenacity.AsyncRetrying(**self._policy(deadline))(attempt)

    def _policy(self, deadline: float | None) -> dict[str, Any]:
        import tenacity

        started = time.monotonic()

        def too_late(state: Any) -> bool:
            patience = OUTAGE_PATIENCE if state.outcome.failed else _patience(state.outcome)
            until = started + patience if deadline is None else deadline
            return time.monotonic() + float(state.upcoming_sleep) > until

        return {
            "retry": tenacity.retry_if_result(turned_away)
            | tenacity.retry_if_exception(self.is_retryable),
            "wait": tenacity.wait_random_exponential(multiplier=0.1, max=8),
            "stop": too_late,
            "before_sleep": self._count,
            # When time runs out, the caller gets the last outcome.
            "retry_error_callback": lambda state: state.outcome.result(),
        }

    @contextmanager
    def _noting(self, outcomes: list[Outcome], deadline: float | None) -> Iterator[None]:
        """Note an error, unless the attempt had too little time left: the one before tells more.

        Of a call that changes something it would not tell that this one may have.
        """
        try:
            yield
        except grpc.RpcError as error:
            is_over = deadline is not None and deadline - time.monotonic() <= _LEAST
            ran_out = is_over and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if not (ran_out and is_safe(self._method)):
                outcomes.append(Outcome(error=error))

    def _count(self, state: Any) -> None:
        self._retries.add()
        outcome = state.outcome
        why = outcome.exception().code() if outcome.failed else named(outcome.result().status.code)
        _log.debug("retrying %s in %.1f s: %s", self._method, state.upcoming_sleep, why)


class Outcome(NamedTuple):
    """The outcome of a call: a response or an error."""

    response: Any = None
    error: BaseException | None = None

    @property
    def settled(self) -> bool:
        """Whether there is no reason to retry the call."""
        return self.error is None and not turned_away(self.response)

    def result(self) -> Any:
        """Return the response, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.response


def turned_away(response: Any) -> bool:
    """Whether the API rejected a call for now, without doing anything."""
    code = response.status.code
    return bool(code == THROTTLED or code in ON_ITS_WAY)


def _patience(outcome: Any) -> float:
    """The seconds for which to retry a rejected call."""
    throttled = outcome.result().status.code == THROTTLED
    return _THROTTLED_PATIENCE if throttled else _COLD_PATIENCE


def _left(deadline: float | None) -> float | None:
    """The seconds that an attempt may last."""
    return None if deadline is None else max(deadline - time.monotonic(), _LEAST)
