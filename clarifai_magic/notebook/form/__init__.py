"""The sign-in form, the last source: a key typed into it goes only to the kernel."""

from __future__ import annotations

import asyncio
import html
import threading
import uuid
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from clarifai_magic import viewers
from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.client.internals import internals, summary
from clarifai_magic.client.signing_in import DEFAULT_TIMEOUT
from clarifai_magic.concurrency import Lock
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import Found
from clarifai_magic.errors import BaseURLError, ClarifaiMagicError, NotSignedInError
from clarifai_magic.notebook import hosts
from clarifai_magic.notebook.form import choice
from clarifai_magic.notebook.form.fields import complaint, first_wrong
from clarifai_magic.notebook.form.result import Result
from clarifai_magic.notebook.form.view import View
from clarifai_magic.notebook.invitation import ANOTHER, FILL_IN, PROMPT
from clarifai_magic.session import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from clarifai_magic.credentials.sources.base import Skipped
    from clarifai_magic.notebook.form.element import Element
    from clarifai_magic.notebook.hosts.hearing import Silence
    from clarifai_magic.session import Session

ALTERNATIVE = "Clarifai sign-in form. Not visible? Run %clarifai_auth --from prompt"
WATCHED = (
    "Somebody is signing this notebook in to Clarifai: whoever ran this cell. "
    "To do it yourself, run the cell."
)
SHARED = "Everybody who shares this notebook's kernel uses this sign-in."
CLOSED = "This Clarifai sign-in form is closed; %clarifai_auth opens another."

_AWAITABLE_SINCE = (7, 4)  # ipykernel: earlier ones block the form's messages while a cell awaits

_THREAD = "clarifai-form"
_HEARD = {"type": "heard"}
_CHECKING = {"type": "progress", "message": "Checking the key…"}
_LOOKING = {"type": "progress", "message": "Signed in. Looking for your organisations and apps…"}


def login_form(  # noqa: PLR0913 - the fields of the form
    *,
    user_id: str = "",
    app_id: str = "",
    base: str = "",
    root_certificates: str = "",
    verified: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    retries: bool = True,
) -> LoginForm | Element:
    """Make a form to sign in with; ``session = await login_form()`` waits until that is done.

    Parameters
    ----------
    user_id, app_id, base, root_certificates : str
        The initial values of these fields.
    verified, timeout, retries
        As for `connect`.

    Returns
    -------
    LoginForm
        It shows when displayed or awaited. It leaves the notebook's names alone. In marimo it
        is an element: a cell that uses its `session` runs again when that comes or ends.

    Raises
    ------
    NotSignedInError
        If it would not be visible.
    """
    host = hosts.current()
    if host.asks is not hosts.Asks.FORM:
        raise NotSignedInError("Nobody can fill in a form here.", host.instead)
    prefilled = {
        "user_id": user_id,
        "app_id": app_id,
        "base": base,
        "root_certificates": root_certificates,
    }
    sign_in = partial(connect, verified=verified, timeout=timeout, retries=retries)
    if host.reactive:
        from clarifai_magic.notebook.form.element import Element

        return Element(lambda view: LoginForm(prefilled, sign_in, view=view))
    return LoginForm(prefilled, sign_in)


