"""How calls are answered, for gRPC and REST alike: faults, authorisation, method, status."""

from __future__ import annotations

import copy
import random
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.api import scopes
from clarifai_magic.api.answers import described
from clarifai_magic.api.scopes import response_class
from clarifai_magic.sandbox import auth, resources
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.methods import carry_out
from clarifai_magic.sandbox.state import app_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clarifai_magic.sandbox.auth import Metadata
    from clarifai_magic.sandbox.state import Store


class OutageError(ConnectionError):
    """The call gets no response: UNAVAILABLE."""


@dataclass
class Faults:
    """Deliberate faults, to test code against a slow or failing API."""

    latency: float = 0.0  # seconds before each response
    throttle: float = 0.0  # the share of calls that fail with 11005
    outage: float = 0.0  # the share of calls that end with UNAVAILABLE
    rate: float = 0.0  # calls per second to carry out, if not 0; others get 11005
    over: threading.Event = field(default_factory=threading.Event)  # ends every wait
    _dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311
    _admitted: deque[float] = field(default_factory=deque)  # when, in the last second
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        shares = self.throttle, self.outage, 1 - self.throttle - self.outage
        if any(value < 0 for value in (self.latency, self.rate, *shares)):
            raise ValueError(
                "latency is in seconds, rate in calls per second; throttle and outage are shares "
                "of the calls.\n"
                "Use values of at least 0, and shares that add up to at most 1."
            )

    def strike(self) -> None:
        """Delay a call, and perhaps fail it."""
        if self.latency and self.over.wait(self.latency):
            raise OutageError("The sandbox was closed.")
        roll = self._dice.random()
        if roll < self.outage:
            raise OutageError("The sandbox was asked to fail this call.")
        if roll < self.outage + self.throttle:
            raise RefusedError(codes.CONN_THROTTLED, "The sandbox was asked to throttle this call.")
        if self.rate and not self._admits():
            raise RefusedError(
                codes.CONN_THROTTLED, f"The limit is {self.rate:g} calls per second."
            )

    def _admits(self) -> bool:
        now = time.monotonic()
        with self._counting:
            while self._admitted and self._admitted[0] < now - 1:
                self._admitted.popleft()
            if len(self._admitted) >= self.rate:
                return False
            self._admitted.append(now)
        return True


class Service:
    """Answers calls on one store; safe to use from many threads."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self._lock = threading.Lock()

    def answer(self, method: str, request: Any, metadata: Metadata) -> Iterator[Any]:
        """Carry out a call: one response, or those of a streaming method, each with its status."""
        try:
            self.faults.strike()
            with self._lock:
                caller = auth.authorise(self.store, method, request, metadata)
                response = response_class(method)()
                responses = carry_out(self.store, caller, method, request, response)
        except RefusedError as refusal:
            responses = [response_class(method)()]
            set_status(responses[0].status, refusal.code, refusal.details)
        for response in responses:
            set_status(response.status, response.status.code or codes.SUCCESS)
            yield response

    def call(self, method: str, request: Any, metadata: Metadata) -> Any:
        """Give the one response of a call; raise it if it is not a success."""
        [response] = self.answer(method, request, metadata)
        if response.status.code != codes.SUCCESS:
            raise RefusedError(response.status.code, response.status.details)
        return response

    def outputs(self, ids: Iterable[str], inputs: Iterable[Any], metadata: Metadata) -> list[Any]:
        """Make a model predict, named by the IDs of user, app, model and version."""
        request = service_pb2.PostModelOutputsRequest(inputs=[{"data": each} for each in inputs])
        given = request.user_app_id
        given.user_id, given.app_id, request.model_id, request.version_id = ids
        return list(self.call("PostModelOutputs", request, metadata).outputs)

    def organizations(self, user_id: str, metadata: Metadata) -> dict[str, str]:
        """List the caller's organisations: only REST has this."""
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

    def models(self, metadata: Metadata) -> list[Any]:
        """List all models that the caller may see: only OpenAI's protocol has this."""
        self.faults.strike()
        with self._lock:
            caller = auth.admit(self.store, "ListModels", metadata)
            found = resources.visible(self.store, caller, app_path("", "", "models"))
            return [copy.deepcopy(model) for model in found]


def set_status(status: Any, code: int, details: str = "") -> None:
    """Fill in a status, keeping existing text."""
    status.code = code
    status.description = status.description or described(code)
    status.details = status.details or details
    status.req_id = status.req_id or uuid.uuid4().hex
