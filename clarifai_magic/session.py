"""connect(): verified credentials become a Session with a stub that is ready to use."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from google.protobuf.struct_pb2 import Struct

from clarifai_magic.channel import AuthorisedChannel
from clarifai_magic.credentials import Credentials, Unpicklable
from clarifai_magic.deployment import find_deployment
from clarifai_magic.identity import unverified, verify
from clarifai_magic.live import live
from clarifai_magic.refusals import RefusalWatch
from clarifai_magic.sources import Found, find_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc
    from typing_extensions import Self

    from clarifai_magic.credentials import Metadata
    from clarifai_magic.deployment import Deployment
    from clarifai_magic.identity import Identity

DEFAULT_TIMEOUT = 10.0


class Session(Unpicklable):
    """A signed-in connection to Clarifai.

    Made by `connect`. As a context manager it is closed at the block's end; one that a notebook
    is signed in with has the notebook's names for the block instead.

    Parameters
    ----------
    found : Found
        The credentials, and what was passed over for them.
    identity : Identity
        What the API said about them.
    deployment : Deployment
        Where the API is.
    channel : grpc.Channel
        A bare channel to it.
    closing : ExitStack
        What the session gives back at its end.

    Attributes
    ----------
    metadata : Metadata
        For ``metadata=`` in gRPC calls; masked.
    channel : AuthorisedChannel
        For ``V2Stub(channel)``; its calls are authorised.
    userDataObject : clarifai.api.UserAppIDSet
        Whose resources calls are about.
    watch : RefusalWatch
        Warns when a call is refused for the key's sake.
    lend : callable, optional
        Set by the notebook: gives this session the flat names until what it returns is called.
    kept : list of str
        What holds the key after logout, and how to remove it.
    """

    def __init__(
        self,
        found: Found,
        identity: Identity,
        deployment: Deployment,
        channel: grpc.Channel,
        closing: ExitStack,
    ) -> None:
        self._bare_channel = channel
        self.found = found
        self.identity = identity
        self.deployment = deployment
        self.metadata: Metadata = found.credentials.metadata
        self.userDataObject = resources_pb2.UserAppIDSet(
            user_id=identity.user_id, app_id=identity.app_id
        )
        self.watch = RefusalWatch(identity)
        self.channel = AuthorisedChannel(channel, self.metadata, self.userDataObject, self.watch)
        self.lend: Callable[[], Callable[[], None]] | None = None
        self.kept = [found.credentials.kept] if found.credentials.kept else []
        self._blocks: list[Callable[[], None]] = []
        self._closing = closing
        self.on_close(lambda: live.discard(self))
        live.add(self)

    @cached_property
    def stub(self) -> service_pb2_grpc.V2Stub:
        """The generated stub over `channel`."""
        return make_stub(self.channel)

    @property
    def headers(self) -> dict[str, str]:
        """For REST calls, with requests, httpx or urllib; the key in them is masked."""
        return {"Authorization": self.metadata[0][1]}

    @property
    def source(self) -> str:
        """Where the key was found."""
        return self.found.credentials.source

    @property
    def base(self) -> str:
        """The API's base URL."""
        return self.deployment.base

    def namespace(self) -> dict[str, Any]:
        """The names that Clarifai's documentation samples expect, and what they stand for."""
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

    def holders(self) -> list[Any]:
        """The objects from which the key can be had."""
        credentials = self.found.credentials
        made = [self.__dict__[name] for name in ("stub",) if name in self.__dict__]
        return [self, self.found, credentials, credentials.key, self.metadata, self.channel, *made]

    def with_ids(self, *, user_id: str | None = None, app_id: str | None = None) -> Session:
        """The same sign-in, about another user's or app's resources.

        Parameters
        ----------
        user_id, app_id : str, optional
            The IDs; None keeps this session's, and an empty `app_id` means no app. They are not
            verified.

        Returns
        -------
        Session
            It shares this session's connection, and ends with it.
        """
        identity = replace(
            self.identity,
            user_id=self.identity.user_id if user_id is None else user_id,
            app_id=self.identity.app_id if app_id is None else app_id,
        )
        return Session(self.found, identity, self.deployment, self._bare_channel, ExitStack())

    def lives_on(self, other: Session) -> bool:
        """Whether this session uses the connection of the other one."""
        return self._bare_channel is other._bare_channel

    def on_close(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the session closes, before those that came earlier."""
        self._closing.callback(callback)

    def close(self) -> None:
        """Close the channel and undo what was done in the session's name; twice does no harm."""
        self._closing.close()

    def __enter__(self) -> Self:
        self._blocks.append(self.close if self.lend is None else self.lend())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._blocks.pop()()

    def __repr__(self) -> str:
        return f"<Session: {self.summary()}>"

    def summary(self) -> str:
        """Who is signed in, with what and where, on one line without the key."""
        who = self.identity
        parts = [
            who.owner or who.user_id or "unknown user (--user-id would tell)",
            f"{who.kind or 'unverified key'} from {self.source}",
            _app_words(who),
        ]
        if who.scopes:
            parts.append(f"scopes {_some(who.scopes)}")
        if self.deployment.in_the_clear:
            parts.append(f"{self.base} is not encrypted: the key can be read on the way")
        return " · ".join(parts)


def connect(
    credentials: Credentials | Found | None = None,
    *,
    verified: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
) -> Session:
    """Sign in.

    Parameters
    ----------
    credentials : Credentials or Found, optional
        By default whatever `find_credentials` finds.
    verified : bool
        Whether to ask the API what the key is and whether the IDs fit it.
    timeout : float
        Seconds for the verification.

    Returns
    -------
    Session

    Raises
    ------
    ClarifaiMagicError
        If no key is found, or it does not do; see `clarifai_magic.errors`.
    """
    found = Found(credentials) if isinstance(credentials, Credentials) else credentials
    found = found or find_credentials()
    credentials = found.credentials
    with ExitStack() as undo:
        if credentials.server is not None:
            undo.callback(credentials.server.close)
        deployment = find_deployment(credentials.base, credentials.root_certificates)
        channel = undo.enter_context(bare_channel(deployment))
        identity = (
            verify(make_stub(channel), credentials, deployment, timeout)
            if verified
            else unverified(credentials)
        )
        return Session(found, identity, deployment, channel, closing=undo.pop_all())


def logout() -> None:
    """Close every session of this process and undo what each did to the notebook."""
    for session in list(live):
        session.close()


def bare_channel(deployment: Deployment) -> grpc.Channel:
    """A channel to a deployment as clarifai-grpc makes it, without a key."""
    if deployment.secure:
        return ClarifaiChannel.get_grpc_channel(
            base=f"{deployment.netloc_host}:{deployment.port}",
            root_certificates_path=deployment.root_certificates or None,
        )
    return ClarifaiChannel.get_insecure_grpc_channel(
        base=deployment.netloc_host, port=deployment.port
    )


def make_stub(channel: grpc.Channel) -> service_pb2_grpc.V2Stub:
    """The generated stub over a channel."""
    # V2Stub asks a module global, set by the last channel made, how to read responses; a JSON
    # channel made by somebody else since would make it read gRPC's wrongly.
    from clarifai_grpc.channel import clarifai_channel

    reader = clarifai_channel._response_deserializer_for_grpc  # noqa: SLF001
    clarifai_channel.wrap_response_deserializer = reader
    return service_pb2_grpc.V2Stub(channel)


def _app_words(identity: Identity) -> str:
    if not identity.app_id:
        choice = f" of {_some(identity.apps)}" if identity.apps else ""
        return f"no app chosen{choice} (--app-id)"
    foreign = identity.user_id not in {"", identity.owner}
    return f"app {identity.user_id}/{identity.app_id}" if foreign else f"app {identity.app_id}"


def _some(names: tuple[str, ...], most: int = 4) -> str:
    more = f", … ({len(names)})" if len(names) > most else ""
    return ", ".join(names[:most]) + more
