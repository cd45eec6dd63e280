"""What each method of the Clarifai API requires of a key, from clarifai-grpc's descriptors.

Scopes have the spelling of Clarifai's documentation (`Inputs:Add`); arguments may also have that
of the enum (`Inputs_Add`).
"""

from __future__ import annotations

import enum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.auth.scope import scope_pb2
from clarifai_grpc.grpc.auth.util import extension_pb2
from google.api import annotations_pb2
from google.protobuf.message_factory import GetMessageClass

from clarifai_magic.errors import CallError, UnknownMethodError

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE = "clarifai.api.V2"
ALL = "All"

# The descriptor of GetUser names no scope, yet it refuses restricted keys without its
# endpoint permission (seen in https://github.com/Clarifai/clarifai-python/pull/868).
_BY_ENDPOINT_ONLY = frozenset({"GetUser"})
_READING = frozenset({"Predict", "Search"})


class Auth(enum.Enum):
    """How a method is authorised: the names of `clarifai.auth.types.AuthType`."""

    NONE = "NoAuth"
    KEY = "KeyAuth"
    PAT = "PATAuth"
    SESSION = "SessionTokenAuth"
    ADMIN = "AdminAuth"


class Requirement(NamedTuple):
    """What one method requires of a key.

    Attributes
    ----------
    method : str
        The method's bare name, such as `PostInputs`.
    auth : Auth
        The kind of key: a PAT or an API key (`KEY`), only a PAT (`PAT`), none, or a kind that no
        user has (`SESSION`, `ADMIN`).
    scopes : frozenset of str
        The minimum scopes, in documentation spelling; Clarifai may require more. From
        `cl_auth_type` and `cl_depending_scopes` in `clarifai.auth.util.extension`.

    """

    method: str
    auth: Auth
    scopes: frozenset[str]


class Route(NamedTuple):
    """One REST address of a method: `google.api.http` and its additional bindings.

    Attributes
    ----------
    verb : str
        The HTTP verb in upper case.
    path : str
        The template, such as `/v2/users/{user_app_id.user_id}/apps`.
    has_body : bool
        Whether the request is the JSON body; otherwise it is the query.

    """

    verb: str
    path: str
    has_body: bool

    @property
    def names_user(self) -> bool:
        """Whether the path names a user."""
        return "{user_app_id.user_id}" in self.path

    @property
    def names_app(self) -> bool:
        """Whether the path names an app."""
        return "{user_app_id.app_id}" in self.path


@cache
def methods() -> dict[str, Any]:
    """Give the method descriptors of the API by bare name, in the order of the descriptor.

    Returns
    -------
    dict of str to google.protobuf.descriptor.MethodDescriptor
        273 of them in clarifai-grpc 12.6.0.

    """
    service = service_pb2.DESCRIPTOR.services_by_name["V2"]
    return {method.name: method for method in service.methods}


