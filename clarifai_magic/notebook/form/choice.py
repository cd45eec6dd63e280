"""What a signed-in user can choose from: owners of apps, and their apps."""

from __future__ import annotations

import json
import logging
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc

from clarifai_magic.api import USER_AGENT
from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.api.statuses import SUCCESS, error_from_status
from clarifai_magic.api.text import printable
from clarifai_magic.client.identity import PAT
from clarifai_magic.client.internals import internals
from clarifai_magic.client.questions import apps_request

if TYPE_CHECKING:
    from clarifai_magic.session import Session

_log = logging.getLogger(__name__)

_PATIENCE = 5.0
_LARGEST_ANSWER = 2**20


@dataclass(frozen=True)
class Owner:
    """An owner of apps.

    Parameters
    ----------
    id : str
        The user ID that requests name.
    label : str
        Their display name.
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
    """The owners whose apps a session may use: its user first, then their organisations.

    Only the user, if sign-in named an owner, or the key is not a PAT.
    """
    who = session.identity
    named = internals(session).found.credentials.user_id not in {"", "me"}
    user = Owner(who.user_id or "me", who.user_id or "the key's own user")
    if who.kind != PAT or named or not who.owner:
        return [user]
    return [user, *organisations(session)]


def organisations(session: Session) -> list[Owner]:
    """The organisations of a session's user; none if the API does not list them.

    The API has them at ``/v2/users/USER/organizations`` (REST only).
    """
    url = f"{session.base}/v2/users/{quote(session.identity.owner, safe='')}/organizations"
    headers = {
        "Authorization": "Key " + internals(session).found.credentials.key,
        "User-Agent": USER_AGENT,
    }
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a Deployment's scheme
    _log.debug("GET organizations from %s", session.base)
    try:
        with _opener(session).open(request, timeout=_PATIENCE) as response:
            listed = json.loads(response.read(_LARGEST_ANSWER))["organizations"]
        found = [each["organization"] for each in listed]
        return [_organisation(each["id"], each.get("name", "")) for each in found]
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        _log.debug("no organizations: %s", type(error).__name__)
        return []


def _organisation(name: str, title: str) -> Owner:
    shown = printable(name)
    return Owner(shown, f"{printable(title)} ({shown})")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would forward the key to a redirect's target."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        """Follow none."""


def _opener(session: Session) -> urllib.request.OpenerDirector:
    deployment = internals(session).deployment
    context = ssl.create_default_context(cafile=deployment.root_certificates or None)
    handlers = [_NoRedirects(), urllib.request.HTTPSHandler(context=context)]
    if deployment.loopback:  # despite the environment: no proxy can reach this machine
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def first_apps(session: Session) -> Apps:
    """What sign-in found about the apps of the key's user."""
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
        Words that the ID, name or description must contain; empty for all.
    page : int
        From 1.

    Raises
    ------
    RefusedError
        If the API does not list them.
    UnreachableError
        If there is no response.
    """
    request = apps_request(user_id, page, search)
    try:
        answer = session.stub.ListApps(request, timeout=_PATIENCE)
    except grpc.RpcError as error:
        raise error_from_rpc(error, internals(session).deployment) from None
    if answer.status.code != SUCCESS:
        raise error_from_status(answer.status, "Listing the apps")
    return Apps(
        tuple(printable(app.id) for app in answer.apps), len(answer.apps) == request.per_page
    )
