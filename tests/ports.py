"""Ports for servers and kernels that are told theirs, from where the system hands out none."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.connect import LocalPortCache


def free_ports(count: int) -> list[int]:
    """Ports for servers that are told theirs.

    Of those that the system hands out, another program may get one before the server has it.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            ports.add(port)
    return [*ports]


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
