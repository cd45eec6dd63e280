"""API keys for workers: few scopes and an end, deleted when the sign-in or the process ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import time
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import grpc
from clarifai_grpc.grpc.api import service_pb2

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.api.scopes import (
    SERVICE,
    Auth,
    missing_scopes,
    requirement,
    response_class,
    scope_named,
)
from clarifai_magic.api.statuses import ABSENT_STATUSES, SUCCESS, error_from_status
from clarifai_magic.client.auth_warnings import AuthWarnings
from clarifai_magic.client.identity import API_KEY, Identity
from clarifai_magic.client.internals import HasInternals, Internals, internals
from clarifai_magic.client.retries import Outcome, Retries
from clarifai_magic.client.session import BaseSession
from clarifai_magic.concurrency import Process
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import Found
from clarifai_magic.errors import CallError, ClarifaiAuthWarning, ClarifaiMagicError, ScopeError

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger(__name__)

DAY = 86_400.0
"""Seconds until a key ends for which nothing else was said: longer than most maps, and an end."""
_LONGEST = 366 * DAY
_TIMEOUT = 10.0
_OWN_KEY = "Omit scopes= to give the workers your own key."

S = TypeVar("S", bound=BaseSession)


class WorkerKey(NamedTuple):
    """A key that was made for workers.

    Parameters
    ----------
    key : str
        The key itself.
    until : float
        When it ends, in seconds since the epoch.
    generation : int
        Of the process that made it, and alone deletes it.
    """

    key: str
    until: float
    generation: int

    def __repr__(self) -> str:
        return f"<WorkerKey until {clock(self.until)}>"


class WorkerKeys:
    """The keys that a sign-in has made for workers: each is deleted as its session closes.

    Parameters
    ----------
    parts : Internals
        Of the sign-in.
    """

    def __init__(self, parts: Internals) -> None:
        self._parts = parts
        # Sessions in the order in which they were made, and kept open until they are closed.
        self._sessions: dict[BaseSession, WorkerKey] = {}

    def session(
        self, kind: type[S], whose: BaseSession, scopes: Iterable[str], expires: float | None
    ) -> S:
        """A session with a key of its own.

        Parameters
        ----------
        kind : type
            The session's class.
        whose : BaseSession
            About the app that the key is to be of; belongs to the sign-in.
        scopes : iterable of str
            What the key may do, in either spelling.
        expires : float or None
            Seconds until it ends; None for a day.

        Raises
        ------
        ClarifaiMagicError
            If no such key can be made.
        """
        wanted = _checked_scopes(scopes)
        seconds = _checked_seconds(expires)
        _refuse_unable(whose.identity)
        with ExitStack() as undo:
            made = self._made(whose.identity, wanted, seconds)
            undo.callback(self._delete, made, whose.identity)
            session = kind(self._internals(made.key, whose.identity, wanted), _about(whose, wanted))
            if not self._sessions:
                atexit.register(self.close)
            self._sessions[session] = made
            deletion = undo.pop_all()
        internals(session).on_close(deletion.close)
        internals(session).on_close(lambda: self._sessions.pop(session, None))
        if self._parts.closed:  # by another thread, which may not have seen the session
            self.close()
        self._parts.require_open()
        return session

    def close(self) -> None:
        """Close the sessions in reverse order; each deletes its key. Doing it twice is harmless."""
        atexit.unregister(self.close)
        for session in reversed(list(self._sessions)):
            session.close()

    def _made(self, who: Identity, scopes: tuple[str, ...], seconds: float) -> WorkerKey:
        until = time.time() + seconds
        request = service_pb2.PostKeysRequest(
            user_app_id={"user_id": who.user_id},
            keys=[
                {
                    "description": "made by clarifai_magic for workers",
                    "scopes": scopes,
                    "apps": [{"id": who.app_id, "user_id": who.user_id}],
                    "expires_at": {"seconds": int(until), "nanos": int(until % 1 * 1e9)},
                }
            ],
        )
        response = self._answer("PostKeys", request)
        if response.status.code != SUCCESS:
            raise error_from_status(response.status, "Making a key for workers")
        key = response.keys[0] if response.keys else None
        if key is None or not key.id:
            raise CallError(
                "The API made a key for workers and did not give it.",
                f"Look for it at {SECRETS_PAGE}. Omit scopes= to give the workers your own key.",
            )
        if not key.expires_at.seconds:
            _warn(
                "The API did not confirm that the key for workers ends by itself; it is deleted "
                "at logout and at the end of this process."
            )
        _log.debug("a key for workers was made, until %s", clock(until))
        return WorkerKey(key.id, until, Process.generation)

    def _delete(self, made: WorkerKey, who: Identity) -> None:
        if made.generation != Process.generation:
            return
        ids = {"user_id": who.user_id}
        try:
            response = self._answer(
                "DeleteKey", service_pb2.DeleteKeyRequest(user_app_id=ids, key_id=made.key)
            )
            if response.status.code not in {SUCCESS, *ABSENT_STATUSES}:
                raise error_from_status(response.status, "DeleteKey")
        except ClarifaiMagicError as error:
            _warn(
                f"A key for workers of app {who.user_id}/{who.app_id} could not be deleted. "
                f"{error.message} Delete it at {SECRETS_PAGE}; it ends {clock(made.until)}."
            )
        else:
            _log.debug("a key for workers was deleted")

    def _answer(self, method: str, request: Any) -> Any:
        """What the API says to the sign-in's own key, also while the session is ending."""
        parts = self._parts
        call = parts.connection.channel.unary_unary(
            f"/{SERVICE}/{method}",
            type(request).SerializeToString,
            response_class(method).FromString,
        )
        deadline = time.monotonic() + _TIMEOUT

        def attempt(left: float | None) -> Any:
            return call(request, left, parts.found.credentials.metadata)

        try:
            first = Outcome(attempt(_TIMEOUT))
            return parts.retries.of(method).retry(attempt, first, deadline)
        except grpc.RpcError as error:
            raise error_from_rpc(error, parts.deployment) from None
        except ValueError:  # gRPC's, of a channel that was closed
            parts.require_open()
            raise

    def _internals(self, key: str, who: Identity, scopes: tuple[str, ...]) -> Internals:
        """What the session is made of: the sign-in's connection; key and token of its own."""
        parts = self._parts
        credentials = Credentials(
            key,
            user_id=who.user_id,
            app_id=who.app_id,
            base=parts.deployment.base,
            root_certificates=parts.deployment.root_certificates,
            source=Provenance("workers"),
        )
        return Internals(
            Found(credentials),
            parts.deployment,
            parts.connection,
            ExitStack(),
            Retries(wanted=parts.retries.wanted),
            AuthWarnings(_identity(who, scopes)),
        )


