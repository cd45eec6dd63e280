"""connect(): verified credentials become a Session with a stub that is ready to use."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from clarifai_grpc.channel import clarifai_channel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2, status_pb2
from google.protobuf.struct_pb2 import Struct

from clarifai_magic.channel import AuthorisedChannel
from clarifai_magic.connection import Connection
from clarifai_magic.credentials import Credentials
from clarifai_magic.deployment import find_deployment
from clarifai_magic.identity import unverified, verify
from clarifai_magic.live import live
from clarifai_magic.refusals import RefusalWatch
from clarifai_magic.retries import Retries
from clarifai_magic.secret import Unpicklable
from clarifai_magic.sources import Found, find_credentials
from clarifai_magic.wire import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import grpc
    from typing_extensions import Self

    from clarifai_magic.deployment import Deployment
    from clarifai_magic.identity import Identity
    from clarifai_magic.mapping import Answers
    from clarifai_magic.portal import Portal
    from clarifai_magic.secret import Metadata
    from clarifai_magic.workers import WorkerSession

DEFAULT_TIMEOUT = 10.0

_Kind = TypeVar("_Kind", bound="Session")


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
    connection : Connection
        The channels to it.
    closing : ExitStack
        What the session gives back at its end.
    retries : bool
        Whether calls are made again after throttling or an outage.

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
    retries : Retries
        Makes calls again, and counts them.
    lend : callable, optional
        Set by the notebook: gives this session the flat names until what it returns is called.
    kept : list of str
        What holds the key after logout, and how to remove it.
    """

    def __init__(  # noqa: PLR0913 - a session's parts
        self,
        found: Found,
        identity: Identity,
        deployment: Deployment,
        connection: Connection,
        closing: ExitStack,
        *,
        retries: bool = True,
    ) -> None:
        self._connection = connection
        self.found = found
        self.identity = identity
        self.deployment = deployment
        self.metadata: Metadata = found.credentials.metadata
        self.userDataObject = resources_pb2.UserAppIDSet(
            user_id=identity.user_id, app_id=identity.app_id
        )
        self.watch = RefusalWatch(identity)
        self.retries = Retries(wanted=retries)
        self._terms = Terms(self.metadata, self.userDataObject, self.watch, self.retries)
        self.channel = AuthorisedChannel(connection, self._terms)
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

    @cached_property
    def aio_stub(self) -> service_pb2_grpc.V2Stub:
        """The generated stub for ``await``, in any event loop; its calls are authorised, too."""
        from clarifai_magic.aio_channel import AuthorisedAioChannel

        return make_stub(AuthorisedAioChannel(self._connection, self._terms))

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
        made = [self.__dict__[name] for name in ("stub", "aio_stub") if name in self.__dict__]
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
        identity = self.identity._replace(
            user_id=self.identity.user_id if user_id is None else user_id,
            app_id=self.identity.app_id if app_id is None else app_id,
        )
        return self.derived(Session, identity)

    def derived(self, kind: type[_Kind], identity: Identity) -> _Kind:
        """A session of that kind on this session's connection, which ends with it."""
        return kind(
            self.found,
            identity,
            self.deployment,
            self._connection,
            ExitStack(),
            retries=self.retries.wanted,
        )

    def for_workers(self) -> WorkerSession:
        """The same session for other processes: it pickles, with the key in plain text.

        A process that unpickles it opens a connection of its own, one for all copies that it
        gets. For multiprocessing, joblib, concurrent.futures, ipyparallel and Dask.
        """
        from clarifai_magic.workers import for_workers

        return for_workers(self)

    def map(  # noqa: PLR0913 - what differs from map to map
        self,
        method: str,
        items: Iterable[Any],
        *,
        request: Any = None,
        batch: int = 128,
        in_flight: int = 64,
        timeout: float | None = None,
        progress: bool = True,
        client: Any = None,
    ) -> Answers:
        """Call one method for many items at the same time, and wait for all.

        Throttled calls and, where it does no harm, lost ones are made again. An item that fails
        does not stop the others. An interrupt stops it and gives what is done.

        Parameters
        ----------
        method : str
            Such as ``PostModelOutputs``: a method with one request and one response.
        items : iterable of message
            Requests of the method; or what one of its requests takes many of, such as Inputs,
            which are then sent `batch` at a time.
        request : message, optional
            What all requests have in common, such as the model's ID.
        batch : int
            Items in one request, at most 128.
        in_flight : int
            Calls at the same time; on a cluster, for each of its threads.
        timeout : float, optional
            Seconds for each call, its retries included.
        progress : bool
            Whether a progress bar is shown.
        client : distributed.Client, optional
            A Dask cluster that makes the calls.

        Returns
        -------
        Answers
            One for each item and in their order; see its `failures` and `resume`.

        Raises
        ------
        UnknownMethodError, ItemsError
            If there is no such method, or it does not take the items.
        """
        from clarifai_magic.mapping import Answers
        from clarifai_magic.parts import Plan

        answers = Answers(
            self,
            Plan(method, list(items), request, batch),
            in_flight=in_flight,
            timeout=timeout,
            progress=progress,
            client=client,
        )
        return answers.resume()

    def amap(  # noqa: PLR0913 - what differs from map to map
        self,
        method: str,
        items: Iterable[Any],
        *,
        request: Any = None,
        batch: int = 128,
        in_flight: int = 64,
        timeout: float | None = None,
        progress: bool = True,
    ) -> Answers:
        """`map` for ``await``; cancelling that keeps what is done in the Answers.

        Parameters and result are those of `map`.
        """
        from clarifai_magic.mapping import Answers
        from clarifai_magic.parts import Plan

        return Answers(
            self,
            Plan(method, list(items), request, batch),
            in_flight=in_flight,
            timeout=timeout,
            progress=progress,
        )

    @property
    def portal(self) -> Portal:
        """The connection's own event loop, for what waits without one."""
        return self._connection.portal

    def lives_on(self, other: Session) -> bool:
        """Whether this session uses the connection of the other one."""
        return self._connection is other._connection

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
    retries: bool = True,
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
    retries : bool
        Whether the session's calls are made again after throttling (status 11005) and, if they
        change nothing, after an outage (UNAVAILABLE).

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
        connection = Connection(deployment, retries=retries)
        undo.callback(connection.close)
        identity = (
            verify(connection.channel, credentials, deployment, timeout)
            if verified
            else unverified(credentials)
        )
        return Session(
            found, identity, deployment, connection, closing=undo.pop_all(), retries=retries
        )


def logout() -> None:
    """Close every session of this process and undo what each did to the notebook."""
    for session in list(live):
        session.close()


def make_stub(channel: grpc.Channel) -> service_pb2_grpc.V2Stub:
    """The generated stub over a channel."""
    # V2Stub asks a module global, set by the last channel made, how to read responses; a JSON
    # channel made by somebody else since would make it read gRPC's wrongly.
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
