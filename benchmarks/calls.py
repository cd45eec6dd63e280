"""What a call costs: one after the other, and many in flight."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from clarifai.client.auth.helper import ClarifaiAuthHelper
from clarifai.client.auth.stub import create_stub
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from measuring import Row, in_turn, ratio

from clarifai_magic import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic import Session

ROUNDS = 300
CALLS = 25  # in one measurement of calls one after the other
MANY = 512  # in one of calls in flight
IN_FLIGHT = (1, 8, 64, 256)
BUDGETS = {1: 1.03, 64: 1.02}  # of awaited calls, by how many are in flight


class _Interceptor(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """The usual way to add metadata."""

    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), request)


def one_by_one() -> list[Row]:
    """A unary call through our stub against three other ways."""
    with connect() as session, _raw_channel() as channel:
        metadata, request, stub = _metadata(), _request(), session.stub
        raw = service_pb2_grpc.V2Stub(channel)
        intercepted = service_pb2_grpc.V2Stub(
            grpc.intercept_channel(channel, _Interceptor(metadata))
        )
        sdk = create_stub(ClarifaiAuthHelper.from_env())
        contestants = {
            "stub": lambda: stub.MyScopes(request),
            "raw": lambda: raw.MyScopes(request, metadata=metadata),
            "interceptor": lambda: intercepted.MyScopes(request),
            "SDK": lambda: sdk.MyScopes(request),
        }
        for call in contestants.values():
            _spent(call)
        figures = dict(
            zip(
                contestants,
                in_turn(ROUNDS, *(lambda call=call: _spent(call) for call in contestants.values())),
                strict=True,
            )
        )
    rows = []
    for name, budget in (("stub", 1.02), ("interceptor", None), ("SDK", None)):
        what = {"stub": "a call through `stub`", "SDK": "a call through the SDK's `create_stub`"}
        rows.append(
            Row(
                f"{what.get(name, 'a call through a gRPC interceptor')} "
                "against the raw generated stub, client CPU",
                f"{statistics.median(figures[name]):.0f} µs",
                f"{statistics.median(figures['raw']):.0f} µs",
                ratio(figures[name], figures["raw"]),
                budget,
            )
        )
    return rows


def in_flight() -> list[Row]:
    """Many calls at once: awaited and in threads, CPU and throughput."""
    rows = []
    with connect() as session, _raw_channel() as channel:
        for count in IN_FLIGHT:
            rows += _awaited(session, count)
            rows += _threaded(session, channel, count)
    return rows


def _awaited(session: Session, count: int) -> list[Row]:
    ours, peer = in_turn(
        61 if count in BUDGETS else 7,
        lambda: _both(lambda: asyncio.run(_all_ours(session, count))),
        lambda: _both(lambda: asyncio.run(_all_raw(count))),
    )
    return _rows(
        f"`aio_stub`, {count} in flight, against raw `grpc.aio`",
        ours,
        peer,
        BUDGETS.get(count),
    )


def _threaded(session: Session, channel: grpc.Channel, count: int) -> list[Row]:
    metadata, request = _metadata(), _request()
    raw = service_pb2_grpc.V2Stub(channel)
    sdk = create_stub(ClarifaiAuthHelper.from_env())
    figures = in_turn(
        5,
        *(
            lambda call=call: _both(lambda: _all_in_threads(call, count))
            for call in (
                lambda: session.stub.MyScopes(request),
                lambda: raw.MyScopes(request, metadata=metadata),
                lambda: sdk.MyScopes(request),
            )
        ),
    )
    what = f"`stub` in {count} threads, against the raw stub"
    return [
        *_rows(what, figures[0], figures[1], 1.05 if count == max(IN_FLIGHT) else None),
        *_rows(f"the SDK in {count} threads, against the raw stub", figures[2], figures[1]),
    ]


def _rows(what: str, ours: Any, peer: Any, budget: float | None = None) -> list[Row]:
    def told(figures: Any) -> str:
        cpu, rate = (statistics.median(each) for each in zip(*figures, strict=True))
        return f"{cpu:.0f} µs, {rate:,.0f}/s"

    cpu_ratio = ratio([cpu for cpu, _ in ours], [cpu for cpu, _ in peer])
    return [Row(what, told(ours), told(peer), cpu_ratio, budget)]


async def _all_ours(session: Session, count: int) -> None:
    request = _request()
    await _kept_up(lambda: session.aio_stub.MyScopes(request), count)


async def _all_raw(count: int) -> None:
    request, metadata = _request(), _metadata()
    async with ClarifaiChannel.get_aio_insecure_grpc_channel(*_address()) as channel:
        stub = service_pb2_grpc.V2Stub(channel)
        await _kept_up(lambda: stub.MyScopes(request, metadata=metadata), count)


async def _kept_up(call: Any, count: int) -> None:
    left = iter(range(MANY))

    async def keep_calling() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(keep_calling() for _ in range(count)))


def _all_in_threads(call: Any, count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        for answer in [pool.submit(call) for _ in range(MANY)]:
            answer.result()


def _spent(call: Callable[[], Any]) -> float:
    """Microseconds of CPU for a call."""
    before = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - before) / CALLS * 1e6


def _both(run: Callable[[], None]) -> tuple[float, float]:
    """Microseconds of CPU per call, and calls per second."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return (time.process_time() - cpu) / MANY * 1e6, MANY / (time.perf_counter() - wall)


def _request() -> Any:
    return service_pb2.MyScopesRequest(
        user_app_id=resources_pb2.UserAppIDSet(user_id=os.environ["CLARIFAI_USER_ID"])
    )


def _metadata() -> tuple[tuple[str, str], ...]:
    return (("authorization", "Key " + os.environ["CLARIFAI_PAT"]),)


def _address() -> tuple[str, int]:
    host, port = os.environ["CLARIFAI_API_BASE"].removeprefix("http://").split(":")
    return host, int(port)


@contextmanager
def _raw_channel() -> Iterator[grpc.Channel]:
    with ClarifaiChannel.get_insecure_grpc_channel(*_address()) as channel:
        yield channel