def descriptor_of(method: str) -> Any:
    """Give a method's descriptor.

    Parameters
    ----------
    method : str
        A bare or full method name.

    Raises
    ------
    UnknownMethodError
        There is no such method.

    """
    if not isinstance(method, str):
        raise UnknownMethodError(
            f"A method is given by its name, and this is of type {type(method).__name__}.",
            "Pass such as 'PostModelOutputs'.",
        )
    name = method.removeprefix(f"/{SERVICE}/")
    if name in methods():
        return methods()[name]
    import difflib

    close = difflib.get_close_matches(name, methods(), n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "See https://docs.clarifai.com/."
    raise UnknownMethodError(f"The Clarifai API has no method {name[:60]!r}.", hint)


@cache
def request_class(method: str) -> Any:
    """Give the message class that a method takes."""
    return GetMessageClass(methods()[method].input_type)


@cache
def response_class(method: str) -> Any:
    """Give the message class that a method returns."""
    return GetMessageClass(methods()[method].output_type)


def is_repeated(field: Any) -> bool:
    """Whether a field is a list, in a way that works with every protobuf since 5."""
    return bool(getattr(field, "is_repeated", None) or getattr(field, "label", 0) == 3)  # noqa: PLR2004


@cache
def requirement(method: str) -> Requirement:
    """Tell which kind of key and which scopes a method needs.

    Parameters
    ----------
    method : str
        A bare name (`PostInputs`) or a full one (`/clarifai.api.V2/PostInputs`).

    Returns
    -------
    Requirement
        From the descriptor.

    Raises
    ------
    UnknownMethodError
        There is no such method.

    """
    descriptor = descriptor_of(method)
    extensions = descriptor.GetOptions().Extensions
    auth = extension_pb2.DESCRIPTOR.extensions_by_name["cl_auth_type"].enum_type
    return Requirement(
        method=descriptor.name,
        auth=Auth(auth.values_by_number[extensions[extension_pb2.cl_auth_type]].name),
        scopes=frozenset(
            spelled(scope_pb2.S.Name(number))
            for number in extensions[extension_pb2.cl_depending_scopes]
        ),
    )


@cache
def routes(method: str) -> tuple[Route, ...]:
    """List a method's REST addresses, the principal one first.

    Parameters
    ----------
    method : str
        A bare or full method name.

    Returns
    -------
    tuple of Route
        From `google.api.http`.

    Raises
    ------
    UnknownMethodError
        There is no such method.

    """
    rule = descriptor_of(method).GetOptions().Extensions[annotations_pb2.http]
    rules = [(each.WhichOneof("pattern"), each) for each in (rule, *rule.additional_bindings)]
    return tuple(
        Route(verb.upper(), getattr(each, verb), bool(each.body or rule.body))
        for verb, each in rules
    )


def names_app(method: str) -> bool:
    """Tell whether a method's principal REST path names an app.

    Parameters
    ----------
    method : str
        A bare or full method name.

    Returns
    -------
    bool
        False for methods on a user's own resources (apps, keys, compute) and for those on none.

    Raises
    ------
    UnknownMethodError
        There is no such method.

    """
    return routes(method)[0].names_app


@cache
def is_safe(method: str) -> bool:
    """Tell whether repeating a call is harmless: it reads, searches or predicts.

    Parameters
    ----------
    method : str
        A bare or full method name.

    Returns
    -------
    bool
        From the verb of its REST address and its minimum scopes.

    Raises
    ------
    UnknownMethodError
        There is no such method.

    """
    if routes(method)[0].verb == "GET":
        return True
    need = requirement(method)
    reads = all(scope in _READING or scope.endswith(":Get") for scope in need.scopes)
    return reads and ("Predict" in need.scopes or need.method.endswith("Searches"))


def spelled(scope: str) -> str:
    """Spell a scope as the documentation does: `Inputs_Add` becomes `Inputs:Add`.

    Parameters
    ----------
    scope : str
        In either spelling; an endpoint permission stays as it is.

    Returns
    -------
    str
        The documentation's spelling.

    """
    return scope if scope.startswith("/") else scope.replace("_", ":")


def scope_named(name: str) -> str:
    """Give a scope that exists, in the documentation's spelling.

    Parameters
    ----------
    name : str
        In either spelling.

    Raises
    ------
    CallError
        There is no such scope.

    """
    scope = spelled(str(name))
    if scope in _implied():
        return scope
    import difflib

    close = difflib.get_close_matches(scope, _implied(), n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "%clarifai_scopes tells those there are."
    raise CallError(f"There is no scope {scope[:60]!r}.", hint)


@cache
def _implied() -> dict[str, frozenset[str]]:
    values = scope_pb2.S.DESCRIPTOR.values
    depending = scope_pb2.clarifai_depending_scopes
    return {
        spelled(value.name): frozenset(
            spelled(scope_pb2.S.Name(number)) for number in value.GetOptions().Extensions[depending]
        )
        for value in values
        if value.number
    }


def expand(scopes: Iterable[str]) -> frozenset[str]:
    """Add the scopes that the given ones imply.

    Parameters
    ----------
    scopes : iterable of str
        Scopes in either spelling; unknown names are kept.

    Returns
    -------
    frozenset of str
        In documentation spelling. `All` implies every scope. From `clarifai_depending_scopes` in
        `clarifai.auth.scope`, which is already transitive.

    """
    given = frozenset(map(spelled, scopes))
    if ALL in given:
        return given | _implied().keys()
    return given.union(*(_implied().get(scope, frozenset()) for scope in given))


def missing_scopes(
    method: str, scopes: Iterable[str], endpoints: Iterable[str] = ()
) -> frozenset[str]:
    """Tell what a key lacks to call a method.

    Parameters
    ----------
    method : str
        A bare or full method name.
    scopes : iterable of str
        The key's scopes, in either spelling.
    endpoints : iterable of str
        The key's endpoint permissions, such as `/clarifai.api.V2/ListModels`.

    Returns
    -------
    frozenset of str
        The minimum scopes that are missing, in documentation spelling; for a method granted only by
        endpoint, its endpoint permission. Empty if the key may call the method.

    Raises
    ------
    UnknownMethodError
        There is no such method.

    """
    need = requirement(method)
    held = expand(scopes)
    permission = f"/{SERVICE}/{need.method}"
    if ALL in held or permission in held.union(endpoints):
        return frozenset()
    if need.method in _BY_ENDPOINT_ONLY:
        return frozenset({permission})
    return need.scopes - held
