"""Who is calling, and may they: the sandbox's authorisation, for every method alike.

What a method demands is read from the descriptors (`clarifai_magic.scopes`). A refusal is a status
code in the answer, as on the live service; in this order:

- no key, or not `Key <key>`: 11102; not 32 hexadecimal digits: 11008; not known or expired: 11009
- a method that this kind of key may not call: 11200
- a scope is missing: 11007, with the missing ones in `details`
- a PAT without an app where the method works on one: 11008
- a user or app that is not there or out of reach: 11101, and nothing tells the two apart. An API
  key reaches its own app alone, so the IDs of any other app, public or not, are 11101 too.
- a public app of somebody else is for reading and predicting: 11007 for the rest
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic import scopes
from clarifai_magic.sandbox.state import USERS, Store, app_path, user_path

if TYPE_CHECKING:
    from collections.abc import Iterable

API_KEY = "app_specific_key"
PAT = "personal_access_token"

_KEY = re.compile(r"[0-9a-f]{32}")
_READING = re.compile(r".*:Get|Predict|Search")
# Anybody's profile, and lists of what anybody may see; whatever the caller may not see is left out.
_OPEN = frozenset({"GetUser", "ListApps", "ListModels", "ListWorkflows", "ListDatasets"})
# Takes the same requests, though its own path names no app.
_AS = {"StreamModelOutputs": "PostModelOutputs"}


class RefusedError(Exception):
    """An answer other than success: a `clarifai.api.status.StatusCode`, and what is wrong."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


@dataclass(frozen=True)
class Caller:
    """Whose key came with a call."""

    user_id: str
    key: Any

    @property
    def app_id(self) -> str:
        """The one app of an API key; empty for a PAT."""
        return self.key.apps[0].id if self.key.apps else ""


ANYBODY = Caller("", None)


def authenticate(store: Store, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    """Find out whose key is in gRPC metadata or HTTP headers with lower-case names."""
    header = str(next((value for name, value in metadata if name == "authorization"), ""))
    word, _, secret = header.partition(" ")
    if word != "Key" or not secret.strip():
        raise RefusedError(
            status_code_pb2.CONN_INVALID_REQUEST,
            "Empty or malformed authorization header. Please provide an API key or session token.",
        )
    if not _KEY.fullmatch(secret):
        raise RefusedError(status_code_pb2.CONN_KEY_INVALID, "Invalid format of key.")
    if (found := store.key(secret)) is None or _expired(found[1]):
        raise RefusedError(status_code_pb2.CONN_KEY_NOT_FOUND, "invalid key")
    return Caller(*found)


def _expired(key: Any) -> bool:
    return bool(key.HasField("expires_at") and key.expires_at.seconds <= time.time())


def authorise(
    store: Store, method: str, request: Any, metadata: Iterable[tuple[str, str | bytes]]
) -> Caller:
    """Admit a call or refuse it; `me` and empty IDs of the request become those that are meant."""
    need = scopes.requirement(_AS.get(method, method))
    if need.auth is scopes.Auth.NONE:
        return ANYBODY
    caller = authenticate(store, metadata)
    demand_kind(caller, need.auth)
    if missing := scopes.missing_scopes(method, caller.key.scopes, caller.key.endpoints):
        raise insufficient(missing)
    if "user_app_id" in request.DESCRIPTOR.fields_by_name:
        _complete(caller, need, request.user_app_id)
        _reach(store, caller, need, request.user_app_id)
    return caller


def demand_kind(caller: Caller, auth: scopes.Auth) -> None:
    """Refuse a key of the wrong kind."""
    accepted = {scopes.Auth.KEY: (API_KEY, PAT), scopes.Auth.PAT: (PAT,)}.get(auth, ())
    if caller.key.type not in accepted:
        raise RefusedError(
            status_code_pb2.CONN_AUTH_METHOD_DISABLED,
            f"This method is authorised by {auth.value}; the key is of type {caller.key.type}.",
        )


def may_read(store: Store, caller: Caller, user_id: str, app_id: str) -> bool:
    """Tell whether an app is there as far as the caller can see."""
    if store.get(user_path(user_id, "apps"), app_id) is None:
        return False
    if caller.app_id:
        return (user_id, app_id) == (caller.user_id, caller.app_id)
    return _may_write(store, caller, user_id, app_id) or store.is_public(user_id, app_id)


def _may_write(store: Store, caller: Caller, user_id: str, app_id: str) -> bool:
    collaborators = store.items(app_path(user_id, app_id, "collaborators"))
    return store.acts_for(caller.user_id, user_id) or any(
        each.user.id == caller.user_id for each in collaborators
    )


def _complete(caller: Caller, need: scopes.Requirement, ids: Any) -> None:
    all_apps = any(
        route.names_user and not route.names_app for route in scopes.routes(need.method)
    ) and bool(ids.user_id)
    if ids.user_id in ("", "me"):
        ids.user_id = caller.user_id
    if not scopes.names_app(need.method):
        return
    ids.app_id = ids.app_id or caller.app_id
    if not ids.app_id and not all_apps and need.scopes:  # MyScopes, which needs none, needs no app
        raise RefusedError(
            status_code_pb2.CONN_KEY_INVALID, "Must provide app external ID in API authorizer"
        )


def _reach(store: Store, caller: Caller, need: scopes.Requirement, ids: Any) -> None:
    if ids.app_id and scopes.names_app(need.method):
        if not may_read(store, caller, ids.user_id, ids.app_id):
            raise absent(f"app_id '{ids.app_id}' of user_id '{ids.user_id}'")
        beyond = {scope for scope in need.scopes if not _READING.fullmatch(scope)}
        if beyond and not (caller.app_id or _may_write(store, caller, ids.user_id, ids.app_id)):
            raise insufficient(beyond)
    elif store.get(USERS, ids.user_id) is None or not (
        need.method in _OPEN or store.acts_for(caller.user_id, ids.user_id)
    ):
        raise absent(f"user_id '{ids.user_id}'")


def absent(what: str) -> RefusedError:
    """Make the refusal of what is not there, or out of reach."""
    return RefusedError(
        status_code_pb2.CONN_DOES_NOT_EXIST, f"{what} not found. Check your request fields."
    )


def insufficient(missing: Iterable[str]) -> RefusedError:
    """Make the refusal of a key that lacks scopes."""
    return RefusedError(
        status_code_pb2.CONN_INSUFFICIENT_SCOPES, f"Missing scopes: {', '.join(sorted(missing))}"
    )
