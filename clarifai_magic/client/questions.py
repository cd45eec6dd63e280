"""The calls that identify a key: sent at once, and retried while the API is busy."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf.message import DecodeError

from clarifai_magic.api.scopes import SERVICE, response_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.client.opening import FirstQuestion
    from clarifai_magic.credentials.bundle import Credentials
    from clarifai_magic.credentials.secret import Metadata

_log = logging.getLogger(__name__)

_BUSY = {status_code_pb2.CONN_THROTTLED, status_code_pb2.TRY_AGAIN}
_APPS_SHOWN = 100


class Answers(NamedTuple):
    """The four responses; None for the call that was not made."""

    scopes: Any
    user: Any
    app: Any
    apps: Any


class Questions:
    """Calls on one channel under one deadline.

    Parameters
    ----------
    channel : grpc.Channel
        A bare channel; the key is sent with each call.
    metadata : Metadata
        The key, sent with each call.
    deployment : Deployment
        Named in errors.
    deadline : float
        The end of the time for everything, by the monotonic clock.
    """

    def __init__(
        self, channel: grpc.Channel, metadata: Metadata, deployment: Deployment, *, deadline: float
    ) -> None:
        self.channel = channel
        self.metadata = metadata
        self.deployment = deployment
        self.deadline = deadline

    def remaining(self) -> float:
        """The seconds left."""
        return max(self.deadline - time.monotonic(), 0.001)

    def future(self, method: str, request: Any) -> Any:
        """A started call."""
        # Making a whole stub, with its 273 methods, takes longer than a call.
        _log.debug("%s to %s", method, self.deployment.base)
        read = response_class(method).FromString
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method}", type(request).SerializeToString, read
        )
        return call.future(request, metadata=self.metadata, timeout=self.remaining())

    def ask(self, method: str, request: Any) -> Any:
        """One response; retried while the API is busy and time remains."""
        return self.settled(method, request, self.future(method, request))

    def settled(self, method: str, request: Any, first: Any) -> Any:
        """The response of a call, or of its retry."""
        try:
            try:
                answer = first.result()
            except grpc.RpcError as error:
                if not self.outage(error):
                    raise
                return self.insisted(method, request, error)
            return self.insisted(method, request, answer) if _busy(answer) else answer
        except grpc.RpcError as error:
            from clarifai_magic.api.grpc_errors import error_from_rpc

            raise error_from_rpc(error, self.deployment) from None

    def insisted(self, method: str, request: Any, outcome: Any) -> Any:
        """The response after throttling or an outage, once the API has had time to recover."""
        import tenacity

        is_outage = isinstance(outcome, grpc.RpcError)
        _log.debug("retrying %s: %s", method, outcome.code() if is_outage else "throttled")

        def attempt() -> Any:
            nonlocal outcome
            try:
                outcome = self.future(method, request).result()
            except grpc.RpcError as error:
                # The last failure says more than the time-out.
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    outcome = error
            if isinstance(outcome, grpc.RpcError):
                raise outcome
            return outcome

        # When time runs out, the user gets the last response or error.
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(_busy) | tenacity.retry_if_exception(self.outage),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            stop=lambda state: time.monotonic() + (state.upcoming_sleep or 0) + 0.1 > self.deadline,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        return retrying(attempt)

    def outage(self, error: BaseException) -> bool:
        """Whether the server itself said UNAVAILABLE, as opposed to a failed connection."""
        from clarifai_magic.api.grpc_errors import is_connection_failure

        return (
            isinstance(error, grpc.RpcError)
            and error.code() is grpc.StatusCode.UNAVAILABLE
            and not is_connection_failure(error, self.deployment)
        )

    def ask_all(self, credentials: Credentials, first: FirstQuestion) -> Answers:
        """The four responses, in one round trip."""
        user_id, app_id = credentials.user_id or "me", credentials.app_id
        ids = resources_pb2.UserAppIDSet(user_id=user_id, app_id=app_id)
        me = resources_pb2.UserAppIDSet(user_id="me")
        asked: dict[str, tuple[str, Any]] = {
            "user": ("GetUser", service_pb2.GetUserRequest(user_app_id=me)),
        }
        if app_id:
            asked["app"] = ("GetApp", service_pb2.GetAppRequest(user_app_id=ids))
        else:
            asked["apps"] = ("ListApps", apps_request(user_id))
        futures = {name: self.future(*call) for name, call in asked.items()}
        asked["scopes"] = ("MyScopes", service_pb2.MyScopesRequest())
        futures["scopes"] = _Read(first.call, partial(self.future, *asked["scopes"]))
        answers = {name: self.settled(*asked[name], future) for name, future in futures.items()}
        return Answers(**{"app": None, "apps": None, **answers})


class _Read(NamedTuple):
    """MyScopes, which returns bytes; `again` calls it with one of the API's messages."""

    call: Any
    again: Callable[[], Any]

    def result(self) -> Any:
        """Its response."""
        try:
            return response_class("MyScopes").FromString(self.call.result())
        except DecodeError:  # which gRPC raises like any failure of a call
            return self.again().result()


def apps_request(user_id: str, page: int = 1, search: str = "") -> service_pb2.ListAppsRequest:
    """A request for one page of a user's apps, in the order of their IDs."""
    return service_pb2.ListAppsRequest(
        user_app_id=resources_pb2.UserAppIDSet(user_id=user_id),
        page=page,
        per_page=_APPS_SHOWN,
        sort_by_id=True,
        sort_ascending=True,
        search=search,
    )


def _busy(answer: Any) -> bool:
    return answer.status.code in _BUSY