def keys_of(session: BaseSession) -> WorkerKeys:
    """The keys that a session's sign-in has made for workers."""
    return internals(session).shared(WorkerKeys)


def words(session: HasInternals) -> str:
    """Which key workers have that were given a session, in a few words."""
    who = session.identity
    return f"{who.kind} of {who.user_id}/{who.app_id} with {', '.join(who.scopes)}"


def refuse_unfit(
    method: str, request: Any, scopes: Iterable[str], expires: float | None, who: Identity
) -> None:
    """Refuse a key that cannot be made, or with which a map's calls would all be refused.

    Parameters
    ----------
    method : str
        Bare name.
    request : message or None
        What the map's requests have in common.
    scopes : iterable of str
        Of the key that is to be made.
    expires : float or None
        Seconds until it is to end.
    who : Identity
        Of the session.

    Raises
    ------
    CallError
        If it cannot end then, or there is no app that it would be of.
    ScopeError
        If the session cannot make it, the method needs another kind of key or other scopes, or
        it is about another app.
    """
    _checked_seconds(expires)
    _refuse_unable(who)
    if requirement(method).auth is Auth.PAT:
        raise ScopeError(f"{method} takes a PAT, and scopes= makes an API key.", _OWN_KEY)
    if missing := missing_scopes(method, _checked_scopes(scopes)):
        raise ScopeError(
            f"{method} needs scopes that scopes= does not give: {', '.join(sorted(missing))}.",
            "Add them to scopes=.",
        )
    asked = request.user_app_id if request is not None else None
    if asked and asked.app_id and (asked.user_id, asked.app_id) != (who.user_id, who.app_id):
        raise ScopeError(
            f"An API key reaches its app alone, and request= is about {asked.user_id}/"
            f"{asked.app_id}.",
            _OWN_KEY,
        )


def clock(when: float) -> str:
    """A time in words, in the machine's own time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def _about(session: BaseSession, scopes: tuple[str, ...]) -> Identity:
    return _identity(session.identity, scopes)


def _identity(who: Identity, scopes: tuple[str, ...]) -> Identity:
    """What the API would say of a key that was made for the app of an identity."""
    return Identity(
        API_KEY, owner=who.user_id, user_id=who.user_id, app_id=who.app_id, scopes=scopes
    )


def _refuse_unable(who: Identity) -> None:
    """Say why a key cannot make others, where that is known."""
    if who.kind == API_KEY:
        raise ScopeError("Only a PAT makes keys for workers, and this is an API key.", _OWN_KEY)
    if not who.app_id or not who.user_id:
        raise CallError(
            "A key for workers is a key of an app, and this session has none.",
            "Give --app-id, or use clarifai_session.with_ids(app_id=…).for_workers(…).",
        )
    lacking = missing_scopes("PostKeys", who.scopes, who.endpoints) if who.scopes else ()
    if lacking:
        raise ScopeError(
            f"This PAT makes no keys for workers: it lacks {', '.join(sorted(lacking))}.", _OWN_KEY
        )


def _checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    names = [] if isinstance(scopes, (str, bytes)) else list(scopes)
    if not names:
        raise CallError(
            "scopes= is a list of scopes, and must not be empty.",
            "Pass such as ['Predict', 'Apps:Get', 'Models:Get', 'Concepts:Get'].",
        )
    return tuple(dict.fromkeys(map(scope_named, names)))


def _checked_seconds(expires: float | None) -> float:
    if expires is None:
        return DAY
    number = isinstance(expires, (int, float)) and not isinstance(expires, bool)
    if not number or not 0 < expires <= _LONGEST:
        raise CallError(
            "expires= is the number of seconds until the key for workers ends.",
            f"Pass one from 1 to {_LONGEST:,.0f}, or omit it: the key then ends after a day.",
        )
    return float(expires)


def _warn(words: str) -> None:
    # A filter may turn warnings into errors, and here one would keep the rest from its end.
    with contextlib.suppress(ClarifaiAuthWarning):
        warnings.warn_explicit(words, ClarifaiAuthWarning, __name__, 0)
