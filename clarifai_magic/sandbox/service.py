"""The one way of answering a call, for gRPC and REST: faults, authorisation, method, status."""

from __future__ import annotations

import random
import threading
import uuid
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf import message_factory

from clarifai_magic import scopes
from clarifai_magic.sandbox import auth
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.methods import Call, carry_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clarifai_magic.sandbox.state import Store

# As the live service words them (https://docs.clarifai.com/resources/api-overview/status-codes/).
_DESCRIPTIONS = {
    status_code_pb2.SUCCESS: "Ok",
    status_code_pb2.MIXED_STATUS: "Mixed Success",
    status_code_pb2.CONN_THROTTLED: "Making too many requests",
    status_code_pb2.CONN_INSUFFICIENT_SCOPES: "API key has insufficient permissions",
    status_code_pb2.CONN_KEY_INVALID: "Invalid API key or Invalid API key/application pair",
    status_code_pb2.CONN_KEY_NOT_FOUND: "API key not found",
    status_code_pb2.CONN_BAD_REQUEST_FORMAT: "Bad request format",
    status_code_pb2.CONN_DOES_NOT_EXIST: "Resource does not exist",
    status_code_pb2.CONN_INVALID_REQUEST: "Invalid request",
    status_code_pb2.CONN_METHOD_NOT_ALLOWED: "Method not allowed",
    status_code_pb2.CONN_AUTH_METHOD_DISABLED: "Authentication method is disabled",
}


class OutageError(Exception):
    """The call is not answered at all: UNAVAILABLE."""


@dataclass
class Faults:
    """What goes wrong on purpose, so that code can be tried against a slow or failing API."""

    latency: float = 0.0  # seconds before each answer
    throttle: float = 0.0  # the share of calls that are answered with 11005
    outage: float = 0.0  # the share of calls that end with UNAVAILABLE
    over: threading.Event = field(default_factory=threading.Event)  # ends every wait
    _dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def __post_init__(self) -> None:
        if self.latency < 0 or min(self.throttle, self.outage, 1 - self.throttle - self.outage) < 0:
            raise ValueError(
                "Latency is in seconds, throttle and outage are shares of the calls.\n"
                "Give none below 0, and no two shares above 1 together."
            )

    def strike(self) -> None:
        """Let a call wait, and perhaps fail."""
        if self.latency and self.over.wait(self.latency):
            raise OutageError("The sandbox was closed.")
        roll = self._dice.random()
        if roll < self.outage:
            raise OutageError("The sandbox was asked to fail this call.")
        if roll < self.outage + self.throttle:
            raise RefusedError(
                status_code_pb2.CONN_THROTTLED, "The sandbox was asked to throttle this call."
            )


class Service:
    """Answers calls on one store; safe to use from many threads."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self._lock = threading.Lock()

    def answer(
        self, method: str, request: Any, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Iterator[Any]:
        """Carry a call out: one response, or those of a streaming method, each with its status."""
        try:
            self.faults.strike()
            with self._lock:
                caller = auth.authorise(self.store, method, request, metadata)
                response = response_class(method)()
                responses = carry_out(Call(self.store, caller, method, request, response))
        except RefusedError as refusal:
            responses = [response_class(method)()]
            set_status(responses[0].status, refusal.code, refusal.details)
        for response in responses:
            set_status(response.status, response.status.code or status_code_pb2.SUCCESS)
            yield response

    def organizations(
        self, user_id: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> dict[str, str]:
        """List the caller's organisations: REST alone has this."""
        self.faults.strike()
        with self._lock:
            caller = auth.authenticate(self.store, metadata)
            auth.demand_kind(caller, scopes.Auth.PAT)
            if user_id not in ("me", caller.user_id):
                raise auth.absent(f"user_id '{user_id}'")
            return {
                each: name
                for each, name in self.store.organizations.items()
                if self.store.acts_for(caller.user_id, each)
            }


@cache
def request_class(method: str) -> Any:
    """Give the message class that a method takes."""
    return message_factory.GetMessageClass(scopes.methods()[method].input_type)


@cache
def response_class(method: str) -> Any:
    """Give the message class that a method answers with."""
    return message_factory.GetMessageClass(scopes.methods()[method].output_type)


def set_status(status: Any, code: int, details: str = "") -> None:
    """Fill in a status, leaving words that are there already."""
    status.code = code
    status.description = status.description or described(code)
    status.details = status.details or details
    status.req_id = status.req_id or uuid.uuid4().hex


def described(code: int) -> str:
    """Put a status code in words."""
    name: str = status_code_pb2.StatusCode.Name(code)
    return _DESCRIPTIONS.get(code, name.replace("_", " ").capitalize())
