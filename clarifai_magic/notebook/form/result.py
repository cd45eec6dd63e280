"""A form's result: the session, to await, to read, or for callbacks."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import MethodType
from typing import TYPE_CHECKING

from clarifai_magic.api.text import printable
from clarifai_magic.client.internals import internals
from clarifai_magic.concurrency import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clarifai_magic.session import Session


class Result:
    """A form's session, once owner and app are chosen.

    Attributes
    ----------
    answer : Future
        To await.
    """

    def __init__(self) -> None:
        self.answer: Future[Session] = Future()
        self.answer.set_running_or_notify_cancel()  # interrupting an awaiting cell cancels nothing
        self._session: Session | None = None
        self._callbacks: list[Callable[[Session], object]] = []
        self._changing = Lock()

    @property
    def session(self) -> Session | None:
        """The session; None before sign-in and after it is closed."""
        session = self._session
        return None if session is None or internals(session).closed else session

    def when_there(self, callback: Callable[[Session], object]) -> None:
        """Call `callback` once with the session; now if it is open.

        Raises
        ------
        TypeError
            If it cannot be called.
        """
        if not callable(callback):
            kind = type(callback).__name__
            raise TypeError(f"on_sign_in takes a function that takes the Session, not a {kind}.")
        with self._changing:
            if any(_same(callback, each) for each in self._callbacks):
                return
            self._callbacks.append(callback)
            is_late = self._session is not None
        if is_late and (session := self.session) is not None:
            callback(session)

    def settle(self, session: Session) -> Iterator[str]:
        """Give the session to all; return a line for each failing callback."""
        with self._changing:
            self._session = session
            callbacks = list(self._callbacks)
        self.answer.set_result(session)
        for callback in callbacks:
            if not internals(session).closed:  # by the previous one
                yield from _call(callback, session)

    def fail(self, error: Exception) -> None:
        """Raise an error in awaiting code: there will be no session."""
        self.answer.set_exception(error)


def _same(callback: object, other: object) -> bool:
    """Whether two callbacks are the same; each access to an object's method makes a new one."""
    return callback is other or (isinstance(callback, MethodType) and callback == other)


def _call(callback: Callable[[Session], object], session: Session) -> Iterator[str]:
    try:
        callback(session)
    except BaseException as error:  # noqa: BLE001 - SystemExit, too: the sign-in stands
        # As Python does with errors that end a thread: the traceback, on stderr.
        caught = (type(error), error, error.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(caught))
        told = f"{type(error).__name__}: {printable(str(error))}".removesuffix(": ")
        yield f"Note: {_name(callback)}, to be called at sign-in, raised {told}"


def _name(callback: object) -> str:
    return getattr(callback, "__qualname__", type(callback).__qualname__)
