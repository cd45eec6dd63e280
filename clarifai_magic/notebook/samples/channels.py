"""The channels of samples: they hold the token, and find the session by it at each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from clarifai_magic.client.internals import internals
from clarifai_magic.client.registry import registry
from clarifai_magic.errors import NotSignedInError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from clarifai_magic.session import Session


def channel(token: str, user_id: str, app_id: str) -> TokenChannel:
    """A channel of the session with a token and these IDs."""
    whose = _Whose(token, user_id, app_id)
    _ = whose.session().channel  # which ensures that V2Stub can be made
    return TokenChannel(whose)


def aio_channel(token: str, user_id: str, app_id: str) -> AioTokenChannel:
    """The same for ``await``."""
    whose = _Whose(token, user_id, app_id)
    _ = whose.session().channel
    return AioTokenChannel(whose)


class _Whose:
    """Finds a session while it and the channel are open."""

    def __init__(self, token: str, user_id: str, app_id: str) -> None:
        self._token = token
        self._ids = user_id, app_id
        self.closed = False

    def session(self) -> Session:
        if self.closed:
            raise ValueError("This channel is closed.\nMake another, or run the sample again.")
        for session in registry:
            who = session.identity  # type: ignore[attr-defined]
            same = internals(session).token == self._token  # type: ignore[arg-type]
            if same and (who.user_id, who.app_id) == self._ids:
                return session  # type: ignore[return-value]
        raise NotSignedInError(
            "The session of this sample is closed.", "Run %clarifai_auth, then the sample again."
        )

    def aio(self) -> Any:
        from clarifai_magic.client.aio_channel import AuthorizedAioChannel

        session = self.session()
        return AuthorizedAioChannel(session, session._defaults)  # noqa: SLF001 - as its own stub


class _Method:
    """One method's callable, remade for each call, so that it keeps nothing of the session."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._make()(*arguments, **options)

    def with_call(self, *arguments: Any, **options: Any) -> Any:
        return self._make().with_call(*arguments, **options)

    def future(self, *arguments: Any, **options: Any) -> Any:
        return self._make().future(*arguments, **options)


class _TokenChannel:
    """What blocking and awaited channels share.

    Parameters
    ----------
    whose : _Whose
        Finds the session.
    channel : callable
        Returns one of the session's channels.
    """

    def __init__(self, whose: _Whose, channel: Callable[[], Any]) -> None:
        self._whose = whose
        self._channel = channel

    def _method(self, kind: str, *arguments: Any, **options: Any) -> _Method:
        return _Method(lambda: getattr(self._channel(), kind)(*arguments, **options))

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """The callable of a method with one request and one response."""
        return self._method("unary_unary", *arguments, **options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """The callable of a method with one request and many responses."""
        return self._method("unary_stream", *arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """The callable of a method with many requests and many responses."""
        return self._method("stream_stream", *arguments, **options)


class TokenChannel(_TokenChannel, grpc.Channel):  # type: ignore[misc]
    """A channel identified by its token.

    Parameters
    ----------
    whose : _Whose
        Finds the session.
    """

    def __init__(self, whose: _Whose) -> None:
        super().__init__(whose, lambda: whose.session().channel)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """The callable of a method with many requests and one response."""
        return self._method("stream_unary", *arguments, **options)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """Pass on `grpc.Channel.subscribe`."""
        self._channel().subscribe(callback, try_to_connect=try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """Pass on `grpc.Channel.unsubscribe`."""
        self._channel().unsubscribe(callback)

    def close(self) -> None:
        """Close this channel, and leave the session's own open; doing it twice is harmless."""
        self._whose.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class AioTokenChannel(_TokenChannel):
    """The same for ``await``, in any event loop.

    Parameters
    ----------
    whose : _Whose
        Finds the session.
    """

    def __init__(self, whose: _Whose) -> None:
        super().__init__(whose, whose.aio)

    async def close(self, _grace: float | None = None) -> None:
        """Close this channel, and leave the session's own open; doing it twice is harmless."""
        self._whose.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()
