"""Calls made again after throttling, and after an outage where that does no harm.

Tenacity is imported when there is something to retry: signing in does not wait for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.scopes import changes_nothing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

THROTTLED = status_code_pb2.CONN_THROTTLED

_THROTTLED_PATIENCE = 120.0
_OUTAGE_PATIENCE = 15.0
"""Seconds for a call that has no time-out of its own."""


class Retries:
    """Makes the calls of a session again, for as long as that may help.

    Throttling (11005) means that nothing was done, so that any call may be made again. After an
    outage (UNAVAILABLE) only those are that change nothing.

    Parameters
    ----------
    wanted : bool
        Whether calls are made again at all.

    Attributes
    ----------
    count : int
        How many calls were made again so far.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.count = 0

    def of(self, method: str) -> MethodRetries:
        """What retries one method's calls, by its full name."""
        return MethodRetries(self, method.rpartition("/")[2])


class MethodRetries:
    """Makes the calls of one method again."""

    def __init__(self, retries: Retries, method: str) -> None:
        self._retries = retries
        self._method = method

    def mends(self, error: BaseException) -> bool:
        """Whether making the call again may help, and cannot harm."""
        return (
            self._retries.wanted
            and isinstance(error, grpc.RpcError)
            and error.code() is grpc.StatusCode.UNAVAILABLE
            and changes_nothing(self._method)
        )

    def retry(
        self, call: Callable[[float | None], Any], first: Outcome, deadline: float | None
    ) -> Any:
        """Make a call again while that may help; gives the last response or raises the last error.

        Parameters
        ----------
        call : callable
            Makes the call; takes the seconds it may last.
        first : Outcome
            What came of the first time.
        deadline : float or None
            When the caller's time is over, by the monotonic clock.
        """
        if first.settled or not self._retries.wanted:
            return first.response
        import tenacity

        outcomes = iter([first])

        def attempt() -> Any:
            known = next(outcomes, None)
            return known.result() if known else call(_left(deadline))

        return tenacity.Retrying(**self._policy(deadline))(attempt)

    async def retry_awaiting(
        self, call: Callable[[float | None], Awaitable[Any]], first: Outcome, deadline: float | None
    ) -> Any:
        """The same for calls that are awaited."""
        if first.settled or not self._retries.wanted:
            return first.response
        import tenacity

        outcomes = iter([first])

        async def attempt() -> Any:
            known = next(outcomes, None)
            return known.result() if known else await call(_left(deadline))

        return await tenacity.AsyncRetrying(**self._policy(deadline))(attempt)

    def _policy(self, deadline: float | None) -> dict[str, Any]:
        import tenacity

        started = time.monotonic()

        def too_late(state: Any) -> bool:
            patience = _OUTAGE_PATIENCE if state.outcome.failed else _THROTTLED_PATIENCE
            until = started + patience if deadline is None else deadline
            return time.monotonic() + float(state.upcoming_sleep) > until

        return {
            "retry": tenacity.retry_if_result(throttled) | tenacity.retry_if_exception(self.mends),
            "wait": tenacity.wait_random_exponential(multiplier=0.1, max=8),
            "stop": too_late,
            "before_sleep": self._count,
            # What came last is what the caller gets when time runs out.
            "retry_error_callback": lambda state: state.outcome.result(),
        }

    def _count(self, _state: Any) -> None:
        self._retries.count += 1


class Outcome(NamedTuple):
    """What came of a call: a response, or the error in its place."""

    response: Any = None
    error: BaseException | None = None

    @property
    def settled(self) -> bool:
        """Whether there is no reason to make the call again."""
        return self.error is None and not throttled(self.response)

    def result(self) -> Any:
        """Give the response, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.response


def throttled(response: Any) -> bool:
    """Whether the API turned a call away for now, without doing anything."""
    return bool(response.status.code == THROTTLED)


def _left(deadline: float | None) -> float | None:
    """The seconds that an attempt may last."""
    return None if deadline is None else max(deadline - time.monotonic(), 0.001)
