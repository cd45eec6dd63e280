"""The session that users get: the client's, with what `bulk` and `bridge` add to it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from clarifai_magic import marimo, viewers
from clarifai_magic.client.internals import internals
from clarifai_magic.client.session import BaseSession
from clarifai_magic.client.signing_in import DEFAULT_TIMEOUT, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from openai import AsyncOpenAI, OpenAI

    from clarifai_magic.bridge.auth import Auth
    from clarifai_magic.bridge.broker import Broker
    from clarifai_magic.bulk.mapping import Answers
    from clarifai_magic.client.internals import Internals
    from clarifai_magic.credentials.bundle import Credentials
    from clarifai_magic.credentials.sources import Found
    from clarifai_magic.worker_session import WorkerSession


class Session(BaseSession):
    """A signed-in connection to Clarifai.

    Made by `connect`. As a context manager, it closes at the end of the block; a notebook's session
    instead takes over the notebook's names for the block.

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

    @property
    def broker(self) -> Broker:
        """A server on this machine for other clients: its `base` and `token` stand for the session.

        It starts on the first use of its `base`, and ends with the session; a session made by
        `with_ids` shares its parent's.

        Raises
        ------
        NotSignedInError
            If the session is closed.
        """
        parts = internals(self)
        parts.require_open()
        return parts.shared(_broker)

    @property
    def auth(self) -> Auth:
        """For ``auth=`` of requests and httpx: the key, only on requests to the session's base."""
        from clarifai_magic.bridge.auth import Auth

        parts = internals(self)

        def key() -> str:
            parts.require_open()
            return parts.found.credentials.key

        return Auth(parts.deployment, key)

    def openai(self, **options: Any) -> OpenAI:
        """A client of the package openai for Clarifai's models, which does not hold the key.

        Parameters
        ----------
        **options
            For the constructor, such as ``timeout`` and ``max_retries``.

        Returns
        -------
        openai.OpenAI

        Raises
        ------
        CallError
            If openai is not installed.
        """
        from clarifai_magic.bridge import openai_clients

        at = internals(self).deployment
        return openai_clients.client(at, self.auth, internals(self).token, **options)

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        """The same for ``await``: an `openai.AsyncOpenAI`."""
        from clarifai_magic.bridge import openai_clients

        at = internals(self).deployment
        return openai_clients.async_client(at, self.auth, internals(self).token, **options)

    def for_workers(
        self, *, scopes: Iterable[str] | None = None, expires: float | None = None
    ) -> WorkerSession:
        """The same session for other processes: it pickles, with a key in plain text.

        A process that unpickles it opens its own connection, one for all copies that it gets.
        For multiprocessing, joblib, concurrent.futures, ipyparallel, Dask, Ray and Spark.

        Parameters
        ----------
        scopes : iterable of str, optional
            The workers get an API key of the session's app with these scopes, such as ``Predict``
            and ``Models:Get``, instead of the session's own key. It is made now, and deleted at
            logout, or when what is returned is closed, or at the end of this process. An API key
            reaches its app alone.
        expires : float, optional
            Seconds until that key ends in any case; a day by default.

        Returns
        -------
        WorkerSession
            It ends with this session.

        Raises
        ------
        NotSignedInError
            If the session is closed.
        CallError, ScopeError, RefusedError, UnreachableError
            If no such key can be made, and why.
        """
        from clarifai_magic.bulk.workers import HANDED_OVER, expires_alone
        from clarifai_magic.worker_session import WorkerSession

        parts = internals(self)
        parts.require_open()
        if scopes is not None:
            from clarifai_magic.bulk.worker_keys import keys_of

            return keys_of(self).session(WorkerSession, self, scopes, expires)
        if expires is not None:
            raise expires_alone()
        if HANDED_OVER not in parts.kept:
            parts.kept.append(HANDED_OVER)
        return self._child(WorkerSession, self.identity)

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
        insecure: bool = False,
        scopes: Iterable[str] | None = None,
        expires: float | None = None,
        save: str | Path | None = None,
    ) -> Answers:
        """Call one method for many items at the same time, and wait for all.

        Throttled calls are retried and, if that is harmless, lost ones too. An item that fails
        does not stop the others. An interrupt stops the map and returns what is done.

        Parameters
        ----------
        method : str
            Such as ``PostModelOutputs``: a method with one request and one response.
        items : iterable of message, or a column of pandas, polars or Arrow
            Any number, taken as they come. Requests of the method; or what one request takes many
            of, such as Inputs, which `map` then sends `batch` at a time. Of a column, texts
            become Inputs with that text, and bytes Inputs with that image.
        request : message, optional
            What all requests have in common, such as the model's ID.
        batch : int
            Items in one request, at most 128; fewer go into one if they are large.
        in_flight : int
            Concurrent calls, at most; on a cluster, for each of its threads.
        timeout : float, optional
            Seconds for each call, its retries included.
        progress : bool
            Whether to show a progress bar.
        client : distributed.Client, pyspark.sql.SparkSession or the module ray, optional
            A cluster that makes the calls; its workers have this package.
        insecure : bool
            Whether the workers' key may go over an unencrypted network.
        scopes : iterable of str, optional
            The workers get an API key of the session's app with these scopes, made for this map
            and deleted at its end, instead of the session's own key; see `for_workers`.
        expires : float, optional
            Seconds until that key ends in any case; a day by default.
        save : str or Path, optional
            A new file for the answers as they arrive; see `Answers.save`. If this process is
            killed, `resume` continues from it.

        Returns
        -------
        Answers
            One for each item and in their order; see its `failures` and `resume`.

        Raises
        ------
        UnknownMethodError, ItemsError
            If there is no such method, or it does not take the items; if `client` is none.
        CallError, ScopeError, RefusedError, UnreachableError
            If its workers must not, or cannot, have such a key.
        """
        from clarifai_magic.bulk.mapping import begun

        answers = begun(
            self,
            method,
            items,
            request=request,
            batch=batch,
            save=save,
            in_flight=in_flight,
            timeout=timeout,
            progress=progress,
            client=client,
            insecure=insecure,
            scopes=scopes,
            expires=expires,
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
        save: str | Path | None = None,
    ) -> Answers:
        """`map` for ``await``; cancelling it keeps what is done in the Answers.

        Parameters and result are those of `map`.
        """
        from clarifai_magic.bulk.mapping import begun

        return begun(
            self,
            method,
            items,
            request=request,
            batch=batch,
            save=save,
            in_flight=in_flight,
            timeout=timeout,
            progress=progress,
        )

    def resume(  # noqa: PLR0913 - what differs from run to run
        self,
        path: str | Path,
        items: Iterable[Any] | None = None,
        *,
        in_flight: int = 64,
        timeout: float | None = None,
        progress: bool = True,
        client: Any = None,
        insecure: bool = False,
        scopes: Iterable[str] | None = None,
        expires: float | None = None,
    ) -> Answers:
        """Continue a map that ``map(…, save=path)`` or ``answers.save(path)`` saved.

        Calls that change something and were in flight when the process ended are not repeated
        by themselves: they are in `failures`, with `maybe_done`, and ``answers.resume()``
        repeats them.

        Parameters
        ----------
        path : str or Path
            Of the file, which describes the map and receives further answers.
        items : iterable of message, optional
            The same as in the saved map, in the same order. Without them nothing is called, and
            the saved answers can be read.
        in_flight, timeout, progress, client, insecure, scopes, expires
            As for `map`.

        Returns
        -------
        Answers

        Raises
        ------
        ItemsError
            If the file has no saved map, or the items are not those of the map.
        CallError
            If the file cannot be used, or is in use by another process.
        """
        from clarifai_magic.bulk.mapping import resumed

        limits = {"in_flight": in_flight, "timeout": timeout, "progress": progress}
        terms = {"insecure": insecure, "scopes": scopes, "expires": expires}
        answers = resumed(self, path, items, client=client, **limits, **terms)
        return answers if items is None else answers.resume()


