"""The kind and owner of a key, and whether key, user and app match.

Four calls go out at once, under one deadline: MyScopes (open to any key), GetUser for ``me``
(only for a PAT), and the named app (GetApp) or, if none is named, the user's apps (ListApps).
Only the responses' codes decide, never their texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.api.statuses import error_from_status
from clarifai_magic.api.text import printable
from clarifai_magic.client.questions import Answers, apps_request
from clarifai_magic.credentials.parsing import holds_key, looks_like_key
from clarifai_magic.credentials.secret import MASK
from clarifai_magic.errors import (
    AppMismatchError,
    AppNotFoundError,
    ClarifaiMagicError,
    UserNotFoundError,
)

if TYPE_CHECKING:
    from clarifai_magic.client.opening import FirstQuestion
    from clarifai_magic.client.questions import Questions
    from clarifai_magic.credentials.bundle import Credentials

PAT = "PAT"
API_KEY = "API key"

_OK = status_code_pb2.SUCCESS
_NO_SUCH = status_code_pb2.CONN_DOES_NOT_EXIST
_LACKS_SCOPE = status_code_pb2.CONN_INSUFFICIENT_SCOPES
_WRONG_KIND = status_code_pb2.CONN_AUTH_METHOD_DISABLED
_NOT_WITH_THIS_KEY = {
    _WRONG_KIND,
    _LACKS_SCOPE,
    _NO_SUCH,
    status_code_pb2.CONN_KEY_INVALID,
    status_code_pb2.CONN_KEY_NOT_FOUND,
    status_code_pb2.CONN_INVALID_REQUEST,
}
"""How a PAT-only method may reject a key that another method has just accepted."""


class Identity(NamedTuple):
    """What the API said about a key.

    Attributes
    ----------
    kind : str
        `PAT`, `API_KEY`, or empty if not verified or not known.
    owner : str
        The user a PAT stands for, or the owner of an API key's app; empty if unknown.
    user_id, app_id : str
        Whose resources calls use; empty if none was chosen.
    scopes : tuple of str
        As the API spells them; empty if unknown.
    endpoints : tuple of str
        Single methods that the key may call, such as ``/clarifai.api.V2/ListModels``.
    apps : tuple of str
        IDs of the owner's apps, if sign-in had to look up the app; the first 100.
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


def verify(credentials: Credentials, questions: Questions, first: FirstQuestion) -> Identity:
    """Ask the API what a key is, and check the IDs given with it.

    Parameters
    ----------
    credentials : Credentials
        The key and the IDs to check.
    questions : Questions
        The calls; they wait out throttling and outages within their deadline.
    first : FirstQuestion
        The call already in flight.

    Returns
    -------
    Identity

    Raises
    ------
    RefusedError
        If the key is not valid, or does not match the IDs.
    UnreachableError
        If there is no response.
    """
    answers = questions.ask_all(credentials, first)
    identity = _kind_and_owner(answers, credentials, questions)
    if identity.kind == API_KEY and identity.app_id:
        return _with_app_of_key(identity, credentials)
    if credentials.app_id:
        return _with_named_app(identity, answers.app, credentials, questions)
    return _with_found_app(identity, answers.apps, credentials)


def _kind_and_owner(answers: Answers, credentials: Credentials, questions: Questions) -> Identity:
    """Kind, owner and scopes of the key, or the error that says why it is not valid."""
    scopes, user = answers.scopes, answers.user
    if user.status.code == _OK:
        if scopes.status.code != _OK:
            ids = resources_pb2.UserAppIDSet(user_id=user.user.id)
            scopes = questions.ask("MyScopesUser", service_pb2.MyScopesUserRequest(user_app_id=ids))
        owner = _said(user.user.id, credentials)
        return _granted(Identity(PAT, owner=owner), scopes, credentials)
    # A key limited to single endpoints may lack those of both calls.
    if scopes.status.code not in {_OK, _LACKS_SCOPE}:
        raise error_from_status(scopes.status, "Signing in")
    accepted = scopes.status.code == _OK
    if user.status.code not in (_NOT_WITH_THIS_KEY if accepted else {_LACKS_SCOPE, _WRONG_KIND}):
        raise error_from_status(user.status, "Looking up the key's owner")
    identity = _kind_by_app(scopes, user.status.code, credentials)
    return _granted(identity, scopes, credentials)


def _kind_by_app(scopes: Any, refusal: int, credentials: Credentials) -> Identity:
    """The identity of a key that MyScopes accepts and GetUser rejects; the kind may stay unknown.

    Only an API key belongs to an app. `CONN_AUTH_METHOD_DISABLED` is the only documented code for
    an API key at a PAT-only method.
    """
    app_id = _said(scopes.app.id, credentials) if scopes.status.code == _OK else ""
    if app_id:
        owner = _said(scopes.app.user_id, credentials)
        return Identity(API_KEY, owner=owner, user_id=owner, app_id=app_id)
    if refusal == _WRONG_KIND:
        return Identity(API_KEY)
    if refusal == _LACKS_SCOPE and scopes.status.code == _OK:
        return Identity(PAT)
    return Identity()


def _granted(identity: Identity, answer: Any, credentials: Credentials) -> Identity:
    if answer.status.code != _OK:
        return identity
    return identity._replace(
        scopes=tuple(_said(each, credentials) for each in answer.scopes),
        endpoints=tuple(_said(each, credentials) for each in answer.endpoints),
    )


