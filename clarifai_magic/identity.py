"""What a key is, whose, and whether key, user and app fit together.

Four questions go out at once, under one deadline: MyScopes (any key may ask it), GetUser of
``me`` (only a PAT may), and the app that was named (GetApp) or, where none was, the user's apps
(ListApps). The codes of the answers decide; their texts never do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf import message_factory

from clarifai_magic.errors import (
    AppMismatchError,
    AppNotFoundError,
    UserNotFoundError,
)
from clarifai_magic.failures import failed, is_connection_failure
from clarifai_magic.scopes import SERVICE, descriptor_of
from clarifai_magic.statuses import refused

if TYPE_CHECKING:
    from clarifai_magic.credentials import Credentials
    from clarifai_magic.deployment import Deployment
    from clarifai_magic.secret import Metadata

PAT = "PAT"
API_KEY = "API key"

_OK = status_code_pb2.SUCCESS
_NO_SUCH = status_code_pb2.CONN_DOES_NOT_EXIST
_LACKS_SCOPE = status_code_pb2.CONN_INSUFFICIENT_SCOPES
_BUSY = {status_code_pb2.CONN_THROTTLED, status_code_pb2.TRY_AGAIN}
_APPS_SHOWN = 100


class Identity(NamedTuple):
    """What the API said about a key.

    Parameters
    ----------
    kind : str
        `PAT`, `API_KEY`, or empty if nobody asked.
    owner : str
        The user a PAT stands for, or the owner of an API key's app; empty if unknown.
    user_id, app_id : str
        Whose resources calls are about; empty if none was chosen.
    scopes : tuple of str
        As the API spells them; empty if unknown.
    endpoints : tuple of str
        Single methods that the key may call, such as ``/clarifai.api.V2/ListModels``.
    apps : tuple of str
        IDs of the owner's apps, where the app had to be found out; the first 100.
    """

    kind: str = ""
    owner: str = ""
    user_id: str = ""
    app_id: str = ""
    scopes: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()


def unverified(credentials: Credentials) -> Identity:
    """The identity that the credentials claim, without a call to the API."""
    return Identity(user_id=credentials.user_id, app_id=credentials.app_id)


def verify(
    channel: grpc.Channel,
    credentials: Credentials,
    deployment: Deployment,
    timeout: float,
) -> Identity:
    """Ask the API what a key is, and check that the IDs given with it fit.

    Parameters
    ----------
    channel : grpc.Channel
        A bare channel; the key is sent with each call.
    credentials : Credentials
        The key and the IDs to check.
    deployment : Deployment
        Named in errors.
    timeout : float
        Seconds for everything together. Throttling and outages are waited out within them.

    Returns
    -------
    Identity

    Raises
    ------
    RefusedError
        If the key is no good, or does not fit the IDs.
    UnreachableError
        If no answer came.
    """
    question = _Question(channel, credentials.metadata, deployment, timeout)
    answers = question.ask_all(credentials)
    identity = _told(answers, question)
    if identity.kind == API_KEY and identity.app_id:
        _check_key_app(identity, credentials)
        return identity
    if credentials.app_id:
        return _with_named_app(identity, answers.app, credentials, question)
    return _with_found_app(identity, answers.apps, credentials)


class _Answers(NamedTuple):
    scopes: Any
    user: Any
    app: Any
    apps: Any


class _Question:
    """Calls on one channel under one deadline."""

    def __init__(
        self, channel: grpc.Channel, metadata: Metadata, deployment: Deployment, timeout: float
    ) -> None:
        self.channel = channel
        self.metadata = metadata
        self.deployment = deployment
        self.deadline = time.monotonic() + timeout

    def remaining(self) -> float:
        return max(self.deadline - time.monotonic(), 0.001)

    def future(self, method: str, request: Any) -> Any:
        # A whole stub, with its 273 methods, takes longer to make than a call to answer.
        answer = message_factory.GetMessageClass(descriptor_of(method).output_type)
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method}", type(request).SerializeToString, answer.FromString
        )
        return call.future(request, metadata=self.metadata, timeout=self.remaining())

    def ask(self, method: str, request: Any) -> Any:
        """One answer; asked again while the API is busy and time remains."""
        return self.settled(method, request, self.future(method, request))

    def settled(self, method: str, request: Any, first: Any) -> Any:
        try:
            try:
                answer = first.result()
            except grpc.RpcError as error:
                if not _outage(error):
                    raise
                return self.insisted(method, request, error)
            return self.insisted(method, request) if _busy(answer) else answer
        except grpc.RpcError as error:
            raise failed(error, self.deployment.base) from None

    def insisted(self, method: str, request: Any, outage: grpc.RpcError | None = None) -> Any:
        """The answer after a busy one or an outage, when the API has had time to recover."""
        import tenacity

        outages = [outage] if outage else []

        def attempt() -> Any:
            try:
                return self.future(method, request).result()
            except grpc.RpcError as error:
                # What kept it from answering says more than that time ran out over it.
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and outages:
                    raise outages[-1] from None
                outages.append(error)
                raise

        # The last answer, or the last error, is what the user is told when time runs out.
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(_busy) | tenacity.retry_if_exception(_outage),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            stop=lambda state: time.monotonic() + (state.upcoming_sleep or 0) + 0.1 > self.deadline,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        return retrying(attempt)

    def ask_all(self, credentials: Credentials) -> _Answers:
        """The four answers, with one round trip's wait."""
        ids = resources_pb2.UserAppIDSet(
            user_id=credentials.user_id or "me", app_id=credentials.app_id
        )
        me = resources_pb2.UserAppIDSet(user_id="me")
        asked: dict[str, tuple[str, Any]] = {
            "scopes": ("MyScopes", service_pb2.MyScopesRequest()),
            "user": ("GetUser", service_pb2.GetUserRequest(user_app_id=me)),
        }
        if credentials.app_id:
            asked["app"] = ("GetApp", service_pb2.GetAppRequest(user_app_id=ids))
        else:
            asked["apps"] = ("ListApps", apps_request(credentials.user_id or "me"))
        futures = {name: self.future(*call) for name, call in asked.items()}
        answers = {name: self.settled(*asked[name], future) for name, future in futures.items()}
        return _Answers(**{"app": None, "apps": None, **answers})


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