class LoginForm:
    """A form in a notebook that signs in with the typed key.

    Awaited, it gives the `Session`, once owner and app are chosen; so do `session` and
    `on_sign_in`.

    Parameters
    ----------
    prefilled : mapping of str to str
        The initial values of `user_id`, `app_id`, `base` and `root_certificates`.
    sign_in : callable
        `connect` with its options: makes the session from the typed values.
    skipped : sequence of Skipped
        The sources tried before.
    bind : callable
        Takes the session as soon as the key is verified, and again if other IDs are chosen;
        returns the user's own names that it replaced.
    tell : callable
        Takes the final session and the replaced names; returns the lines that stay in the
        notebook.
    view : View, optional
        Its place on the page; by default one of its own.
    """

    def __init__(  # noqa: PLR0913 - what differs between a magic's form and others
        self,
        prefilled: Mapping[str, str],
        sign_in: Callable[[Found], Session],
        *,
        skipped: Sequence[Skipped] = (),
        bind: Callable[[Session], list[str]] = lambda _session: [],
        tell: Callable[[Session, list[str]], Iterable[str]] = lambda session, _replaced: [
            f"Signed in as {summary(session)}"
        ],
        view: View | None = None,
    ) -> None:
        self._passed_over = tuple(skipped)
        self._connect = sign_in
        self._bind = bind
        self._tell = tell
        self._display_id = uuid.uuid4().hex
        self._choice: dict[str, Any] = {}
        self._session: Session | None = None
        self._replaced: list[str] = []
        self._is_shown = False
        self._views: set[str] = set()  # those on pages, as far as known
        self._seen = False
        self._silence: Silence | None = None
        self._invites = False  # whether a line replaces the form
        self._shared = False  # whether other people see the notebook
        self._lines: list[str] = []  # what replaces the form, once it is closed
        self._on_close: list[Callable[[], object]] = []
        self._result = Result()
        self._at_work = threading.Lock()
        self._changing = Lock()
        fields = {"prefilled": dict(prefilled), "usual_base": _usual_base()}
        self._owns_view = view is None
        self._view = view or View(**fields)
        self._view.shows = self
        for name, value in fields.items():
            self._view.set_trait(name, value)
        self._view.on_msg(self._receive)
        self._host = hosts.current()
        self._asker = self._host.sender()
        self._host.hide_key_arriving(self._view.model_id)
        if self._host.viewer is not None:
            self._host.viewer.when_gone(self._end)

    @property
    def widget(self) -> View:
        """The form as a widget, for layouts and dashboards: what it leaves is shown there, too."""
        self._require_own_viewer()
        return self._view

    def __panel__(self) -> View:
        """Panel's hook."""
        return self.widget

    def show(self) -> None:
        """Show the form, or what it left."""
        self._require_own_viewer()
        self._is_shown = True
        self._asker = self._host.sender()
        self._host.show(*self._output(), self._display_id)
        if not (self._seen or self._lines or self._silence):
            self._silence = self._host.on_silence(self._give_way)

    def _output(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata to show now."""
        if self._lines:
            return _static(self._lines)
        if self._invites:
            return _static([self._host.unseen])
        return self._view.bundle(WATCHED if self._shared else ALTERNATIVE)

    def _redraw(self) -> None:
        if self._is_shown:
            self._host.replace(*self._output(), self._display_id)

    def _give_way(self) -> None:
        """Replace the form with a line, because no page has drawn it."""
        with self._changing:
            if not (self._seen or self._lines):
                self._invites = True
                self._redraw()

    def _appear(self, view: str) -> None:
        """Register a view, and return if a line had replaced the form."""
        with self._changing:
            self._views.add(view)
            self._seen = True
            if self._silence is not None:
                self._silence.stop()
            if self._invites:
                self._invites = False
                self._redraw()

    def _disappear(self, view: str) -> None:
        with self._changing:
            self._views.discard(view)
            self._vacate()

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
        if not self._result.answer.done():
            self.show()
            if self._silence is not None:
                self._silence.wait()  # this kernel receives messages while the cell waits
        return asyncio.wrap_future(self._result.answer).__await__()

    @property
    def session(self) -> Session | None:
        """The session, once owner and app are chosen; None before, and after it is closed."""
        self._require_own_viewer()
        return self._result.session

    def on_sign_in(self, callback: Callable[[Session], object]) -> None:
        """Call `callback` with the `Session` once it is open; at once if it already is.

        Parameters
        ----------
        callback : callable
            Called once, from the form's own thread; registered twice, it is called once all the
            same. If it raises, the form says so and the sign-in stands; an error of one that is
            called at once is the caller's.

        Raises
        ------
        TypeError
            If it cannot be called.
        """
        self._require_own_viewer()
        self._result.when_there(callback)

    def when_answered(self, callback: Callable[[Future[Session]], object]) -> None:
        """Have `callback` called once there is a session, or it is known that there will be none.

        Parameters
        ----------
        callback : callable
            Takes the answer: its result is the session, or it has an exception.
        """
        self._result.answer.add_done_callback(callback)

    @property
    def to_do(self) -> str:
        """What to do to sign in."""
        if self._seen and not self._views:  # its output was cleared, or its cell deleted
            return ANOTHER
        return PROMPT if self._invites else FILL_IN

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the form leaves the page, for any reason."""
        self._on_close.append(callback)

    def dismiss(self) -> None:
        """Take the form off the page; who awaits it gets an error. Doing it twice is harmless."""
        with self._changing:
            if not self._lines:
                self._close([CLOSED])
                self._result.fail(NotSignedInError(CLOSED))

    def _close(self, lines: list[str]) -> None:
        """Replace the form with lines, and leave nothing of it in the notebook."""
        self._leave(lines)
        if self._silence is not None:
            self._silence.stop()
        if not self._owns_view:
            self._view.on_msg(self._receive, remove=True)
        self._vacate()
        for callback in self._on_close:
            callback()

    def _vacate(self) -> None:
        """Close the view once no page draws it; until then it shows what is left."""
        is_left = self._lines and not self._views and self._host.replaces_outputs
        if is_left and self._owns_view:
            self._view.close()

    def _require_own_viewer(self) -> None:
        """Refuse to show another viewer's form, or to sign in with it.

        Raises
        ------
        NotSignedInError
            If this code runs for another viewer.
        """
        mine, present = self._host.viewer, viewers.current()
        if present is not None and (mine is None or mine.page is not present.page):
            raise NotSignedInError(
                "This form is another viewer's.",
                "Call login_form() where each viewer gets one of their own: in Panel in the script "
                "that is served, in Solara in a component.",
            )

    def _end(self) -> None:
        """Sign out and close, once the viewer has left."""
        self.dismiss()
        if self._session is not None:
            self._session.close()
        if self._owns_view:
            self._view.close()

    def _leave(self, lines: list[str]) -> None:
        self._lines = lines
        self._redraw()
        if self._view.shows is self:
            self._view.lines = lines  # for pages on which that does not replace the output

    def _receive(self, _view: View, content: dict[str, Any], _buffers: object) -> None:
        """Reply at once, and work in a thread, so that the kernel stays responsive."""
        message = dict(content)
        content.clear()  # the kernel keeps the message for a while: the key must not be in it
        kind, view = message.pop("type"), message.pop("view", "")
        if kind == "gone":
            self._disappear(view)
            return
        if kind == "ready":
            if self._is_shared_anew(view, **message) or self._is_watched(view, **message):
                return
            self._appear(view)
            self._view.send(self._choice or (_CHECKING if self._at_work.locked() else _HEARD))
            return
        self._view.send(_HEARD)
        # A list of apps changes nothing, and is for the view alone that asks for it.
        if kind == "apps" or self._at_work.acquire(blocking=False):
            # In this message's context, so that what comes back to the kernel comes this way too.
            work, arguments = self._host.carried(self._work), (kind, view, message)
            threading.Thread(target=work, args=arguments, name=_THREAD, daemon=True).start()

    def _is_shared_anew(self, view: str, *, shared: bool = False) -> bool:
        """Whether it is now known that others see the notebook, and the form is drawn again.

        For pages that do not trust the notebook's output there are other words with it then.
        """
        known, self._shared = self._shared, self._shared or shared
        if known or not shared or not self._is_shown or self._lines:
            return False
        self._appear(view)
        self._view.send(_HEARD)
        self._redraw()
        return True

    def _is_watched(self, view: str, *, shared: bool = False) -> bool:
        """Whether a page that shows the form is not that of who ran the cell; it is told so."""
        if self._lines or not shared or self._host.sender() == self._asker:
            return False
        self._view.send({"type": "watch", "view": view, "lines": [WATCHED]})
        return True

    def _work(self, kind: str, view: str, message: dict[str, Any]) -> None:
        acts: dict[str, Callable[..., dict[str, Any]]] = {
            "sign-in": self._sign_in,
            "apps": self._list_apps,
            "choose": self._choose,
        }
        reply = complaint(ClarifaiMagicError("Something unforeseen went wrong.", "Try again."))
        try:
            reply = acts[kind](**message)
        except ClarifaiMagicError as error:
            reply = complaint(error)
        finally:
            if kind == "apps":
                reply = {**reply, "view": view}
            else:
                self._at_work.release()
            self._view.send(reply)

    def _sign_in(self, **fields: Any) -> dict[str, Any]:
        self._view.send(_CHECKING)
        if wrong := first_wrong(fields):
            return wrong
        fields["root_certificates"] = fields["root_certificates"] or None  # the environment's
        typed = Credentials(**fields, source=Provenance("form"))
        found = Found(typed, self._passed_over)
        session = self._connect(found)
        internals(session).on_close(partial(self._end_with, session))
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
        internals(chosen).on_close(self._session.close)
        return self._finish(chosen) if self._take(chosen) else _HEARD

    def _end_with(self, session: Session) -> None:
        """Leave the page with a session, unless the form has opened another since."""
        if self._session in {None, session}:
            self.dismiss()

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
        if self._shared:
            lines.append(SHARED)
        with self._changing:
            if self._lines:
                return _HEARD
            self._close(lines)
        if failures := [*self._result.settle(session)]:
            self._leave([*lines, *failures])
        return _HEARD


def _static(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Data and metadata of an output with lines and without a widget."""
    markup = "<br>".join(map(html.escape, lines))
    return {"text/plain": "\n".join(lines), "text/html": f"<div>{markup}</div>"}, {}


def _signed_in(session: Session) -> str:
    who = session.identity.owner
    return f"Signed in as {who}." if who else "Signed in."


def _usual_base() -> str:
    try:
        return find_deployment().base
    except BaseURLError:
        return PUBLIC_BASE
