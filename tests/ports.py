"""Ports for servers and kernels that are told theirs, from where the system hands out none."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.connect import LocalPortCache

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, SIZE, COUNT = 20_000, 200, 60
"""Of the ports that the system hands to nobody, each process has some to itself."""

LOCKS = Path(tempfile.gettempdir(), f"ports-of-tests-{os.getuid()}")


@functools.cache
def _own() -> Iterator[int]:
    """This process's ports: what two choose at once, one of them finds in use."""
    LOCKS.mkdir(exist_ok=True)
    starts = [FIRST + number * SIZE for number in range(COUNT)]
    secrets.SystemRandom().shuffle(starts)
    for start in starts:
        lock = os.open(LOCKS / str(start), os.O_CREAT | os.O_RDWR)  # held until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return itertools.cycle(range(start, start + SIZE))
    raise RuntimeError(f"{COUNT} processes have all the ports: see {LOCKS}")


def free_ports(count: int) -> list[int]:
    """Ports for servers that are told theirs.

    Of those that the system hands out, another program may get one before the server has it.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = next(_own())
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


def for_kernels() -> None:
    """Have the kernels that this process starts at such ports, too."""

    def free(_cache: Any, _ip: str) -> int:
        return free_ports(1)[0]

    LocalPortCache.find_available_port = free


def for_kernels_of_programs(config: Path) -> None:
    """Have the Jupyter programs with this folder for their settings do the same."""
    config.mkdir(parents=True, exist_ok=True)
    (config / "jupyter_config.py").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
        "from ports import for_kernels\nfor_kernels()\n"
    )
