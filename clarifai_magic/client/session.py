"""A session: verified credentials, and the channels, stubs and names made from them."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from clarifai_grpc.channel import clarifai_channel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from google.protobuf.struct_pb2 import Struct

from clarifai_magic.client.auth_warnings import AuthWarnings
from clarifai_magic.client.channel import AuthorizedChannel
from clarifai_magic.client.defaults import CallDefaults
from clarifai_magic.client.identity import unverified, verify
from clarifai_magic.client.internals import Internals, summary
from clarifai_magic.client.questions import Questions
from clarifai_magic.client.registry import registry
from clarifai_magic.client.retries import Retries
from clarifai_magic.client.stub import make_stub
from clarifai_magic.concurrency import once
from clarifai_magic.credentials.parsing import refuse_key_as
from clarifai_magic.credentials.secret import Unpicklable

if TYPE_CHECKING:
    from typing_extensions import Self

    from clarifai_magic.client.identity import Identity
    from clarifai_magic.client.opening import Opening
    from clarifai_magic.credentials.secret import Metadata

_log = logging.getLogger(__name__)

S = TypeVar("S", bound="BaseSession")


class BaseSession(Unpicklable):
    """What every session has; `clarifai_magic.Session` adds `bulk` and `bridge`.

    Parameters
    ----------
    parts : Internals
        Its parts.
    identity : Identity
        What the API said about the key.

    Attributes
    ----------
    identity : Identity
        Kind and owner of the key, user and app, scopes.
    metadata : Metadata
        For ``metadata=`` in gRPC calls; masked.
    userDataObject : clarifai.api.UserAppIDSet
        Whose resources to use, for requests. Changing it changes only those requests: calls
        without IDs still use the session's, and `with_ids` gives a session with other IDs.
    """

    def __init__(self, parts: Internals, identity: Identity) -> None:
        self._internals = parts
        self.identity = identity
        self.metadata: Metadata = parts.found.credentials.metadata
        self.userDataObject = resources_pb2.UserAppIDSet(
            user_id=identity.user_id, app_id=identity.app_id
        )
        own_ids = resources_pb2.UserAppIDSet()
        own_ids.CopyFrom(self.userDataObject)
        self._defaults = CallDefaults(
            self.metadata, parts.token, own_ids, parts.warnings, parts.retries
        )
        self._channel = AuthorizedChannel(self, self._defaults)
        registry.add(self, parts.found.credentials.key, parts.token)
        parts.on_close(lambda: registry.discard(self))
        _log.debug("session %x opened: %s at %s", id(self), identity.kind or "key", self.base)
        parts.on_close(lambda: _log.debug("session %x closed", id(self)))

    @property
    def channel(self) -> AuthorizedChannel:
        """For ``V2Stub(channel)``; its calls are authorised."""
        # V2Stub reads this global to deserialise responses, and needs it set.
        if clarifai_channel.wrap_response_deserializer is None:
            reader = clarifai_channel._response_deserializer_for_grpc  # noqa: SLF001
            clarifai_channel.wrap_response_deserializer = reader
        return self._channel

    @once
    def stub(self) -> service_pb2_grpc.V2Stub:
        """The generated stub over `channel`."""
        return make_stub(self._channel)

    @once
    def aio_stub(self) -> service_pb2_grpc.V2Stub:
        """The generated stub for ``await``, in any event loop; its calls are authorised too."""
        from clarifai_magic.client.aio_channel import AuthorizedAioChannel

        return make_stub(AuthorizedAioChannel(self, self._defaults))

    @property
    def headers(self) -> dict[str, str]:
        """For REST calls with requests, httpx or urllib; they print a mask for the key."""
        return {"Authorization": self.metadata[0][1]}

    @property
    def source(self) -> str:
        """Where the key was found."""
        return str(self._internals.found.credentials.source)

    @property
    def base(self) -> str:
        """The API's base URL."""
        return self._internals.deployment.base

    def namespace(self) -> dict[str, Any]:
        """The names that Clarifai's documentation samples expect, with their values."""
        return {
            "stub": self.stub,
            "metadata": self.metadata,
            "userDataObject": self.userDataObject,
            "channel": self.channel,
            "resources_pb2": resources_pb2,
            "service_pb2": service_pb2,
            "service_pb2_grpc": service_pb2_grpc,
            "status_pb2": status_pb2,
            "status_code_pb2": status_code_pb2,
            "Struct": Struct,
            "USER_ID": self.identity.user_id,
            "APP_ID": self.identity.app_id,
            "clarifai_session": self,
        }

    def with_ids(self, *, user_id: str | None = None, app_id: str | None = None) -> Self:
        """The same sign-in, for another user's or app's resources.

        Parameters
        ----------
        user_id, app_id : str, optional
            The IDs; None keeps this session's, and an empty `app_id` means no app. They are not
            verified.

        Returns
        -------
        Session
            It shares this session's connection, and ends with it.

        Raises
        ------
        KeyFormatError
            If an ID is the key.
        """
        who, key = self.identity, self._internals.found.credentials.key
        refuse_key_as("user ID", user_id or "", key)
        refuse_key_as("app ID", app_id or "", key)
        identity = who._replace(
            user_id=who.user_id if user_id is None else user_id,
            app_id=who.app_id if app_id is None else app_id,
        )
        return self._child(type(self), identity)

    def _child(self, kind: type[S], identity: Identity) -> S:
        """A session of that kind on this session's connection; it ends with this session."""
        parts = self._internals
        parts.require_open()
        made_of = Internals(
            parts.found,
            parts.deployment,
            parts.connection,
            ExitStack(),
            Retries(wanted=parts.retries.wanted),
            AuthWarnings(identity),
            parent=parts,
        )
        child = kind(made_of, identity)
        if parts.closed:  # by another thread, which may not have seen the child
            child.close()
        made_of.require_open()
        return child

    def close(self) -> None:
        """Close the channel and undo everything the session did; doing it twice is harmless."""
        self._internals.close()

    def __enter__(self) -> Self:
        self._internals.require_open()
        enter = self._internals.enter
        self._internals.blocks.append(self.close if enter is None else enter())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._internals.blocks.pop()()

    def __repr__(self) -> str:
        return f"<Session: {summary(self)}>"


def open_session(kind: type[S], opening: Opening) -> S:
    """The session that a sign-in started to open, once the API's responses allow it."""
    found, connection, token, first, retries, undo = opening
    credentials, deployment = found.credentials, connection.deployment
    if first is None:
        identity = unverified(credentials)
    else:
        questions = Questions(
            connection.channel, credentials.metadata, deployment, deadline=first.deadline
        )
        identity = verify(credentials, questions, first)
    parts = Internals(
        found,
        deployment,
        connection,
        undo.pop_all(),
        Retries(wanted=retries),
        AuthWarnings(identity),
        token=token,
    )
    return kind(parts, identity)


def logout() -> None:
    """Close every session of this process and undo what each did to the notebook.

    If the process serves several viewers, like Panel's and Solara's, it closes only the sessions
    opened for the viewer who signs out.
    """
    for session in registry.within_reach():
        session.close()
