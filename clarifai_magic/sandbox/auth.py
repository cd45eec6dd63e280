"""Who is calling, and may they: the sandbox's authorisation, for every method alike.

The descriptors say what a method requires (`clarifai_magic.api.scopes`). A refusal is a status
code in the response, as on the live service; in this order:

- no key, or not `Key <key>`: 11102; not 32 hexadecimal digits: 11008; unknown or expired: 11009
- a method that does not accept this kind of key: 11200
- a scope is missing: 11007, with the missing ones in `details`
- a PAT without an app if the method needs one: 11008
- a missing or unreachable user or app: 11101, the same for both. An API key reaches only its own
  app, so the IDs of any other app, public or not, are 11101 too.
- another user's public app is for reading and predicting: 11007 for the rest
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.api import scopes
from clarifai_magic.sandbox.state import USERS, Store, app_path, user_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    Metadata = Iterable[tuple[str, str | bytes]]  # gRPC's, or headers with lower-case names

API_KEY = "app_specific_key"
PAT = "personal_access_token"

_KEY = re.compile(r"[0-9a-f]{32}")
_READING = re.compile(r".*:Get|Predict|Search")
# Anyone's profile, and lists of what anyone may see; omits what the caller may not see.
_OPEN = frozenset({"GetUser", "ListApps", "ListModels", "ListWorkflows", "ListDatasets"})
# Takes the same requests, although its own path names no app.
_AS = {"StreamModelOutputs": "PostModelOutputs"}


class RefusedError(Exception):
    """A response other than success: a `clarifai.api.status.StatusCode`, and what is wrong."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


@dataclass(frozen=True)
class Caller:
    """The caller of a call, by its key."""

    user_id: str
    key: Any

    @property
    def app_id(self) -> str:
        """The one app of an API key; empty for a PAT."""
        return self.key.apps[0].id if self.key.apps else ""


ANYBODY = Caller("", None)


def authenticate(store: Store, metadata: Metadata) -> Caller:
    """Find the caller by the key in gRPC metadata or HTTP headers with lower-case names."""
    header = str(next((value for name, value in metadata if name == "authorization"), ""))
    word, _, secret = header.partition(" ")
    if word != "Key" or not secret.strip():
        raise RefusedError(
            codes.CONN_INVALID_REQUEST,
            "Empty or malformed authorization header. Please provide an API key or session token.",
        )
    if not _KEY.fullmatch(secret):
        raise RefusedError(codes.CONN_KEY_INVALID, "Invalid format of key.")
    if (found := store.key(secret)) is None or 0 < found[1].expires_at.seconds <= time.time():
        raise RefusedError(codes.CONN_KEY_NOT_FOUND, "invalid key")
    return Caller(*found)


def keyed(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Make headers say `Key`, where protocols other than Clarifai's own may say `Bearer`."""
    return [(name, re.sub("^Bearer ", "Key ", value)) for name, value in headers]


def authorise(store: Store, method: str, request: Any, metadata: Metadata) -> Caller:
    """Admit or refuse a call; replace `me` and empty IDs in the request."""
    need = scopes.requirement(_AS.get(method, method))
    if need.auth is scopes.Auth.NONE:
        return ANYBODY
    caller = admit(store, method, metadata)
    if "user_app_id" in request.DESCRIPTOR.fields_by_name:
        _complete(caller, need, request.user_app_id)
        _reach(store, caller, need, request.user_app_id)
    return caller


def admit(store: Store, method: str, metadata: Metadata) -> Caller:
    """Admit or refuse a call, whatever its resource."""
    caller = authenticate(store, metadata)
    demand_kind(caller, scopes.requirement(_AS.get(method, method)).auth)
    if missing := scopes.missing_scopes(method, caller.key.scopes, caller.key.endpoints):
        raise insufficient(missing)
    return caller


def demand_kind(caller: Caller, auth: scopes.Auth) -> None:
    """Refuse a key of the wrong kind."""
    accepted = {scopes.Auth.KEY: (API_KEY, PAT), scopes.Auth.PAT: (PAT,)}.get(auth, ())
    if caller.key.type not in accepted:
        raise RefusedError(
            codes.CONN_AUTH_METHOD_DISABLED,
            f"This method is authorised by {auth.value}; the key is of type {caller.key.type}.",
        )


def may_read(store: Store, caller: Caller, user_id: str, app_id: str) -> bool:
    """Tell whether an app exists as far as the caller can see."""
    if store.get(user_path(user_id, "apps"), app_id) is None:
        return False
    if caller.app_id:
        return (user_id, app_id) == (caller.user_id, caller.app_id)
    return _may_write(store, caller, user_id, app_id) or store.is_public(user_id, app_id)


def _may_write(store: Store, caller: Caller, user_id: str, app_id: str) -> bool:
    people = [each.user.id for each in store.items(app_path(user_id, app_id, "collaborators"))]
    return store.acts_for(caller.user_id, user_id) or caller.user_id in people


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
        raise RefusedError(codes.CONN_KEY_INVALID, "Must provide app external ID in API authorizer")


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


def absent(what: str, code: int = codes.CONN_DOES_NOT_EXIST) -> RefusedError:
    """Make the refusal for a missing or unreachable resource."""
    return RefusedError(code, f"{what} not found. Check your request fields.")


def unsupported(what: str) -> RefusedError:
    """Make the refusal of what the sandbox does not support."""
    return RefusedError(codes.NOT_IMPLEMENTED, f"The sandbox does not {what}.")


def insufficient(missing: Iterable[str]) -> RefusedError:
    """Make the refusal for a key that lacks scopes."""
    return RefusedError(
        codes.CONN_INSUFFICIENT_SCOPES, f"Missing scopes: {', '.join(sorted(missing))}"
    )
