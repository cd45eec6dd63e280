"""The calls of one run of a map: makes, retries, splits or abandons each as needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf.message import DecodeError

from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.api.scopes import SERVICE, is_safe, request_class, response_class
from clarifai_magic.api.statuses import error_from_status
from clarifai_magic.bulk.breaker import Breaker
from clarifai_magic.bulk.loop_thread import closed
from clarifai_magic.bulk.pace import Pace, Place
from clarifai_magic.client.internals import HasInternals, internals
from clarifai_magic.client.retries import ON_ITS_WAY, Outcome, Retries, turned_away
from clarifai_magic.errors import CallError, ClarifaiMagicError, ItemsError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from clarifai_magic.bulk.batching import Batch

_MOST_BYTES = 2**27  # of the items in flight; one alone may be larger
_LOOK = 0.25  # seconds between checks of the connection
_GLANCE = 0.01  # the same while a call waits for it
_SUCCESS = status_code_pb2.SUCCESS
# With these, a call in flight was not sent.
_APART = {
    grpc.ChannelConnectivity.IDLE,
    grpc.ChannelConnectivity.CONNECTING,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
}
# With these, a call may have been carried out without a response.
_UNCERTAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
}
# With these, one of the items may be to blame.
_PERHAPS_AN_ITEM = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


Deliver = Callable[["Batch", Any], None]


class MapSession(HasInternals, Protocol):
    """What map needs from a session."""

    @property
    def aio_stub(self) -> Any:
        """The generated stub for ``await``."""

    @property
    def base(self) -> str:
        """The API's base URL."""

    def for_workers(
        self, *, scopes: Iterable[str] | None = None, expires: float | None = None
    ) -> MapSession:
        """The same session for other processes."""

    def close(self) -> None:
        """End it."""


class Tally:
    """The progress of a map's calls, for its progress bar.

    Attributes
    ----------
    retried : int
        Calls that were retried.
    in_flight : int
        Calls in flight.
    waiting_for : str
        What all of them wait for, such as a loading model; empty if they do not wait.
    by : str
        The key that was made for the workers; empty if none was.
    """

    def __init__(self) -> None:
        self.retried = 0
        self.in_flight = 0
        self.waiting_for = ""
        self.by = ""


