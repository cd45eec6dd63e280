"""The sandbox as a source: one local server per process, for all sessions that hold it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from clarifai_magic.concurrency import Lock
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.credentials.sources.base import SourceContext
    from clarifai_magic.sandbox import Sandbox


class _Shared:
    """This process's sandbox for its sessions, and the number of its holders.

    It starts on the first use of its key, and ends when its last holder releases it; without any
    holder it ends with the process.
    """

    def __init__(self) -> None:
        self._changing = Lock()
        self._sandbox: Sandbox | None = None
        self._holders: set[object] = set()

    def running(self) -> Sandbox:
        """The sandbox, started if there is none."""
        from clarifai_magic.sandbox import Sandbox

        if (present := self._sandbox) is not None:
            return present
        started = Sandbox()
        started.start()
        with self._changing:
            if self._sandbox is None:
                self._sandbox = started
            present = self._sandbox
        if present is not started:  # another thread was faster
            started.close()
        return present

    def hold(self, base: str, owner: object) -> Callable[[], None]:
        """Let `owner` hold the sandbox at that base URL; the returned function releases it."""
        holder = object()
        with self._changing:
            if self._sandbox is None or self._sandbox.base != base:
                return lambda: None
            self._holders.add(holder)
        # A collected owner releases it too; the sandbox then ends without a wait, because the
        # garbage collector must not block.
        weakref.finalize(owner, self._let_go, holder).atexit = False

        def release() -> None:
            if (ended := self._let_go(holder)) is not None:
                ended.close()

        return release

    def _let_go(self, holder: object) -> Sandbox | None:
        """Return the sandbox if that was its last holder."""
        with self._changing:
            if holder not in self._holders:
                return None
            self._holders.remove(holder)
            if self._holders:
                return None
            ended, self._sandbox = self._sandbox, None
            return ended


_shared = _Shared()


def from_sandbox(_name: str, around: SourceContext) -> Credentials:
    """The PAT of this process's sandbox, started if necessary."""
    if around.base or around.root_certificates:
        raise SourceError(
            "The sandbox has its own base URL.", "Omit --base and --root-certificates."
        )
    sandbox = _shared.running()
    return Credentials(
        sandbox.keys.pat,
        user_id=sandbox.user_id,
        app_id=sandbox.app_id,
        base=sandbox.base,
        source=Provenance("sandbox"),
    )


def hold(base: str, owner: object) -> Callable[[], None]:
    """Keep the process's sandbox running, if it is at a base URL.

    Parameters
    ----------
    base : str
        Of a session's deployment.
    owner : object
        Who needs it; its end releases the sandbox in any case.

    Returns
    -------
    callable
        Releases it; the last release ends the sandbox. Calling it twice is harmless.
    """
    return _shared.hold(base, owner)
