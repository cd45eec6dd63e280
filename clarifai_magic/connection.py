"""The gRPC channels of a sign-in: one for calls that wait, and one for each event loop."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.errors import CallError, NotSignedInError

if TYPE_CHECKING:
    from clarifai_magic.deployment import Deployment
    from clarifai_magic.portal import Portal

_LARGEST_MESSAGE = 2**30
# Routers and load balancers forget a silent connection after some minutes without a word (an AWS
# load balancer after 350 s), and what is sent then gets lost: hang up before they do.
_IDLE_MS = 240_000
# In the middle of a call that is silent, ask whether the other side is there; gRPC servers hang
# up on clients that ask more often than this (GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA).
_ASK_MS = 300_000

# Which streams change nothing, in the words of clarifai_magic.scopes; the policy is that of
# clarifai-grpc's own channel, which has it for every call.
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


class Process:
    """This process.

    Attributes
    ----------
    generation : int
        How many forks lie between the first process and this one: quicker to ask than its ID.
    """

    generation = 0

    @classmethod
    def was_forked(cls) -> None:
        """Count: called by Python in the child."""
        cls.generation += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(after_in_child=Process.was_forked)


class Connection:
    """Channels to one deployment, shared by the sessions of one sign-in.

    A process that was forked makes its own: a socket cannot be shared.

    Parameters
    ----------
    deployment : Deployment
        Where the API is.
    retries : bool
        Whether streaming calls that change nothing are made again after an outage; other calls
        are the business of `clarifai_magic.retries`.
    """

    def __init__(self, deployment: Deployment, *, retries: bool = True) -> None:
        self._deployment = deployment
        self._retries = retries
        self._inherited: list[tuple[Any, dict[Any, Any]]] = []
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self.generation = Process.generation
        self._channel = self._made(grpc.insecure_channel, grpc.secure_channel)
        self._aio_channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self._portal: Portal | None = None
        self._portal_lock = threading.Lock()

    @property
    def channel(self) -> grpc.Channel:
        """The channel for calls that wait, made in this process."""
        self._leave_parent()
        return self._channel

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
        if self.generation == Process.generation and loop in self._aio_channels:
            return self._aio_channels[loop]
        self._leave_parent()
        if any(aio_channels for _, aio_channels in self._inherited):
            raise CallError(
                "This process was forked from one that awaits calls, which gRPC does not survive.",
                "Use stub here, or start the process with multiprocessing's method spawn.",
            )
        if self._closed:
            raise NotSignedInError("This session is closed.", "Run %clarifai_auth again.")
        for ended in [each for each in self._aio_channels if each.is_closed()]:
            del self._aio_channels[ended]
        made = self._made(grpc.aio.insecure_channel, grpc.aio.secure_channel)
        self._aio_channels[loop] = made
        return made

    @property
    def portal(self) -> Portal:
        """An event loop in a thread of its own, begun when it is first asked for."""
        from clarifai_magic.portal import Portal

        self._leave_parent()
        with self._portal_lock:
            if self._portal is None:
                self._portal = Portal()
            return self._portal

    def close(self) -> None:
        """Close all channels; calls that are under way end with CANCELLED."""
        self._closed = True
        self._leave_parent()
        self._channel.close()
        for loop, channel in self._aio_channels.items():
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(channel.close(), loop)
        self._aio_channels.clear()
        if self._portal is not None:
            self._portal.close()
            self._portal = None

    def _leave_parent(self) -> None:
        """After a fork, begin anew."""
        if self.generation != Process.generation:
            # Kept, for its end would say goodbye to the server on the parent's socket.
            self._inherited.append((self._channel, self._aio_channels))
            self._begin()
            if self._closed:
                self._channel.close()

    def _made(self, insecure: Any, secure: Any) -> Any:
        at = self._deployment
        target = f"{at.netloc_host}:{at.port}"
        options = [
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.client_idle_timeout_ms", _IDLE_MS),
            ("grpc.keepalive_time_ms", _ASK_MS),
            ("grpc.service_config", json.dumps(_SERVICE_CONFIG if self._retries else {})),
        ]
        if not at.secure:
            return insecure(target, options=options)
        path = at.root_certificates
        roots = Path(path).read_bytes() if path else None
        return secure(target, grpc.ssl_channel_credentials(roots), options=options)
