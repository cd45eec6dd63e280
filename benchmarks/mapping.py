"""What `map` costs, against what a user would write by hand and what the SDK offers."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from calls import _address, _metadata
from clarifai.client.auth.helper import ClarifaiAuthHelper
from clarifai.client.auth.stub import create_stub
from clarifai.client.input import Inputs
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from measuring import Row, in_turn, ratio

from clarifai_magic import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = 128
SMALL = 10_000
INPUTS = 4_000
FEW, MANY = 10_000, 1_000_000
IN_FLIGHT = 64
ROUNDS = 5


def small_requests() -> list[Row]:
    """Many small requests: client CPU and wall clock."""
    request = service_pb2.MyScopesRequest(
        user_app_id=resources_pb2.UserAppIDSet(user_id=os.environ["CLARIFAI_USER_ID"])
    )
    requests = [request] * SMALL
    sdk = create_stub(ClarifaiAuthHelper.from_env())

    def threads() -> None:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(sdk.MyScopes, requests))

    with connect() as session:
        ours, gather, pooled = in_turn(
            ROUNDS,
            lambda: _spent(lambda: session.map("MyScopes", requests, progress=False), SMALL),
            lambda: _spent(lambda: asyncio.run(_gathered(requests)), SMALL),
            lambda: _spent(threads, SMALL),
        )
    what = f"`map` of {SMALL:,} small requests, {IN_FLIGHT} in flight, against"
    return [
        _row(
            f"{what} `asyncio.gather` with a semaphore over `grpc.aio`: CPU", ours, gather, 0, 1.05
        ),
        _row(f"{what} the same: seconds", ours, gather, 1, None),
        _row(f"{what} the SDK's stub in {IN_FLIGHT} threads: seconds", ours, pooled, 1, 1 / 1.5),
    ]


async def _gathered(requests: list[Any]) -> list[Any]:
    """What a user would write."""
    metadata, room = _metadata(), asyncio.Semaphore(IN_FLIGHT)
    async with ClarifaiChannel.get_aio_insecure_grpc_channel(*_address()) as channel:
        stub = service_pb2_grpc.V2Stub(channel)

        async def call(request: Any) -> Any:
            async with room:
                return await stub.MyScopes(request, metadata=metadata)

        return await asyncio.gather(*(call(request) for request in requests))


def _spent(run: Callable[[], Any], count: int) -> tuple[float, float]:
    """Microseconds of CPU for an item, and seconds for all."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return (time.process_time() - cpu) / count * 1e6, time.perf_counter() - wall


def _row(what: str, ours: Any, peer: Any, figure: int, budget: float | None) -> Row:
    def told(figures: Any) -> str:
        median = statistics.median(each[figure] for each in figures)
        return f"{median:.1f} s" if figure else f"{median:.0f} µs"

    found = ratio([each[figure] for each in ours], [each[figure] for each in peer])
    return Row(what, told(ours), told(peer), found, budget)


def uploads() -> list[Row]:
    """Inputs in batches, against the SDK's own upload."""
    ids = {"user_id": os.environ["CLARIFAI_USER_ID"], "app_id": os.environ["CLARIFAI_APP_ID"]}
    base, pat = os.environ["CLARIFAI_API_BASE"], os.environ["CLARIFAI_PAT"]
    sdk = Inputs(**ids, base_url=base, pat=pat, logger_level="ERROR")

    def items() -> Iterator[Any]:
        for _ in range(INPUTS):  # with IDs, which the SDK asks for
            yield resources_pb2.Input(id=os.urandom(16).hex(), data={"text": {"raw": "a cat"}})

    def upload() -> None:
        inputs = list(items())
        with ThreadPoolExecutor(10) as pool:  # as many as the SDK has by itself
            starts = range(0, INPUTS, BATCH)
            list(pool.map(lambda at: sdk.upload_inputs(inputs[at : at + BATCH], False), starts))

    with connect() as session:
        ours, theirs = in_turn(
            ROUNDS,
            lambda: _spent(lambda: session.map("PostInputs", items(), progress=False), INPUTS),
            lambda: _spent(upload, INPUTS),
        )
    what = f"`map` of {INPUTS:,} inputs, {BATCH} to a call, against the SDK's upload"
    return [
        _row(f"{what}: client CPU for an input", ours, theirs, 0, None),
        _row(f"{what}: seconds", ours, theirs, 1, None),
    ]


def memory() -> list[Row]:
    """The most memory that a saved map takes, of few and of many items."""
    answer = service_pb2.MultiOutputResponse(status={"code": 10000})
    full = _outputs(answer, BATCH)

    def answered(data: bytes, _context: Any) -> bytes:
        found = len(service_pb2.PostModelOutputsRequest.FromString(data).inputs)
        return full if found == BATCH else _outputs(answer, found)

    with _serving(answered) as base:
        few, many = (_peak(count, base) for count in (FEW, MANY))
    what = f"memory of a saved `map` of {MANY:,} inputs from a generator, against {FEW:,}"
    return [Row(what, f"{many:.0f} MB", f"{few:.0f} MB", many / few, 1.25)]


def _peak(count: int, base: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        command = [sys.executable, __file__, str(count), str(path)]
        environment = {**os.environ, "CLARIFAI_API_BASE": base}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    return float(done.stdout)


def _map(count: int, path: str) -> None:
    """In a process of its own: map, and print the megabytes that it took at most."""
    pattern = service_pb2.PostModelOutputsRequest(model_id="model")
    with connect(verified=False) as session:
        inputs = (
            resources_pb2.Input(id=f"{number}", data={"text": {"raw": "a cat"}})
            for number in range(count)
        )
        answers = session.map(
            "PostModelOutputs", inputs, request=pattern, save=path, progress=False
        )
        assert not answers.failures, answers
    # What getrusage tells has the parent's memory in it.
    print(int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1000)


def _outputs(answer: Any, count: int) -> bytes:
    answer.ClearField("outputs")
    for _ in range(count):
        answer.outputs.add(status={"code": 10000})
    return bytes(answer.SerializeToString())


@contextmanager
def _serving(answer: Callable[[bytes, Any], bytes]) -> Iterator[str]:
    """A server that answers any prediction; the sandbox would take minutes for so many."""
    handler = grpc.unary_unary_rpc_method_handler(answer)
    methods = {"PostModelOutputs": handler}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("clarifai.api.V2", methods)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


if __name__ == "__main__":
    _map(int(sys.argv[1]), sys.argv[2])
