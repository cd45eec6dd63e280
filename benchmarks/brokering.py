"""What the broker adds to a call: time, CPU and memory, against the same call made directly."""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import grpc
import requests
from clarifai_grpc.grpc.api import service_pb2
from measuring import Row, in_turn, ratio

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 41
CALLS = 25  # in one measurement of calls one after the other
MANY = 512  # in one of calls in flight
IN_FLIGHT = 64

_PEER = r"""
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
piece = bytes(1 << 20)
while True:
    client, _ = listening.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    left = int(head.lower().split(b"content-length:")[1].split()[0]) - len(body)
    while left:
        left -= len(client.recv(min(left, 1 << 20)))
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 << 20))
    for _ in range(100):
        client.sendall(piece)
    client.close()
"""
"""Takes a body, and answers with one of 100 MB."""

_CLIENT = r"""
import sys, psutil, requests
from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.bridge.broker import Broker

memory = psutil.Process().memory_info
seen = []

def pieces():
    for _ in range(100):
        seen.append(memory().rss)
        yield bytes(1 << 20)

base, way = sys.argv[1:]
broker = Broker(find_deployment(base), "0" * 32, lambda: "key")
base = broker.base if way == "broker" else base
request = requests.Request("POST", base + "/v2/inputs", data=pieces()).prepare()
del request.headers["Transfer-Encoding"]
request.headers["Content-Length"] = str(100 << 20)
request.headers["Authorization"] = "Key " + broker.token
before = memory().rss
with requests.Session() as session, session.send(request, stream=True) as answer:
    size = 0
    for part in answer.iter_content(1 << 18):
        size += len(part)
        seen.append(memory().rss)
assert size == 100 << 20
print(max(seen) - before)
"""
"""Sends such a body; prints by how many bytes its memory grew at the most."""


def brokering() -> list[Row]:
    """Calls through the broker against direct ones."""
    deployment = find_deployment(os.environ["CLARIFAI_API_BASE"])
    broker = Broker(deployment, secrets.token_hex(16), lambda: os.environ["CLARIFAI_PAT"])
    try:
        ways = (
            (broker.base, f"Key {broker.token}"),
            (deployment.base, f"Key {os.environ['CLARIFAI_PAT']}"),
        )
        return [*_one_by_one(*ways), *_in_flight(*ways), *_rest(*ways), *_memory()]
    finally:
        broker.close()


def _one_by_one(*ways: tuple[str, str]) -> list[Row]:
    request = service_pb2.MyScopesRequest()
    channels = [grpc.insecure_channel(base.removeprefix("http://")) for base, _ in ways]
    calls = [_my_scopes(channel) for channel in channels]
    figures = in_turn(
        ROUNDS,
        *(
            lambda call=call, key=key: _latency(
                lambda: call(request, metadata=(("authorization", key),))
            )
            for call, (_, key) in zip(calls, ways, strict=True)
        ),
    )
    return [_added("a unary gRPC call through the broker against a direct one", *figures, 1.0)]


def _rest(*ways: tuple[str, str]) -> list[Row]:
    with requests.Session() as session:
        figures = in_turn(
            ROUNDS,
            *(
                lambda base=base, key=key: _latency(
                    lambda: session.get(f"{base}/v2/users/me", headers={"Authorization": key})
                )
                for base, key in ways
            ),
        )
    return [_added("a REST call through the broker against a direct one", *figures, 1.0)]


def _in_flight(*ways: tuple[str, str]) -> list[Row]:
    figures = in_turn(
        ROUNDS, *(lambda way=way: _measured(lambda: asyncio.run(_all(*way))) for way in ways)
    )

    what = f"`grpc.aio`, {IN_FLIGHT} in flight, through the broker against direct"
    cpu = [[cpu for cpu, *_ in each] for each in figures]
    waits = [[wait for *_, wait in each] for each in figures]
    return [
        Row(
            f"{what}, client CPU",
            f"{statistics.median(cpu[0]):.0f} µs",
            f"{statistics.median(cpu[1]):.0f} µs",
            ratio(*cpu),
            2.2,
        ),
        _added(f"{what}, latency", *waits, 3.0),
    ]


def _my_scopes(channel: Any) -> Any:
    return channel.unary_unary(
        "/clarifai.api.V2/MyScopes",
        service_pb2.MyScopesRequest.SerializeToString,
        service_pb2.MultiScopeResponse.FromString,
    )


def _added(what: str, ours: list[float], direct: list[float], budget: float) -> Row:
    """Milliseconds more, at the median."""
    more = statistics.median(a - b for a, b in zip(ours, direct, strict=True))
    told = [f"{statistics.median(each):.2f} ms" for each in (ours, direct)]
    return Row(f"{what}; the figure is ms more", *told, more, budget)


def _memory() -> list[Row]:
    """What 100 MB each way take while they pass."""
    with subprocess.Popen([sys.executable, "-c", _PEER], stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        base = f"http://127.0.0.1:{peer.stdout.readline().strip()}"
        ours, direct = in_turn(
            3, *(lambda way=way: _grown(base, way) for way in ("broker", "direct"))
        )
        peer.terminate()
    more = statistics.median(ours) - statistics.median(direct)
    told = [f"{statistics.median(each):.1f} MB" for each in (ours, direct)]
    what = "memory for bodies of 100 MB each way, through the broker against direct"
    return [Row(f"{what}; the figure is MB more", *told, more, 8)]


def _grown(base: str, way: str) -> float:
    command = [sys.executable, "-c", _CLIENT, base, way]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(answer.stdout) / 1e6


def _latency(call: Callable[[], Any]) -> float:
    """The median milliseconds of a call."""
    taken = []
    for _ in range(CALLS):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken) * 1e3


def _measured(run: Callable[[], list[float]]) -> tuple[float, float]:
    """Microseconds of CPU for a call, and the median milliseconds that one took."""
    before = time.process_time()
    taken = run()
    return (time.process_time() - before) / MANY * 1e6, statistics.median(taken) * 1e3


async def _all(base: str, key: str) -> list[float]:
    taken: list[float] = []
    left = iter(range(MANY))
    request, metadata = service_pb2.MyScopesRequest(), (("authorization", key),)
    # A channel of its own: the broker is asked to begin one, too.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(base.removeprefix("http://"), options=options) as channel:
        call = _my_scopes(channel)

        async def keep_calling() -> None:
            for _ in left:
                before = time.perf_counter()
                await call(request, metadata=metadata)
                taken.append(time.perf_counter() - before)

        await asyncio.gather(*(keep_calling() for _ in range(IN_FLIGHT)))
    return taken