def _outage(error: BaseException) -> bool:
    """Whether the server said UNAVAILABLE, rather than that no connection could be made."""
    return (
        isinstance(error, grpc.RpcError)
        and error.code() is grpc.StatusCode.UNAVAILABLE
        and not is_connection_failure(error)
    )


def _told(answers: _Answers, question: _Question) -> Identity:
    """Kind, owner and scopes of the key, or the error that says why it is no good."""
    scopes, user = answers.scopes, answers.user
    if user.status.code == _OK:
        if scopes.status.code != _OK:
            ids = resources_pb2.UserAppIDSet(user_id=user.user.id)
            scopes = question.ask("MyScopesUser", service_pb2.MyScopesUserRequest(user_app_id=ids))
        return _granted(Identity(PAT, owner=user.user.id), scopes)
    if scopes.status.code == _OK and scopes.app.id:
        app = scopes.app
        return _granted(Identity(API_KEY, app.user_id, app.user_id, app.id), scopes)
    if user.status.code == _LACKS_SCOPE:
        return _granted(Identity(PAT), scopes)
    if scopes.status.code == _OK:
        return _granted(Identity(API_KEY), scopes)
    raise refused(scopes.status, "Signing in")


def _granted(identity: Identity, answer: Any) -> Identity:
    return identity._replace(scopes=tuple(answer.scopes), endpoints=tuple(answer.endpoints))


def _check_key_app(identity: Identity, credentials: Credentials) -> None:
    user_id = credentials.user_id if credentials.user_id != "me" else ""
    asked = (user_id or identity.user_id, credentials.app_id or identity.app_id)
    if asked != (identity.user_id, identity.app_id):
        raise AppMismatchError(
            f"This API key belongs to app {identity.app_id!r} of {identity.user_id}, "
            f"not to app {asked[1]!r} of {asked[0]}.",
            "Leave the user and app IDs away, or use a PAT or a key of the other app.",
            status_code=_NO_SUCH,
        )


def _with_named_app(
    identity: Identity, answer: Any, credentials: Credentials, question: _Question
) -> Identity:
    """The identity with the app that was named, once the API has not denied that it exists."""
    app_id = credentials.app_id
    user_id = _not_me(credentials.user_id) or identity.owner
    if answer.status.code == _OK:
        return identity._replace(user_id=user_id or answer.app.user_id, app_id=app_id)
    if answer.status.code == _LACKS_SCOPE:
        return identity._replace(user_id=user_id, app_id=app_id)
    if answer.status.code != _NO_SUCH or identity.kind == API_KEY:
        raise refused(answer.status, f"Looking for app {app_id!r}")
    apps = question.ask("ListApps", apps_request(user_id or "me"))
    if apps.status.code == _NO_SUCH:
        raise _no_user(user_id)
    raise _no_app(app_id, user_id or "this user", [app.id for app in apps.apps])


def _with_found_app(identity: Identity, answer: Any, credentials: Credentials) -> Identity:
    """The identity with the user's only app, or with none where there is a choice."""
    user_id = _not_me(credentials.user_id) or identity.owner
    if answer.status.code == _NO_SUCH:
        raise _no_user(user_id)
    apps = tuple(app.id for app in answer.apps)
    if not user_id and apps:
        user_id = answer.apps[0].user_id
    return identity._replace(user_id=user_id, app_id=apps[0] if len(apps) == 1 else "", apps=apps)


def _not_me(user_id: str) -> str:
    return "" if user_id == "me" else user_id


def _no_user(user_id: str) -> UserNotFoundError:
    return UserNotFoundError(
        f"There is no user or organisation {user_id!r}, or this key cannot reach it.",
        "Check --user-id; leave it away to use the key's own user.",
        status_code=_NO_SUCH,
    )


def _no_app(app_id: str, user_id: str, apps: list[str]) -> AppNotFoundError:
    import difflib

    close = difflib.get_close_matches(app_id, apps, n=3, cutoff=0.6)
    if close:
        hint = f"Did you mean {' or '.join(map(repr, close))}?"
    elif apps:
        hint = f"There: {', '.join(apps[:8])}{', …' if len(apps) > 8 else ''}."  # noqa: PLR2004
    else:
        hint = "Nobody has shared an app there with this key; leave --app-id away."
    return AppNotFoundError(
        f"App {app_id!r} is not one of {user_id}'s apps, or not shared with this key.",
        hint,
        status_code=_NO_SUCH,
    )
