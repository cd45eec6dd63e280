"""A session that other processes can be given: pickled on purpose, key included."""

from __future__ import annotations

import copyreg
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_pb2
from google.protobuf import descriptor_pool, message_factory

from clarifai_magic.connection import Connection
from clarifai_magic.credentials import Credentials
from clarifai_magic.deployment import find_deployment
from clarifai_magic.live import live
from clarifai_magic.session import Session
from clarifai_magic.sources import Found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    from clarifai_magic.identity import Identity

_KEPT = "Processes that were given the session for their work keep the key until they end."

_opening = threading.Lock()


@dataclass(frozen=True)
class Handover:
    """What a process needs to have the session: this is what is pickled.

    Parameters
    ----------
    key : str
        The key in plain text.
    base, root_certificates : str
        Where the API is, and the path of its CA bundle, which the other process reads.
    identity : Identity
        What the API said about the key; it is not asked again.
    retries : bool
        Whether calls are made again.
    """

    key: str = field(repr=False)
    base: str
    root_certificates: str
    identity: Identity
    retries: bool


class WorkerSession(Session):
    """A session that pickles, and that each process opens once, however often it is sent there."""

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, tuple[Handover]]:
        """Hand over what the session is made of."""
        return opened, (self.handover,)

    @cached_property
    def handover(self) -> Handover:
        """What another process needs; where it came from one, the very same, to be known by."""
        return Handover(
            str.__str__(self.found.credentials.key),
            self.deployment.base,
            self.deployment.root_certificates,
            self.identity,
            self.retries.wanted,
        )


def for_workers(session: Session) -> WorkerSession:
    """The same session for other processes; see `Session.for_workers`."""
    if _KEPT not in session.kept:
        session.kept.append(_KEPT)
    return session.derived(WorkerSession, session.identity)


def opened(handover: Handover) -> WorkerSession:
    """This process's session for a handover: called by unpickling."""
    with _opening:
        for session in live:
            if isinstance(session, WorkerSession) and session.handover == handover:
                return session
        credentials = Credentials(handover.key, source="the process that started this one")
        deployment = find_deployment(handover.base, handover.root_certificates)
        connection = Connection(deployment, retries=handover.retries)
        closing = ExitStack()
        closing.callback(connection.close)
        session = WorkerSession(
            Found(credentials),
            handover.identity,
            deployment,
            connection,
            closing,
            retries=handover.retries,
        )
        session.handover = handover
        live.hold(session)
        return session


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


# Pickled by themselves, clarifai-grpc's messages name a module (proto.clarifai…) that is nowhere.
for _file in (service_pb2, resources_pb2, status_pb2):
    for _descriptor in _with_nested(_file.DESCRIPTOR.message_types_by_name.values()):
        copyreg.pickle(message_factory.GetMessageClass(_descriptor), _reduced)
