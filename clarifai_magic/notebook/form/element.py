"""The form as an element of a marimo notebook: cells that use it run again when it signs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import marimo as mo
from marimo._runtime.cell_lifecycle_item import CellLifecycleItem
from marimo._runtime.commands import UpdateUIElementCommand

from clarifai_magic import marimo, viewers
from clarifai_magic.client.internals import internals
from clarifai_magic.concurrency import Lock
from clarifai_magic.errors import ClarifaiMagicError
from clarifai_magic.notebook.form.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from clarifai_magic.notebook.form import LoginForm
    from clarifai_magic.session import Session


class Element(mo.ui.anywidget):  # type: ignore[misc]
    """A sign-in form as an element of marimo's, which has a session for its value.

    It lasts until the cell that has made it runs again, or the viewer leaves; its session ends
    then, too. Where a session ends before, the form is there to sign in with once more.

    Parameters
    ----------
    make : callable
        Makes a form in a view.
    """

    def __init__(self, make: Callable[[View], LoginForm]) -> None:
        self._make = make
        self._place = View()
        self._signed_in: list[Callable[[Session], object]] = []
        self._closed = False
        self._changing = Lock()
        self._again = marimo.carried(self._ask_again)  # whichever thread ends a session
        self._form = make(self._place)
        super().__init__(self._place)
        self._kernel = marimo.kernel()
        marimo.runtime().cell_lifecycle_registry.add(_InCell(self))
        if (viewer := viewers.current()) is not None:
            viewer.when_gone(self.close)
        self._form.when_answered(self._answered)

    @property
    def session(self) -> Session | None:
        """The session; None before somebody has signed in, and after it has ended."""
        return self._form.session

    @property
    def value(self) -> Session | None:
        """The same as `session`."""
        return self._form.session

    def on_sign_in(self, callback: Callable[[Session], object]) -> None:
        """Have `callback` called with each `Session` that the form brings, the present one now.

        Parameters
        ----------
        callback : callable
            As for `LoginForm.on_sign_in`.
        """
        self._form.on_sign_in(callback)
        self._signed_in.append(callback)

    def close(self) -> None:
        """End the form and its session; doing it twice is harmless."""
        with self._changing:
            self._closed = True
        self._form.dismiss()
        if (session := self._form.session) is not None:
            session.close()
        self._place.close()

    def _answered(self, answer: Future[Session]) -> None:
        """Go on after a form has brought a session, or was closed without one."""
        if answer.exception() is not None:
            self._again()
            return
        internals(answer.result()).on_close(self._again)
        self._changed()

    def _ask_again(self) -> None:
        with self._changing:
            if self._closed:
                return
            self._form = self._make(self._place)
        for callback in self._signed_in:
            self._form.on_sign_in(callback)
        self._form.when_answered(self._answered)
        self._place.lines = []
        self._changed()

    def _changed(self) -> None:
        """Have the cells that use the element run again, as if its value had come from the page."""
        change = UpdateUIElementCommand([self._id], [self._args.initial_value])
        self._kernel.enqueue_control_request(change)

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise ClarifaiMagicError(
            "A cell of marimo cannot wait for its form.",
            "Use form.session in another cell, which runs again once somebody has signed in.",
        )

    def __deepcopy__(self, _memo: object) -> NoReturn:
        raise ClarifaiMagicError(
            "There is one of each sign-in form: it cannot be put into mo.ui.array and the like.",
            "Show it by itself, or with mo.vstack.",
        )


class _InCell(CellLifecycleItem):  # type: ignore[misc]
    """Ends a form when the cell that has made it is to run again, or is deleted."""

    def __init__(self, form: Element) -> None:
        self._form = form

    def create(self, context: object) -> None:
        """Nothing: the form is there."""

    def dispose(self, context: object, deletion: bool) -> bool:  # noqa: ARG002 - marimo's own
        self._form.close()
        return True
