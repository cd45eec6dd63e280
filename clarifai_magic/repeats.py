"""Calls made again after throttling, and after an outage where that does no harm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import tenacity
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.scopes import changes_nothing, methods

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clarifai_magic.wire import Watch

THROTTLED = status_code_pb2.CONN_THROTTLED

_THROTTLED_PATIENCE = 120.0
_OUTAGE_PATIENCE = 15.0
"""Seconds for a call that has no time-out of its own."""


class Repeats:
    """Makes the calls of a session again, for as long as that may help.

    Throttling (11005) means that nothing was done, so that any call may be made again. After an
    outage (UNAVAILABLE) only those are that change nothing.

    Parameters
    ----------
    wanted : bool
        Whether calls are made again at all.
    watch : callable
        Told of a method whose calls remain throttled, and the status.

    Attributes
    ----------
    count : int
        How many calls were made again so far.
    """

    def __init__(self, watch: Watch, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.watch = watch
        self.count = 0

    def of(self, method: str) -> MethodRepeats | None:
        """What repeats one method's calls, by its full or bare name; None if nothing does."""
        name = method.rpartition("/")[2]
        descriptor = methods().get(name)
        if not self.wanted or descriptor is None:
            return None
        return MethodRepeats(self, name)


class MethodRepeats:
    """Makes the calls of one method again."""

    def __init__(self, repeats: Repeats, method: str) -> None:
        self._repeats = repeats
        self._method = method
        self._harmless = changes_nothing(method)

    def notice(self, method: str, code: int) -> None:
        """Pass on a status that a response had, unless the call may be made again for it."""
        if code != THROTTLED:
            self._repeats.watch(method, code)

    def mends(self, error: BaseException) -> bool:
        """Whether making the call again may help, and cannot harm."""
        return (
            self._harmless
            and isinstance(error, grpc.RpcError)
            and error.code() is grpc.StatusCode.UNAVAILABLE
        )

    def repeat(self, call: Callable[[float | None], Any], first: Outcome) -> Any:
        """Make a call again and again; gives the last response or raises the last error.

        Parameters
        ----------
        call : callable
            Makes the call; takes the seconds it may last.
        first : Outcome
            What came of the first time.
        """
        outcomes = iter([first])

        def attempt() -> Any:
            known = next(outcomes, None)
            return known.result() if known else call(first.time_left())

        return tenacity.Retrying(**self._policy(first))(attempt)

    async def repeat_awaiting(
        self, call: Callable[[float | None], Awaitable[Any]], first: Outcome
    ) -> Any:
        """The same for calls that are awaited."""
        outcomes = iter([first])

        async def attempt() -> Any:
            known = next(outcomes, None)
            return known.result() if known else await call(first.time_left())

        return await tenacity.AsyncRetrying(**self._policy(first))(attempt)

    def _policy(self, first: Outcome) -> dict[str, Any]:
        return {
            "retry": tenacity.retry_if_result(throttled) | tenacity.retry_if_exception(self.mends),
            "wait": tenacity.wait_random_exponential(multiplier=0.1, max=8),
            "stop": lambda state: time.monotonic() + state.upcoming_sleep > first.deadline(state),
            "before_sleep": self._count,
            "retry_error_callback": self._give_up,
        }

    def _count(self, _state: tenacity.RetryCallState) -> None:
        self._repeats.count += 1

    def _give_up(self, state: Any) -> Any:
        if not state.outcome.failed:
            self._repeats.watch(self._method, THROTTLED)
        return state.outcome.result()


class Outcome:
    """What came of a call when it was made the first time.

    Parameters
    ----------
    started : float
        When, by the monotonic clock.
    timeout : float or None
        The seconds that the caller gave for it, repetitions included.
    response : message, optional
        What it gave.
    error : Exception, optional
        What it raised instead.
    """

    def __init__(
        self,
        started: float,
        timeout: float | None,
        response: Any = None,
        error: BaseException | None = None,
    ) -> None:
        self._started = started
        self._timeout = timeout
        self._response = response
        self._error = error

    def result(self) -> Any:
        """Give the response, or raise the error."""
        if self._error is not None:
            raise self._error
        return self._response

    def deadline(self, state: Any) -> float:
        """Until when the call may be made again, after an attempt's outcome."""
        patience = _OUTAGE_PATIENCE if state.outcome.failed else _THROTTLED_PATIENCE
        return self._started + (patience if self._timeout is None else self._timeout)

    def time_left(self) -> float | None:
        """The seconds that an attempt may last."""
        if self._timeout is None:
            return None
        return max(self._started + self._timeout - time.monotonic(), 0.001)


def throttled(response: Any) -> bool:
    """Whether the API turned a call away for now, without doing anything."""
    return bool(response.status.code == THROTTLED)
