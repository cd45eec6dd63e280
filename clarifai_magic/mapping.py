"""One method called for many items at once: `Session.map` and `Session.amap`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.errors import ClarifaiMagicError
from clarifai_magic.failures import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from clarifai_magic.parts import Part, Plan
    from clarifai_magic.session import Session

_TICK = 0.1  # seconds between looks at how far it is
_MISSING = object()


class Answers(Sequence[Any]):
    """What a method answered to many items, in the items' order.

    An item without an answer has None. ``resume()``, or awaiting it again, goes on with those.

    Parameters
    ----------
    session : Session
        Whose calls they are.
    plan : Plan
        The items, as requests.
    in_flight : int
        Calls at the same time, at most.
    timeout : float or None
        Seconds for each call, its retries included.
    progress : bool
        Whether a progress bar is shown.
    client : distributed.Client, optional
        The Dask cluster that makes the calls.

    Attributes
    ----------
    failures : dict of int to ClarifaiMagicError
        The error of each item that was refused or got no answer, by its index.
    retried : int
        Calls that were made again after throttling or an outage.
    """

    def __init__(  # noqa: PLR0913 - one map's parts
        self,
        session: Session,
        plan: Plan,
        *,
        in_flight: int,
        timeout: float | None,
        progress: bool,
        client: Any = None,
    ) -> None:
        self.session = session
        self.plan = plan
        self._in_flight = max(1, in_flight)
        self._timeout = timeout
        self._progress = progress
        self._client = client
        self._answers: list[Any] = [_MISSING] * len(plan.items)
        self._done = 0
        self.failures: dict[int, ClarifaiMagicError] = {}
        self.retried = 0

    def __len__(self) -> int:
        return len(self._answers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        answer = self._answers[index]
        return None if answer is _MISSING else answer

    @property
    def left(self) -> list[int]:
        """The indices of the items without an answer, those that failed among them."""
        return [index for index, answer in enumerate(self._answers) if answer is _MISSING]

    def resume(self) -> Answers:
        """Call for the items that are left, and wait; an interrupt ends that without an error."""
        with self._shown() as tick:
            if self._client is None:
                self.session.portal.run(self._send(), tick)
            else:
                from clarifai_magic.cluster import spread

                spread(self._client, self, tick)
        return self

    def __await__(self) -> Generator[Any, None, Answers]:
        yield from self._awaited().__await__()
        return self

    async def _awaited(self) -> None:
        with self._shown() as tick:
            sending = asyncio.ensure_future(self._send())
            try:
                while not sending.done():
                    await asyncio.wait([sending], timeout=_TICK)
                    tick()
            finally:
                sending.cancel()
            await sending

    async def _send(self) -> None:
        before = self.session.retries.count
        retried = self.retried

        def take(part: Part, outcome: Any) -> None:
            self.retried = retried + self.session.retries.count - before
            self.take(part, outcome)

        parts = self.plan.parts(self.left)
        await send(self.session, self.plan.method, parts, take, self.limits)

    @property
    def limits(self) -> tuple[int, float | None]:
        """Calls in flight at most, and the seconds for each."""
        return self._in_flight, self._timeout

    def take(self, part: Part, outcome: Any) -> None:
        """Keep what came of a request: a response, or the error in its place."""
        for index, answer in self.plan.answers(part, outcome):
            if isinstance(answer, ClarifaiMagicError):
                self.failures[index] = answer
            else:
                self._answers[index] = answer
                self._done += 1

    @contextmanager
    def _shown(self) -> Iterator[Callable[[], None]]:
        """Show the progress for a while; gives what to call when there may be news."""
        from tqdm.auto import tqdm

        self.failures.clear()
        shown = (self._done, 0)
        bar = tqdm(
            total=len(self),
            initial=self._done,
            desc=self.plan.method,
            disable=not self._progress,
        )

        def tick() -> None:
            nonlocal shown
            if shown != (self._done, self.retried + len(self.failures)):
                shown = (self._done, self.retried + len(self.failures))
                counts = {"failed": len(self.failures), "retried": self.retried}
                bar.n = self._done
                bar.set_postfix({name: count for name, count in counts.items() if count})

        with bar:
            yield tick
            tick()

    def __repr__(self) -> str:
        parts = [f"{self._done:,} of {len(self):,} answered by {self.plan.method}"]
        if self.failures:
            index = min(self.failures)
            parts.append(
                f"{len(self.failures):,} failed (item {index}: {self.failures[index].message})"
            )
        if untried := len(self) - self._done - len(self.failures):
            parts.append(f"{untried:,} not tried")
        if self.retried:
            parts.append(f"{self.retried:,} calls retried")
        if self._done < len(self):
            parts.append(".resume() goes on")
        return f"<{'; '.join(parts)}>"


async def send(
    session: Session,
    method: str,
    parts: Iterable[Part],
    take: Callable[[Part, Any], None],
    limits: tuple[int, float | None],
) -> None:
    """Make the calls for some parts, a limited number at a time.

    Parameters
    ----------
    session : Session
        Whose calls they are.
    method : str
        Bare name.
    parts : iterable of Part
        The requests.
    take : callable
        Given each part with its response, or with the error in its place.
    limits : (int, float or None)
        Calls in flight at most, and the seconds for each.
    """
    in_flight, timeout = limits
    call = getattr(session.aio_stub, method)
    waiting = iter(parts)

    async def keep_calling() -> None:
        for part in waiting:
            try:
                outcome = await call(part.request, timeout=timeout)
            except grpc.RpcError as error:
                outcome = failed(error, session.base)
            take(part, outcome)

    callers = [asyncio.ensure_future(keep_calling()) for _ in range(in_flight)]
    try:
        await asyncio.gather(*callers)
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
