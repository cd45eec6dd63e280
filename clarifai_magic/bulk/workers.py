"""Sessions for other processes: they can be pickled, key included, and open once in each."""

from __future__ import annotations

import copyreg
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_pb2
from google.protobuf import descriptor_pool, message_factory

from clarifai_magic.client.auth_warnings import AuthWarnings
from clarifai_magic.client.internals import Internals, internals
from clarifai_magic.client.registry import registry
from clarifai_magic.client.retries import Retries
from clarifai_magic.client.session import BaseSession
from clarifai_magic.client.transport import Connection
from clarifai_magic.concurrency import Lock
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import Found
from clarifai_magic.credentials.sources.sandbox import hold
from clarifai_magic.errors import CallError, NotSignedInError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    from clarifai_magic.client.identity import Identity

HANDED_OVER = "Processes that got the session keep the key until they end."
"""Logout's note about a session that was handed over."""

_opening = Lock()  # two threads that unpickle the same session get the same


def expires_alone() -> CallError:
    """The error for an end without a key that it would be of."""
    return CallError(
        "expires= is when a key ends that is made with scopes=, and there are none.",
        "Pass scopes= too, or omit expires=.",
    )


class Handover(NamedTuple):
    """What a process needs for the session: the pickled form.

    Parameters
    ----------
    key : str
        The key in plaintext.
    base, root_certificates : str
        Where the API is, and the path of its CA bundle, which the other process reads.
    identity : Identity
        What the API said about the key; not verified again.
    retries : bool
        Whether to retry calls.
    sign_in : str
        Which sign-in it came from. Other processes have one session for all with the same key.
    """

    key: str
    base: str
    root_certificates: str
    identity: Identity
    retries: bool
    sign_in: str

    def __repr__(self) -> str:
        return f"<Handover of a session at {self.base}>"


class Picklable(BaseSession):
    """A session that can be pickled, key included."""

    def __init__(
        self, parts: Internals, identity: Identity, handover: Handover | None = None
    ) -> None:
        # If it came from another process, the same object, to identify it.
        self._handover = handover or Handover(
            str.__str__(parts.found.credentials.key),
            parts.deployment.base,
            parts.deployment.root_certificates,
            identity,
            parts.retries.wanted,
            parts.sign_in,
        )
        if handover is None:
            registry.hand_over(parts.sign_in, parts.ending, parts.root)
        super().__init__(parts, identity)

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, tuple[type[BaseSession], Handover]]:
        """Hand over the session's parts, unless it is closed."""
        internals(self).require_open()
        return opened, (type(self), self._handover)

    def stands_for(self, handover: Handover) -> bool:
        """Whether it is the session that was handed over, and open."""
        mine = self._handover
        if registry.handed_over(handover.sign_in) is None:  # in another process
            mine = mine._replace(sign_in=handover.sign_in)
        return mine == handover and not internals(self).closed


P = TypeVar("P", bound=Picklable)


def opened(kind: type[P], handover: Handover) -> P:
    """This process's session for a handover: called by unpickling.

    Raises
    ------
    NotSignedInError
        If it was handed over by this process, or one that it was forked from, which has signed
        out since.
    """
    ending, origin = registry.handed_over(handover.sign_in) or (None, None)
    if ending is not None and ending.has_come:
        raise NotSignedInError(
            "The session that was handed over has been signed out.",
            "Sign in again and hand over a new clarifai_session.for_workers().",
        )
    with _opening:
        for session in registry:
            if isinstance(session, kind) and session.stands_for(handover):
                return session
        parts = _begun(handover) if origin is None else _belonging_to(origin, handover)
        session = kind(parts, handover.identity, handover)
        registry.hold(session)
        return session


def _begun(handover: Handover) -> Internals:
    """What a session is made of in another process than the one that handed it over."""
    credentials = Credentials(
        handover.key,
        base=handover.base,
        root_certificates=handover.root_certificates,
        source=Provenance("process"),
    )
    deployment = credentials.deployment
    with ExitStack() as undo:
        connection = Connection(deployment, retries=handover.retries)
        undo.callback(hold(deployment.base, connection))
        undo.callback(connection.close)
        return Internals(
            Found(credentials),
            deployment,
            connection,
            undo.pop_all(),
            Retries(wanted=handover.retries),
            AuthWarnings(handover.identity),
        )


def _belonging_to(origin: Internals, handover: Handover) -> Internals:
    """What one is made of in the process that handed it over: it ends with the sign-in."""
    return Internals(
        origin.found,
        origin.deployment,
        origin.connection,
        ExitStack(),
        Retries(wanted=handover.retries),
        AuthWarnings(handover.identity),
        parent=origin,
    )


def _rebuilt(name: str, data: bytes) -> Message:
    """A message of clarifai-grpc from its full name and its bytes."""
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor).FromString(data)


def _reduced(message: Message) -> tuple[Any, tuple[str, bytes]]:
    return _rebuilt, (message.DESCRIPTOR.full_name, message.SerializeToString())


def _with_nested(descriptors: Iterable[Any]) -> Iterable[Any]:
    for descriptor in descriptors:
        yield descriptor
        yield from _with_nested(descriptor.nested_types)


# On their own, clarifai-grpc's messages pickle with a module (proto.clarifai…) that does not exist.
for _file in (service_pb2, resources_pb2, status_pb2):
    for _descriptor in _with_nested(_file.DESCRIPTOR.message_types_by_name.values()):
        copyreg.pickle(message_factory.GetMessageClass(_descriptor), _reduced)