class _FailedError(Exception):
    """A failed call, with the error for its items.

    Parameters
    ----------
    error : ClarifaiMagicError
        For each item.
    divisible : bool
        Whether the same items may succeed in smaller requests.
    """

    def __init__(self, error: ClarifaiMagicError, *, divisible: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.divisible = divisible


class _CutOffError(asyncio.CancelledError):
    """A cancelled call that may have been carried out."""


class _UnsentError(grpc.aio.AioRpcError):  # type: ignore[misc]
    """A call whose time was over before there was a connection."""

    def __init__(self) -> None:
        none = grpc.aio.Metadata()
        super().__init__(grpc.StatusCode.DEADLINE_EXCEEDED, none, none, "no connection")


class Sending:
    """Makes the calls for batches, until there are no more, or continuing is useless.

    Parameters
    ----------
    session : Session
        The session of the calls.
    method : str
        Bare name.
    limits : (int, float or None)
        Calls in flight at most, and the seconds for each, its retries included.
    following : callable
        Awaited for the next batch; None if there is none.
    deliver : callable
        Called with each batch, or parts of it, and its response or the error instead.
    tally : Tally
        Kept up to date.
    """

    def __init__(  # noqa: PLR0913 - one run's parts
        self,
        session: MapSession,
        method: str,
        limits: tuple[int, float | None],
        following: Callable[[], Awaitable[Batch | None]],
        deliver: Deliver,
        tally: Tally,
    ) -> None:
        self._session = internals(session)
        self._method, self._path, self._safe = method, f"/{SERVICE}/{method}", is_safe(method)
        self._in_flight, self._timeout = limits
        self._following, self._deliver, self._tally = following, deliver, tally
        self._defaults = session.channel.defaults
        serialize = request_class(method).SerializeToString
        self._serialize = self._defaults.serializer(self._path, serialize)
        self._parse = response_class(method).FromString
        self._metadata = grpc.aio.Metadata(*self._defaults.metadata)
        self._retries = Retries(wanted=self._session.retries.wanted).of(method)
        self._pace = Pace(self._in_flight)
        self._breaker = Breaker()
        self._some_answered = False
        self._looking = asyncio.Lock()
        self._calls: dict[asyncio.Task[None], int] = {}  # with the bytes of its items
        self._bytes = 0
        self._made: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    async def run(self) -> None:
        """Make the calls.

        Raises
        ------
        UnreachableError
            If the deployment no longer responds.
        NotSignedInError
            If the session is closed.
        """
        self._session.require_open()
        self._channel = self._session.connection.aio_channel
        # Bytes both ways, to distinguish failures to serialise or parse.
        self._call = self._channel.unary_unary(self._path)
        making = asyncio.ensure_future(self._make_all())
        watch = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait([making, watch], return_when=asyncio.FIRST_COMPLETED)
            if not making.done():
                raise await self._no_use()
            making.result()
        finally:
            every = [*self._calls, making, watch]
            for each in every:
                each.cancel()
            await asyncio.gather(*every, return_exceptions=True)

    async def _watch(self) -> None:
        """Wait until continuing is useless."""
        while not self._breaker.open:
            if self._tally.in_flight and self._channel.get_state(try_to_connect=True) in _APART:
                self._breaker.apart()
            else:
                self._breaker.connected()
            await asyncio.sleep(_LOOK)

    async def _no_use(self) -> ClarifaiMagicError:
        # In a thread, because trying takes time.
        from clarifai_magic.api.connectivity import find_obstacle

        deployment = self._session.deployment
        return await asyncio.to_thread(find_obstacle, deployment) or UnreachableError(
            f"{deployment.base} no longer responds.",
            "Try again in a minute: resume() continues from here.",
        )

    async def _make_all(self) -> None:
        """Make the calls for all batches, each in a task of its own, while there is room."""
        while (batch := await self._following()) is not None:
            call = asyncio.ensure_future(self._make(batch))
            self._calls[call] = batch.size
            self._bytes += batch.size
            call.add_done_callback(self._made.put_nowait)
            while len(self._calls) >= self._in_flight or self._bytes >= _MOST_BYTES:
                await self._take_out()
        while self._calls:
            await self._take_out()

    async def _take_out(self) -> None:
        """Wait for a call to end, and raise what it raises."""
        call = await self._made.get()
        self._bytes -= self._calls.pop(call)
        call.result()

    async def _make(self, batch: Batch) -> None:
        """Make the call for a batch, or for its parts, and deliver the outcome."""
        try:
            outcome = await self._answer_to(batch)
        except _FailedError as failed:
            if failed.divisible and len(batch.indices) > 1:
                for half in batch.halves():
                    await self._make(half)
                return
            outcome = failed.error
        except asyncio.CancelledError:
            if self._session.closed:
                raise closed() from None
            raise
        self._deliver(batch, outcome)

    async def _answer_to(self, batch: Batch) -> Any:
        """The response to a batch's request.

        Raises
        ------
        _FailedError
            If there is none.
        """
        try:
            data = self._serialize(batch.request)
        except Exception as error:  # noqa: BLE001 - protobuf's and Python's, of many kinds
            raise _FailedError(_not_sent(error), divisible=True) from None
        try:
            response = await self._attempted(data)
        except _CutOffError:
            self._deliver(batch, self._uncertain(_ended()))
            raise
        except grpc.RpcError as error:
            raise await self._failed(batch, error) from None
        except DecodeError:
            raise _FailedError(self._uncertain(_unreadable()), divisible=self._divides()) from None
        self._some_answered = True
        if response.status.code == status_code_pb2.RPC_MAX_MESSAGE_SIZE_EXCEEDED:
            raise _FailedError(error_from_status(response.status, self._method), divisible=True)
        if response.status.code != _SUCCESS:
            self._defaults.notice(self._path, response, batch.request)
        return response

    async def _attempted(self, data: bytes) -> Any:
        """A response, after as many attempts as help.

        A call that waits for its next attempt leaves its place to another; not so for a model that
        is starting, which the others would also wait for.
        """
        place, timeout = Place(self._pace), self._timeout
        await place.take()
        deadline = None if timeout is None else time.monotonic() + timeout

        async def again(left: float | None) -> Any:
            self._tally.retried += 1
            await place.take()
            response = None
            try:
                response = await self._attempt(data, left)
            finally:
                if response is None or response.status.code not in ON_ITS_WAY:
                    place.give_up()
            return response

        try:
            first = await self._first(data, timeout)
            if first.settled:
                return first.response
            if first.error or first.response.status.code not in ON_ITS_WAY:
                place.give_up()
            return await self._retries.retry_awaiting(again, first, deadline)
        finally:
            place.give_up()

    async def _first(self, data: bytes, timeout: float | None) -> Outcome:
        try:
            return Outcome(await self._attempt(data, timeout))
        except grpc.RpcError as error:
            if not self._retries.is_retryable(error):
                raise
            return Outcome(error=error)

    async def _attempt(self, data: bytes, timeout: float | None) -> Any:
        self._tally.in_flight += 1
        began = time.monotonic()
        sent = False
        try:
            if not self._safe and self._channel.get_state() in _APART:
                timeout = await self._connected(timeout)
            sent = not self._safe
            # Waits for a connection: then a call is lost only if it was sent.
            answer = await self._call(
                data, timeout=timeout, metadata=self._metadata, wait_for_ready=True
            )
        except asyncio.CancelledError:
            if sent:
                raise _CutOffError from None
            raise
        except grpc.RpcError:
            self._breaker.lost()
            self._pace.turned_away()
            raise
        finally:
            self._tally.in_flight -= 1
        self._breaker.answered()
        response = self._parse(answer)
        code = response.status.code
        if code == _SUCCESS or not turned_away(response):
            self._tally.waiting_for = ""
            self._pace.answered(time.monotonic() - began)
        elif code in ON_ITS_WAY:
            self._tally.waiting_for = f"the model is {ON_ITS_WAY[code]}"
            self._pace.hold()
        else:
            self._pace.turned_away()
        return response

    async def _connected(self, timeout: float | None) -> float | None:
        """Wait for a connection; returns what is left of the time.

        Raises
        ------
        _UnsentError
            If there is none in that time.
        """
        until = None if timeout is None else time.monotonic() + timeout
        async with self._looking:  # one looks for all
            # gRPC's own wait for a change would outlive the loop if it is cancelled.
            while self._channel.get_state(try_to_connect=True) in _APART:
                if until is not None and time.monotonic() > until:
                    raise _UnsentError
                await asyncio.sleep(_GLANCE)
        return None if until is None else max(0.0, until - time.monotonic())

    async def _failed(self, batch: Batch, error: Any) -> _FailedError:
        """The items' error for a gRPC error."""
        code = error.code()
        is_uncertain = code in _UNCERTAIN and not isinstance(error, _UnsentError)
        # In a thread, because finding the reason takes time.
        try:
            told = await asyncio.to_thread(error_from_rpc, error, self._session.deployment)
        except asyncio.CancelledError:
            if not self._safe and is_uncertain:
                self._deliver(batch, self._uncertain(_ended()))
            raise
        if is_uncertain:
            self._uncertain(told)
        too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED
        divides = too_large or (code in _PERHAPS_AN_ITEM and self._divides())
        return _FailedError(told, divisible=divides)

    def _divides(self) -> bool:
        """Whether smaller requests may isolate the failing item."""
        return self._safe and self._some_answered

    def _uncertain(self, error: ClarifaiMagicError) -> ClarifaiMagicError:
        error.maybe_done = not self._safe
        return error


def _not_sent(error: Exception) -> ItemsError:
    return ItemsError(
        f"The request cannot be serialised: {type(error).__name__}.",
        "Check the item: its required fields, and that it is smaller than 2 GB.",
    )


def _unreadable() -> CallError:
    return CallError(
        "The response cannot be parsed.",
        "Check that --base is the address of a Clarifai API; resume() retries the call.",
    )


def _ended() -> CallError:
    return CallError(
        "The map ended while this call was in flight; it may have been carried out.",
        "Check whether it was; resume() retries it.",
    )
