"""Starts programs in a terminal without a fork while gRPC is in use, to keep their output clean.

A kernel runs ``!`` lines in a ptyprocess terminal, which forks the kernel and then executes the
program in the child. Each `fork` calls gRPC's handlers: in the parent they complain of calls in
flight, on the kernel's own stderr; in the child they restart gRPC's threads, which fail once
ptyprocess has closed their files, and may end the child before it executes the program.
`os.posix_spawn` calls no handlers.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import fcntl
    import termios

    from ptyprocess import PtyProcess
except ImportError:  # on Windows, which has no fork; or without ptyprocess
    PtyProcess = None

if TYPE_CHECKING:
    from collections.abc import Iterator


def no_fork_while(holder: object) -> None:
    """Start programs in a terminal without a fork for as long as an object exists.

    Parameters
    ----------
    holder : object
        One of gRPC's channels or servers: closed or not, it keeps gRPC in use.
    """
    if PtyProcess is not None:
        _replacement.hold()
        weakref.finalize(holder, _replacement.release).atexit = False


class _Replacement:
    """Replaces `PtyProcess.spawn` while it has holders."""

    def __init__(self) -> None:
        # Reentrant, because the garbage collector may free a holder anywhere.
        self._lock = threading.RLock()
        self._holders = 0
        self._original: Any = None
        self._present: Any = None
        # A child must not start with a lock that another thread of the parent holds.
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._lock.release,
        )

    def hold(self) -> None:
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                self._original = PtyProcess.__dict__["spawn"]
                self._present = PtyProcess.spawn = classmethod(self._instead_of(self._original))

    def release(self) -> None:
        """Count; after the last, restore the original, unless other code has wrapped this."""
        with self._lock:
            self._holders -= 1
            if not self._holders and PtyProcess.__dict__["spawn"] is self._present:
                PtyProcess.spawn = self._original

    def _instead_of(self, original: Any) -> Any:
        def spawn(  # noqa: PLR0913 - ptyprocess's own signature
            kind: Any,
            argv: list[str],
            cwd: str | None = None,
            env: Any = None,
            echo: bool = True,
            preexec_fn: Any = None,
            dimensions: tuple[int, int] = (24, 80),
            pass_fds: Any = (),
        ) -> Any:
            # The fork does what posix_spawn cannot.
            if not self._holders or cwd or not echo or preexec_fn or pass_fds:
                fork = original.__get__(None, kind)
                return fork(argv, cwd, env, echo, preexec_fn, dimensions, pass_fds)
            return _spawn(kind, argv, env, dimensions)

        return spawn


def _spawn(kind: Any, argv: list[str], env: Any, dimensions: tuple[int, int]) -> Any:
    """Start a program in a new terminal that controls its session, as `PtyProcess.spawn` does."""
    master, slave = os.openpty()
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *dimensions, 0, 0))
        actions = [
            # The first terminal that a new session opens controls it.
            (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()),
        ]
        environment = os.environ if env is None else env
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions, setsid=True)
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    process = kind(pid, master)
    process.argv, process.env = argv, env
    return process


def _inheritable() -> Iterator[int]:
    """The files, beyond the three of the terminal, that a program would get."""
    for fd in [int(each.name) for each in Path("/dev/fd").iterdir()]:
        try:
            if fd > 2 and os.get_inheritable(fd):  # noqa: PLR2004 - stderr
                yield fd
        except OSError:
            pass  # closed since, like the listing's own


if PtyProcess is not None:
    _replacement = _Replacement()