def _with_app_of_key(identity: Identity, credentials: Credentials) -> Identity:
    """The identity of an API key, after comparing the given IDs with its own."""
    user_id = identity.user_id or _not_me(credentials.user_id)
    asked_user = _not_me(credentials.user_id) or user_id
    asked_app = credentials.app_id or identity.app_id
    if (asked_user, asked_app) != (user_id, identity.app_id):
        asked = f"app {_quoted(asked_app, credentials)} of {_shown(asked_user, credentials)}"
        raise AppMismatchError(
            f"This API key belongs to app {identity.app_id!r} of {user_id}, not to {asked}.",
            "Omit the user and app IDs, or use a PAT or the other app's API key.",
            status_code=_NO_SUCH,
        )
    return identity._replace(user_id=user_id)


def _with_named_app(
    identity: Identity, answer: Any, credentials: Credentials, questions: Questions
) -> Identity:
    """The identity with the named app, unless the API denies that it exists."""
    app_id, code = credentials.app_id, answer.status.code
    user_id = _not_me(credentials.user_id) or identity.owner
    if code == _OK:
        user_id = user_id or _said(answer.app.user_id, credentials)
    elif code == _NO_SUCH:
        raise _no_app(identity, credentials, _listed(user_id, questions))
    elif code != _LACKS_SCOPE:
        raise error_from_status(answer.status, f"Looking up app {_quoted(app_id, credentials)}")
    return identity._replace(user_id=user_id, app_id=app_id)


def _listed(user_id: str, questions: Questions) -> Any:
    """The response to a call that only improves a hint; None if there is none."""
    try:
        return questions.ask("ListApps", apps_request(user_id or "me"))
    except ClarifaiMagicError:
        return None


def _with_found_app(identity: Identity, answer: Any, credentials: Credentials) -> Identity:
    """The identity with the user's only app, or with none if there is a choice."""
    named, code = _not_me(credentials.user_id), answer.status.code
    if code == _NO_SUCH and named:
        raise _no_user(identity, credentials)
    if code != _OK and code not in _NOT_WITH_THIS_KEY:
        raise error_from_status(answer.status, "Listing the apps")
    apps = tuple(_said(app.id, credentials) for app in answer.apps) if code == _OK else ()
    user_id = named or identity.owner
    if not user_id and apps:
        user_id = _said(answer.apps[0].user_id, credentials)
    return identity._replace(user_id=user_id, app_id=apps[0] if len(apps) == 1 else "", apps=apps)


def _not_me(user_id: str) -> str:
    return "" if user_id == "me" else user_id


def _said(text: str, credentials: Credentials) -> str:
    """A server's text, safe to show: the server has the key, and may send it back."""
    return MASK if holds_key(text, credentials.key) else printable(text)


def _shown(name: str, credentials: Credentials) -> str:
    """An ID for a message, masked if it may be a key in the wrong place."""
    is_key = looks_like_key(name) or holds_key(name, credentials.key)
    return MASK if is_key else name


def _quoted(name: str, credentials: Credentials) -> str:
    return repr(_shown(name, credentials))


def _no_user(identity: Identity, credentials: Credentials) -> UserNotFoundError:
    import difflib

    user_id = credentials.user_id
    whose = f"; the key is {identity.owner}'s" if identity.owner else ""
    meant = difflib.get_close_matches(user_id, [identity.owner], cutoff=0.6)
    return UserNotFoundError(
        f"There is no user or organisation {_quoted(user_id, credentials)} "
        f"that this key can reach{whose}.",
        f"Did you mean {meant[0]!r}?"
        if meant
        else "Check --user-id, or omit it to use the key's own user.",
        status_code=_NO_SUCH,
    )


def _no_app(
    identity: Identity, credentials: Credentials, listed: Any
) -> AppNotFoundError | UserNotFoundError:
    """The error for a missing app, depending on which apps exist."""
    named = _not_me(credentials.user_id)
    if listed is not None and listed.status.code == _NO_SUCH and named:
        return _no_user(identity, credentials)
    apps = None
    if listed is not None and listed.status.code == _OK:
        apps = [_said(app.id, credentials) for app in listed.apps]
    app = _quoted(credentials.app_id, credentials)
    owner = identity.owner
    if owner and named in {"", owner}:
        wrong = f"App {app} is not one of {owner}'s apps; the key is {owner}'s."
    else:
        key = f"{owner}'s key" if owner else f"This {identity.kind or 'key'}"
        whose = f"{_shown(named, credentials)}'s app" if named else "app"
        wrong = f"{key} does not reach {whose} {app}: it does not exist or is not shared."
    return AppNotFoundError(wrong, _other_app(credentials.app_id, apps), status_code=_NO_SUCH)


def _other_app(app_id: str, apps: list[str] | None) -> str:
    """What to do about a missing app; `apps` are the existing ones, None if unknown."""
    import difflib

    if apps is None:
        return "Check --app-id and --user-id."
    if close := difflib.get_close_matches(app_id, apps, n=3, cutoff=0.6):
        return f"Did you mean {' or '.join(map(repr, close))}?"
    if apps:
        return f"Available apps: {', '.join(apps[:8])}{', …' if len(apps) > 8 else ''}."  # noqa: PLR2004
    return "No app there is shared with this key; omit --app-id."
