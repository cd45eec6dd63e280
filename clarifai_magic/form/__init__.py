"""The login form, the last source: a key typed into it goes to the kernel and nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
import html
import threading
import uuid
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython import get_ipython
from IPython.display import display, update_display

from clarifai_magic.credentials import Credentials
from clarifai_magic.deployment import PUBLIC_BASE, find_deployment
from clarifai_magic.errors import (
    AppMismatchError,
    AppNotFoundError,
    BaseURLError,
    ClarifaiMagicError,
    NotSignedInError,
    RefusedError,
    ThrottledError,
    TLSError,
    UnreachableError,
    UserNotFoundError,
)
from clarifai_magic.form import choice
from clarifai_magic.form.view import View
from clarifai_magic.keys import clean_id, clean_key
from clarifai_magic.notebook import has_front_end
from clarifai_magic.session import DEFAULT_TIMEOUT, connect
from clarifai_magic.sources import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from clarifai_magic.session import Session
    from clarifai_magic.sources.place import PassedOver

ALTERNATIVE = "Clarifai sign-in form. Not visible? Run %clarifai_auth --from prompt"
CLOSED = "This Clarifai sign-in form is closed; %clarifai_auth opens another."

_AWAITABLE_SINCE = (7, 4)  # ipykernel: before, a cell that awaits keeps the form's messages out

_THREAD = "clarifai-form"
_HEARD = {"type": "heard"}
_CHECKING = {"type": "progress", "message": "Checking the key…"}
_LOOKING = {"type": "progress", "message": "Signed in. Looking for your organisations and apps…"}

_CHECKS: dict[str, Callable[[str], object]] = {
    "key": clean_key,
    "user_id": lambda text: clean_id("user ID", text),
    "app_id": lambda text: clean_id("app ID", text),
    "root_certificates": lambda path: find_deployment(PUBLIC_BASE, path),
    "base": find_deployment,
}
"""What each field must pass before anything is sent to the API."""

_CONCERNED: dict[type[ClarifaiMagicError], str] = {
    UserNotFoundError: "user_id",
    AppNotFoundError: "app_id",
    AppMismatchError: "app_id",
    ThrottledError: "",
    RefusedError: "key",
    TLSError: "root_certificates",
    UnreachableError: "base",
}
"""The field that an error from the API concerns; a subclass goes before its base."""

_LABELS = {
    "--root-certificates PATH": "CA certificates",
    "--root-certificates": "CA certificates",
    "--user-id": "User ID",
    "--app-id": "App ID",
    "--base": "API base URL",
}
"""What the options that errors speak of are called in the form."""


def login_form(  # noqa: PLR0913 - the fields of the form
    *,
    user_id: str = "",
    app_id: str = "",
    base: str = "",
    root_certificates: str = "",
    verified: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    retries: bool = True,
) -> LoginForm:
    """Make a form to sign in with; ``session = await login_form()`` waits until that is done.

    Parameters
    ----------
    user_id, app_id, base, root_certificates : str
        What the fields of these names hold at first.
    verified, timeout, retries
        As for `connect`.

    Returns
    -------
    LoginForm
        Shown when it is displayed or awaited. It leaves the notebook's names alone.

    Raises
    ------
    NotSignedInError
        If there is no front end in which somebody could fill it in.
    """
    if not has_front_end(get_ipython()):
        raise NotSignedInError(
            "Nobody can fill in a form here.",
            "Set CLARIFAI_PAT in the environment and call clarifai_magic.connect().",
        )
    prefilled = {
        "user_id": user_id,
        "app_id": app_id,
        "base": base,
        "root_certificates": root_certificates,
    }
    return LoginForm(
        prefilled, partial(connect, verified=verified, timeout=timeout, retries=retries)
    )


class LoginForm:
    """A form in a notebook that signs in with the key that is typed into it.

    Awaited, it gives the `Session`, once owner and app are chosen.

    Parameters
    ----------
    prefilled : mapping of str to str
        What the fields `user_id`, `app_id`, `base` and `root_certificates` hold at first.
    sign_in : callable
        `connect` with its options: makes the session from what was typed.
    passed_over : sequence of PassedOver
        The sources that were tried before.
    bind : callable
        Takes the session as soon as the key is verified, and again if other IDs were chosen;
        gives the names of the user's own that it replaced.
    tell : callable
        Takes the final session and the names that were replaced; gives the lines that stay in
        the notebook.
    """

    def __init__(
        self,
        prefilled: Mapping[str, str],
        sign_in: Callable[[Found], Session],
        *,
        passed_over: Sequence[PassedOver] = (),
        bind: Callable[[Session], list[str]] = lambda _session: [],
        tell: Callable[[Session, list[str]], Iterable[str]] = lambda session, _replaced: [
            f"Signed in as {session.summary()}"
        ],
    ) -> None:
        self._passed_over = tuple(passed_over)
        self._connect = sign_in
        self._bind = bind
        self._tell = tell
        self._display_id = uuid.uuid4().hex
        self._choice: dict[str, Any] = {}
        self._session: Session | None = None
        self._replaced: list[str] = []
        self._shown = False
        self._lines: list[str] = []  # what stays in the form's place, once it is closed
        self._on_close: list[Callable[[], object]] = []
        self._answer: Future[Session] = Future()
        self._answer.set_running_or_notify_cancel()  # interrupting who awaits it cancels nothing
        self._at_work = threading.Lock()
        self._changing = threading.RLock()
        self._view = View(prefilled=dict(prefilled), usual_base=_usual_base())
        self._view.on_msg(self._receive)

    def show(self) -> None:
        """Show the form, or what it has left."""
        self._shown = True
        data, metadata = _static(self._lines) if self._lines else self._view.bundle(ALTERNATIVE)
        display(data, metadata=metadata, raw=True, display_id=self._display_id)

    _ipython_display_ = show

    def __await__(self) -> Generator[Any, None, Session]:
        """Show the form and wait for the session."""
        from ipykernel._version import __version__, version_info

        if version_info < _AWAITABLE_SINCE:
            self.dismiss()
            raise ClarifaiMagicError(
                f"ipykernel {__version__} lets nobody fill in a form that a cell awaits.",
                "Run %clarifai_auth, and use clarifai_session in the next cell.",
            )
        if not self._answer.done():
            self.show()
        return asyncio.wrap_future(self._answer).__await__()

    def on_close(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the form goes off the page, whatever the reason."""
        self._on_close.append(callback)

    def dismiss(self) -> None:
        """Take the form off the page; who awaits it gets an error. Twice does no harm."""
        with self._changing:
            if not self._lines:
                self._close([CLOSED])
                self._answer.set_exception(NotSignedInError(CLOSED))

    def _close(self, lines: list[str]) -> None:
        """Put lines in the form's place, and leave nothing of it in the notebook."""
        self._lines = lines
        if self._shown:
            data, metadata = _static(lines)
            update_display(data, metadata=metadata, raw=True, display_id=self._display_id)
        self._view.close()
        for callback in self._on_close:
            callback()

    def _receive(self, _view: View, content: dict[str, Any], _buffers: object) -> None:
        """Answer at once, and work in a thread, so that the kernel stays responsive."""
        message = dict(content)
        content.clear()  # the kernel keeps the message for a while: the key must not be in it
        kind = message.pop("type")
        if kind == "ready":
            self._view.send(self._choice or (_CHECKING if self._at_work.locked() else _HEARD))
            return
        self._view.send(_HEARD)
        if self._at_work.acquire(blocking=False):
            # In this message's context, so that what comes back to the kernel comes this way too.
            work = contextvars.copy_context().run
            arguments = (self._work, kind, message)
            threading.Thread(target=work, args=arguments, name=_THREAD, daemon=True).start()

    def _work(self, kind: str, message: dict[str, Any]) -> None:
        acts: dict[str, Callable[..., dict[str, Any]]] = {
            "sign-in": self._sign_in,
            "apps": self._list_apps,
            "choose": self._choose,
        }
        reply = _complaint("", ClarifaiMagicError("Something unforeseen went wrong.", "Try again."))
        try:
            reply = acts[kind](**message)
        except ClarifaiMagicError as error:
            reply = _complaint(_concerned(error), error)
        finally:
            self._at_work.release()
            self._view.send(reply)

    def _sign_in(self, **fields: Any) -> dict[str, Any]:
        self._view.send(_CHECKING)
        for name, check in _CHECKS.items():
            try:
                check(fields[name])
            except ClarifaiMagicError as error:
                return _complaint(name, error)
        found = Found(Credentials(**fields, source="the form"), self._passed_over)
        session = self._connect(found)
        session.on_close(self.dismiss)
        if not self._take(session):
            session.close()
            return _HEARD
        self._view.send(_LOOKING)
        owners, apps = choice.owners(session), choice.first_apps(session)
        if found.credentials.app_id or (len(owners) == 1 and len(apps.ids) <= 1):
            return self._finish(session)
        self._choice = {
            "type": "choice",
            "words": f"{_signed_in(session)} Which app is this notebook about?",
            "owners": [asdict(owner) for owner in owners],
            "user_id": owners[0].id,
            **asdict(apps),
        }
        return self._choice

    def _list_apps(self, user_id: str, search: str, page: int) -> dict[str, Any]:
        if self._session is None:
            return _HEARD
        found = choice.apps(self._session, user_id, search, page)
        return {"type": "apps", "search": search, "page": page, **asdict(found)}

    def _choose(self, user_id: str, app_id: str) -> dict[str, Any]:
        if self._session is None:
            return _HEARD
        chosen = self._session.with_ids(user_id=user_id, app_id=app_id)
        chosen.on_close(self._session.close)
        return self._finish(chosen) if self._take(chosen) else _HEARD

    def _take(self, session: Session) -> bool:
        """Bind a session, unless the form was closed meanwhile."""
        with self._changing:
            if not self._lines:
                self._session = session
                self._replaced += self._bind(session)
            return not self._lines

    def _finish(self, session: Session) -> dict[str, Any]:
        lines: list[str] = []
        try:
            lines.extend(self._tell(session, self._replaced))
        except ClarifaiMagicError as error:
            lines.extend(str(error).splitlines())
        with self._changing:
            if not self._lines:
                self._close(lines)
                self._answer.set_result(session)
        return _HEARD


def _static(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Data and metadata of an output that holds lines and needs no widget."""
    markup = "<br>".join(map(html.escape, lines))
    return {"text/plain": "\n".join(lines), "text/html": f"<div>{markup}</div>"}, {}


def _complaint(field: str, error: ClarifaiMagicError) -> dict[str, Any]:
    """What the form says about an error, beside a field or, with none, beside the button."""
    message, hint = error.message, error.hint
    for option, label in _LABELS.items():
        message, hint = message.replace(option, label), hint.replace(option, label)
    return {"type": "error", "field": field, "message": message, "hint": hint}


def _concerned(error: ClarifaiMagicError) -> str:
    return next((field for kind, field in _CONCERNED.items() if isinstance(error, kind)), "")


def _signed_in(session: Session) -> str:
    who = session.identity.owner
    return f"Signed in as {who}." if who else "Signed in."


def _usual_base() -> str:
    try:
        return find_deployment().base
    except BaseURLError:
        return PUBLIC_BASE