def _broker(parts: Internals) -> Broker:
    from clarifai_magic.bridge.broker import Broker

    # Not of the session, which would then live as long as the server.
    credentials = parts.found.credentials
    return Broker(parts.deployment, parts.token, lambda: credentials.key)


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
        Whether to check with the API what the key is and whether the IDs match it.
    timeout : float
        Seconds for the verification.
    retries : bool
        Whether the session's calls are retried after throttling (status 11005) and, if they
        change nothing, after an outage (UNAVAILABLE).

    Returns
    -------
    Session

    Raises
    ------
    ClarifaiMagicError
        If no key is found, or it does not work; see `clarifai_magic.errors`.
    """
    _guarded()
    session = sign_in(
        lambda: Session, credentials, verified=verified, timeout=timeout, retries=retries
    )
    if (viewer := viewers.current()) is not None:
        viewer.when_gone(partial(_close, ref(session)))
    return session


def _guarded() -> None:
    """Have keys masked wherever output is shown, whether or not a magic has signed in."""
    if marimo.runtime() is not None:
        from clarifai_magic.redaction.marimo import guard

        guard()
    elif viewers.served():
        from clarifai_magic.redaction import dashboards

        dashboards.guard()
    elif "IPython" in sys.modules:
        from IPython import get_ipython

        if (shell := get_ipython()) is not None:
            # Its guard is the extension's, which `%config` and `%unload_ext` know.
            shell.extension_manager.load_extension("clarifai_magic")


def _close(reference: ref[Session]) -> None:
    if (session := reference()) is not None:
        session.close()
