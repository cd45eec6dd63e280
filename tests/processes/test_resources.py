"""What a sign-in takes it gives back: threads, sockets and memory, by counting them."""

from __future__ import annotations

import gc
import threading
from collections import Counter

import psutil
import pytest
from support import sandbox_process

CYCLE = """
%clarifai_auth
assert stub.MyScopes(service_pb2.MyScopesRequest()).scopes
assert clarifai_session.map("MyScopes", [service_pb2.MyScopesRequest()] * 2, progress=False)
del _
%clarifai_auth logout
"""


@pytest.fixture
def cycle(shell, environment):
    with sandbox_process() as variables:
        environment(**{name.removeprefix("CLARIFAI_"): value for name, value in variables.items()})
        shell.run("_ = 0")

        def run(times):
            for _ in range(times):
                shell.run("_ = 0" + CYCLE)
            gc.collect()
            kinds = Counter(str(type(each)) for each in gc.get_objects())
            return {
                "threads": threading.active_count(),
                "files and sockets": psutil.Process().num_fds(),
                "objects": {
                    kind: count
                    for kind, count in kinds.items()
                    # Not gRPC's event loops: it keeps each that was used while any channel is open.
                    if any(part in kind for part in ("clarifai", "grpc._channel", "aio.", "Thread"))
                },
            }

        yield run


def test_a_hundred_sign_ins_leave_nothing_behind(cycle):
    before, after = cycle(5), cycle(100)
    objects = Counter(after.pop("objects"))
    more = objects - Counter(before.pop("objects"))
    # A thread of gRPC's may still be ending when they are counted; what stays, stays a hundred times.
    assert all(count < before[what] + 10 for what, count in after.items()), (before, after)
    assert all(count < 10 for count in more.values()), more
    assert "<class 'clarifai_magic.client.session.Session'>" not in objects
