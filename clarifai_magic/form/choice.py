"""What a signed-in user can choose from: owners of apps, and their apps."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc

from clarifai_magic.failures import failed
from clarifai_magic.identity import PAT, apps_request
from clarifai_magic.statuses import SUCCESS, refused

if TYPE_CHECKING:
    from clarifai_magic.session import Session

_PATIENCE = 5.0
_LARGEST_ANSWER = 2**20


@dataclass(frozen=True)
class Owner:
    """Somebody who has apps.

    Parameters
    ----------
    id : str
        The user ID that requests name.
    label : str
        What to call them.
    """

    id: str
    label: str


@dataclass(frozen=True)
class Apps:
    """One page of an owner's apps.

    Parameters
    ----------
    ids : tuple of str
        In alphabetical order.
    more : bool
        Whether another page may follow.
    """

    ids: tuple[str, ...]
    more: bool


def owners(session: Session) -> list[Owner]:
    """Whose apps a session's key may be about: its user first, then their organisations.

    The list ends with the user where an owner was named at sign-in, or the key is no PAT.
    """
    who = session.identity
    named = session.found.credentials.user_id not in {"", "me"}
    user = Owner(who.user_id or "me", who.user_id or "the key's own user")
    if who.kind != PAT or named or not who.owner:
        return [user]
    return [user, *organisations(session)]


def organisations(session: Session) -> list[Owner]:
    """The organisations of a session's user; none where the API does not tell.

    The API has them at ``/v2/users/USER/organizations`` (REST only).
    """
    url = f"{session.base}/v2/users/{quote(session.identity.owner, safe='')}/organizations"
    headers = {"Authorization": "Key " + session.found.credentials.key}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a Deployment's scheme
    try:
        with _opener(session).open(request, timeout=_PATIENCE) as response:
            listed = json.loads(response.read(_LARGEST_ANSWER))["organizations"]
        found = [each["organization"] for each in listed]
        return [Owner(each["id"], f"{each.get('name', '')} ({each['id']})") for each in found]
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return []


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send the key on to wherever a redirect points."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        """Follow none."""


def _opener(session: Session) -> urllib.request.OpenerDirector:
    roots = session.deployment.root_certificates or None
    context = ssl.create_default_context(cafile=roots)
    return urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=context))


def first_apps(session: Session) -> Apps:
    """What signing in has told about the apps of the key's user."""
    ids = session.identity.apps
    return Apps(ids, more=len(ids) == apps_request("").per_page)


def apps(session: Session, user_id: str, search: str = "", page: int = 1) -> Apps:
    """One page of the apps of `user_id` that this key may see.

    Parameters
    ----------
    session : Session
        Signed in with a PAT.
    user_id : str
        A user or an organisation.
    search : str
        Words that ID, name or description must hold; empty for all.
    page : int
        From 1.

    Raises
    ------
    RefusedError
        If the API does not list them.
    UnreachableError
        If no answer came.
    """
    request = apps_request(user_id, page, search)
    try:
        answer = session.stub.ListApps(request, timeout=_PATIENCE)
    except grpc.RpcError as error:
        raise failed(error, session.base) from None
    if answer.status.code != SUCCESS:
        raise refused(answer.status, "Listing the apps")
    return Apps(tuple(app.id for app in answer.apps), len(answer.apps) == request.per_page)
