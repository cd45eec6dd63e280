"""Signed-in clients of the package openai that do not hold the key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from clarifai_magic.api.proxies import proxy_for
from clarifai_magic.bridge.upstream import tls
from clarifai_magic.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import openai

    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.bridge.auth import Auth

PATH = "/v2/ext/openai/v1"


def client(deployment: Deployment, auth: Auth, token: str, **options: Any) -> openai.OpenAI:
    """A synchronous client.

    Parameters
    ----------
    deployment : Deployment
        Its deployment.
    auth : Auth
        Puts the key into requests.
    token : str
        The client's API key.
    **options
        For the constructor.

    Raises
    ------
    CallError
        If openai is not installed.
    """
    package = _installed()
    http = _http(package.DefaultHttpxClient)
    inner = http.HTTPTransport(**_ways(http, deployment))
    made: openai.OpenAI = package.OpenAI(
        base_url=deployment.base + PATH,
        api_key=token,
        http_client=package.DefaultHttpxClient(transport=_transport(http, inner, auth)),
        **options,
    )
    return made


def async_client(
    deployment: Deployment, auth: Auth, token: str, **options: Any
) -> openai.AsyncOpenAI:
    """An async client; parameters and errors are those of `client`."""
    package = _installed()
    http = _http(package.DefaultAsyncHttpxClient)
    inner = http.AsyncHTTPTransport(**_ways(http, deployment))
    made: openai.AsyncOpenAI = package.AsyncOpenAI(
        base_url=deployment.base + PATH,
        api_key=token,
        http_client=package.DefaultAsyncHttpxClient(transport=_async_transport(http, inner, auth)),
        **options,
    )
    return made


def _installed() -> Any:
    try:
        import openai
    except ModuleNotFoundError:
        raise CallError(
            "The package openai is not installed.", "Run %pip install openai."
        ) from None
    return openai


def _http(default_client: type) -> Any:
    """The package that openai's client uses: httpx, or httpx2 since openai 3."""
    return sys.modules[default_client.__bases__[0].__module__.partition(".")[0]]


def _ways(http: Any, deployment: Deployment) -> dict[str, Any]:
    proxy = proxy_for(deployment)
    return {
        "verify": tls(deployment, "http/1.1") if deployment.secure else False,
        "proxy": http.Proxy(proxy.base, headers=proxy.headers) if proxy else None,
        # Like openai's own; many streams may be open at a time.
        "limits": http.Limits(max_connections=1000, max_keepalive_connections=100),
    }


# The transport sends a copy: the caller's request, its exceptions and all objects' attributes do
# not have the key, which is why it lives in closures here, not in attributes. The network stream
# refers to the copy: closing the response releases it.


def _transport(http: Any, inner: Any, auth: Auth) -> Any:
    def answered(request: Any) -> Any:
        return inner.handle_request(auth(_copy(http, request)))

    class Transport(http.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            response = _bare(lambda: answered(request))
            stream = _stream(http, response.stream)
            return _passed_on(http, response, stream)

        def close(self) -> None:
            inner.close()

    return Transport()


def _stream(http: Any, stream: Any) -> Any:
    class Stream(http.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            parts = iter(stream)
            while part := _bare(lambda: next(parts, b"")):
                yield part

        def close(self) -> None:
            nonlocal stream
            read, stream = stream, http.ByteStream(b"")
            _bare(read.close)

    return Stream()


def _async_transport(http: Any, inner: Any, auth: Auth) -> Any:
    async def answered(request: Any) -> Any:
        return await inner.handle_async_request(auth(_copy(http, request)))

    class Transport(http.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            response = await _bare_awaited(lambda: answered(request))
            stream = _async_stream(http, response.stream)
            return _passed_on(http, response, stream)

        async def aclose(self) -> None:
            await inner.aclose()

    return Transport()


def _async_stream(http: Any, stream: Any) -> Any:
    class Stream(http.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> Any:
            parts = stream.__aiter__()
            while part := await _bare_awaited(lambda: anext(parts, b"")):
                yield part

        async def aclose(self) -> None:
            nonlocal stream
            read, stream = stream, http.ByteStream(b"")
            await _bare_awaited(read.aclose)

    return Stream()


def _copy(http: Any, request: Any) -> Any:
    return http.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )


def _passed_on(http: Any, response: Any, stream: Any) -> Any:
    return http.Response(
        response.status_code,
        headers=response.headers,
        stream=stream,
        extensions=response.extensions,
    )


def _bare(call: Callable[[], Any]) -> Any:
    """The outcome of a call; an exception loses the frames and causes that hold the key."""
    try:
        return call()
    except BaseException as error:  # noqa: BLE001 - an interrupt has frames, too
        bare = error.with_traceback(None)
    bare.__cause__ = bare.__context__ = None
    raise bare


async def _bare_awaited(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await call()
    except BaseException as error:  # noqa: BLE001 - an interrupt has frames, too
        bare = error.with_traceback(None)
    bare.__cause__ = bare.__context__ = None
    raise bare
