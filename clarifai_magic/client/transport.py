"""The gRPC channels of a sign-in: one for blocking calls, and one for each event loop."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import grpc

from clarifai_magic.api import USER_AGENT
from clarifai_magic.concurrency import Process
from clarifai_magic.errors import CallError, NotSignedInError
from clarifai_magic.terminals import no_fork_while

if TYPE_CHECKING:
    from clarifai_magic.api.deployment import Deployment

_log = logging.getLogger(__name__)

_LARGEST_MESSAGE = 2**30
# Routers and load balancers silently drop an idle connection after some minutes (an AWS load
# balancer after 350 s), and later traffic is lost: close it before they do.
_IDLE_MS = 240_000
# During a silent call, ping the other side; gRPC servers hang up on clients that ping more often
# than this (GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA).
_ASK_MS = 300_000

# After a refusal gRPC waits before it reconnects, longer each time, up to two minutes by default;
# until then a call fails at once although the server may be back.
_RECONNECT_MS = 200, 2_000

# The streams that change nothing, according to clarifai_magic.api.scopes; the policy is that of
# clarifai-grpc's own channel, which applies it to every call.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "clarifai.api.V2", "method": "GenerateModelOutputs"},
                {"service": "clarifai.api.V2", "method": "StreamLogEntries"},
                {"service": "clarifai.api.V2", "method": "StreamModelOutputs"},
                {"service": "clarifai.api.V2", "method": "StreamTrackAnnotationsSearches"},
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.01s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


class Closable(Protocol):
    """An object that a connection may own."""

    def close(self) -> None:
        """Release its resources."""


C = TypeVar("C", bound=Closable)


class _Channels:
    """One process's part of a connection.

    Parameters
    ----------
    generation : int
        Of the process.
    channel : grpc.Channel
        For blocking calls.

    Attributes
    ----------
    aio : dict of event loop to grpc.aio.Channel
        A loop's own thread makes its entry.
    owned : dict of type to object
        What belongs to the connection, by its class.
    """

    def __init__(self, generation: int, channel: grpc.Channel) -> None:
        self.generation = generation
        self.channel = channel
        self.aio: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self.owned: dict[type[Closable], Closable] = {}

    def close(self) -> None:
        """Close everything; calls in flight end with CANCELLED."""
        self.channel.close()
        with suppress(KeyError):  # another thread took the last
            while self.aio:
                _close_in(*self.aio.popitem())
        with suppress(KeyError):
            while self.owned:
                self.owned.popitem()[1].close()


def _close_in(loop: asyncio.AbstractEventLoop, channel: grpc.aio.Channel) -> None:
    if not loop.is_running():
        return
    closing = channel.close()
    try:
        asyncio.run_coroutine_threadsafe(closing, loop)
    except RuntimeError:  # the loop has just ended
        closing.close()


class Connection:
    """Channels to one deployment, shared by the sessions of one sign-in.

    A forked process makes its own: it cannot share a socket.

    Parameters
    ----------
    deployment : Deployment
        Where the API is.
    retries : bool
        Whether to retry streaming calls that change nothing after an outage;
        `clarifai_magic.client.retries` handles other calls.
    """

    def __init__(self, deployment: Deployment, *, retries: bool = True) -> None:
        self.deployment = deployment
        self._retries = retries
        path = deployment.root_certificates
        self._roots = Path(path).read_bytes() if path else None
        self._closed = False
        # Keeps those of parent processes, because closing them would send GOAWAY on the
        # parent's socket.
        self._every: dict[int, _Channels] = {}
        self._latest = self._begin()

    def _begin(self) -> _Channels:
        """This process's channels, made unless another thread was faster."""
        generation = Process.generation
        made = _Channels(generation, self._made(grpc.insecure_channel, grpc.secure_channel))
        begun = self._every.setdefault(generation, made)
        if begun is not made:
            made.close()
        self._latest = begun
        if self._closed:
            begun.close()
        return begun

    def _present(self) -> _Channels:
        latest = self._latest
        return latest if latest.generation == Process.generation else self._begin()

    @property
    def channel(self) -> grpc.Channel:
        """The channel for blocking calls, made in this process."""
        return self._present().channel

    @property
    def aio_channel(self) -> grpc.aio.Channel:
        """The running event loop's channel.

        Raises
        ------
        NotSignedInError
            If the session is closed.
        CallError
            If the process was forked from one that was awaiting calls.
        RuntimeError
            If no event loop runs.
        """
        loop = asyncio.get_running_loop()
        present = self._latest
        if present.generation == Process.generation and (known := present.aio.get(loop)):
            return known
        return self._aio_channel_for(loop)

    def _aio_channel_for(self, loop: asyncio.AbstractEventLoop) -> grpc.aio.Channel:
        present = self._present()
        if any(each.aio for each in list(self._every.values()) if each is not present):
            raise CallError(
                "gRPC cannot await calls here: this process was forked from one that awaits calls.",
                "Use stub here, or start the process with multiprocessing's method spawn.",
            )
        for ended in [each for each in list(present.aio) if each.is_closed()]:
            present.aio.pop(ended, None)
        made = present.aio[loop] = self._made(grpc.aio.insecure_channel, grpc.aio.secure_channel)
        self._refuse_if_closed(present)
        return made

    def owned(self, kind: type[C]) -> C:
        """The connection's one object of some kind: made on first use, and closed with it.

        Parameters
        ----------
        kind : type
            Its class, which takes no arguments and has `close`.

        Raises
        ------
        NotSignedInError
            If the session is closed.
        """
        present = self._present()
        if kind not in present.owned:
            made = kind()
            if present.owned.setdefault(kind, made) is not made:
                made.close()
        found = present.owned.get(kind)
        self._refuse_if_closed(present)
        return cast("C", found)

    def _refuse_if_closed(self, present: _Channels) -> None:
        """Release what was made while another thread closed the connection, or later."""
        if self._closed:
            present.close()
            raise NotSignedInError("This session is closed.", "Run %clarifai_auth again.")

    def close(self) -> None:
        """Close all channels; calls in flight end with CANCELLED."""
        self._closed = True
        if self._latest.generation == Process.generation:
            self._latest.close()

    def _made(self, insecure: Any, secure: Any) -> Any:
        at = self.deployment
        # With an explicit scheme, because a host may be called unix or ipv4.
        address = f"{at.netloc_host}:{at.port}"
        target = f"dns:///{address}"
        _log.debug("channel to %s, %s", address, "TLS" if at.secure else "not encrypted")
        options = [
            ("grpc.primary_user_agent", USER_AGENT),
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.client_idle_timeout_ms", _IDLE_MS),
            ("grpc.keepalive_time_ms", _ASK_MS),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS[0]),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS[1]),
            ("grpc.service_config", json.dumps(_SERVICE_CONFIG if self._retries else {})),
            ("grpc.enable_http_proxy", 0 if at.loopback else 1),
            # A forked process would share its parent's connections, which gRPC closes in it.
            ("grpc.use_local_subchannel_pool", 1 if Process.generation else 0),
        ]
        if at.secure:
            made = secure(target, grpc.ssl_channel_credentials(self._roots), options=options)
        else:
            made = insecure(target, options=options)
        no_fork_while(made)
        return made
