"""What login does: find a key, open a session, and report on it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.client.internals import internals, summary
from clarifai_magic.credentials.parsing import holds_key
from clarifai_magic.errors import ClarifaiMagicError
from clarifai_magic.notebook import hosts
from clarifai_magic.notebook.sessions import DEFAULT
from clarifai_magic.redaction import history

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from clarifai_magic.credentials.bundle import Credentials
    from clarifai_magic.credentials.sources import Found
    from clarifai_magic.credentials.sources.base import Skipped
    from clarifai_magic.notebook.form import LoginForm
    from clarifai_magic.notebook.invitation import Invitation
    from clarifai_magic.notebook.sessions import Notebook
    from clarifai_magic.session import Session

_AGENTS = "An agent cannot, and goes on once somebody has signed in or CLARIFAI_PAT is set."
_PREFILLED = ("user_id", "app_id", "base", "root_certificates")
_SDK_IMPORTED = (
    "Note: the Clarifai SDK was imported before sign-in and keeps its old address. Give it",
    "base_url=os.environ['CLARIFAI_API_BASE'], or restart the kernel and import it after sign-in.",
)


class Options:
    """What a line says about a sign-in: here, if it says nothing."""

    source = ""
    user_id = ""
    app_id = ""
    base = ""
    root_certificates = ""
    bound_name = DEFAULT
    export_env = False
    export_openai = False
    save = ""
    no_input = False
    no_verify = False
    no_retries = False
    timeout = 10.0


class Login:
    """One sign-in, by a cell or by the form that it shows.

    Parameters
    ----------
    notebook : Notebook
        The session's notebook.
    options : Options, or Namespace with the same names
        The line's.
    denied : set of str
        Secrets of a hosted notebook that it must not request again.
    """

    def __init__(self, notebook: Notebook, options: Options | Namespace, denied: set[str]) -> None:
        self._notebook = notebook
        self._options = options
        self._denied = denied
        self._name: str = options.bound_name
        self._host = hosts.current(notebook.shell)

    def run(self) -> None:
        """Sign in; an error changes nothing."""
        from clarifai_magic.credentials.sources.base import NeedsForm

        self._announce()
        try:
            found = self._found()
        except NeedsForm as later:
            self._ask_later(later.skipped)
            return
        session = self._connect(found)
        replaced = self._notebook.adopt(self._name, session)
        self._notebook.dismiss(self._name)
        for line in self._said(session, replaced):
            print(line)
        for line in self._follow(session):
            print(line)

    def _announce(self) -> None:
        """Say who is asked, where an agent may be waiting for the prompt that comes."""
        seconds = self._host.prompt_patience
        if self._options.source == "prompt" and seconds and not self._options.no_input:
            print(f"A person types the key at the prompt, within {seconds:.0f} seconds. {_AGENTS}")

    def _found(self) -> Found:
        from clarifai_magic.credentials.sources import find_credentials
        from clarifai_magic.credentials.sources.base import SourceContext

        shell, options, host = self._notebook.shell, self._options, self._host
        asked = not options.no_input
        later = host.asks in {hosts.Asks.FORM, hosts.Asks.WORDS}
        around = SourceContext(
            namespace=shell.user_ns,
            may_ask=asked and host.takes_prompts,
            patience=host.prompt_patience,
            answers_later=asked and later,
            instead=host.instead,
            in_colab=host.in_colab,
            base=options.base,
            root_certificates=options.root_certificates,
            signed_in=self._standing(),
            denied=self._denied,
        )
        found = find_credentials(options.source, around)
        typed = (options.user_id, options.app_id, options.base, options.bound_name)
        if any(holds_key(text, found.credentials.key) for text in typed):
            from clarifai_magic.notebook.exposure import refuse_own_key

            refuse_own_key(shell, found.credentials.key, *typed)
        return found.narrowed(user_id=options.user_id, app_id=options.app_id)

    def _standing(self) -> Credentials | None:
        """The credentials of the session to replace, with its choices."""
        session = self._notebook.sessions.get(self._name)
        if session is None:
            return None
        credentials = internals(session).found.credentials
        if self._options.user_id:  # whose apps differ
            return credentials
        who = session.identity
        return credentials.replaced(user_id=who.user_id, app_id=who.app_id)

    def _connect(self, found: Found) -> Session:
        from clarifai_magic.client.signing_in import sign_in

        options = self._options
        return sign_in(
            _session_class,
            found,
            verified=not options.no_verify,
            timeout=options.timeout,
            retries=not options.no_retries,
        )

    def _ask_later(self, skipped: Sequence[Skipped]) -> None:
        asking = self._form(skipped) if self._host.asks is hosts.Asks.FORM else self._invitation()
        self._notebook.expect(self._name, asking)
        asking.show()

    def _invitation(self) -> Invitation:
        from clarifai_magic.notebook.invitation import Invitation

        return Invitation(self._host.instead)

    def _form(self, skipped: Sequence[Skipped]) -> LoginForm:
        from clarifai_magic.notebook.form import LoginForm

        return LoginForm(
            {name: getattr(self._options, name) for name in _PREFILLED},
            self._connect,
            skipped=skipped,
            bind=partial(self._notebook.adopt, self._name),
            tell=self._finish_form,
        )

    def _finish_form(self, session: Session, replaced: list[str]) -> list[str]:
        lines = self._said(session, replaced)
        try:
            lines += self._follow(session)
        except ClarifaiMagicError as error:  # the sign-in stands: the error becomes a line
            lines += str(error).splitlines()
        return lines

    def _said(self, session: Session, replaced: list[str]) -> list[str]:
        """The report on a new session."""
        credentials = internals(session).found.credentials
        lines = [f"Note: replaced your own {', '.join(replaced)}."] if replaced else []
        lines.append(f"Signed in as {summary(session)}")
        if credentials.warning:
            lines.append(f"Note: {credentials.warning}")
        if exposed := history.places(self._notebook.shell, credentials.key):
            lines += [
                f"Note: the key is in {', '.join(exposed)}. Delete it there, and revoke it at",
                f"{SECRETS_PAGE}: you may save and share notebooks.",
            ]
        return lines

    def _follow(self, session: Session) -> list[str]:
        """Carry out the line's other options; return the lines about them."""
        options, parts = self._options, internals(session)
        lines: list[str] = []
        if options.export_env or options.export_openai:
            lines += self._export(session)
        if options.save:
            lines.append(_saved(session, options.save))
            parts.kept.append(lines[-1])
        return lines

    def _export(self, session: Session) -> list[str]:
        from clarifai_magic.environment import lend
        from clarifai_magic.notebook import environment

        exported: dict[str, str] = {}
        lines: list[str] = []
        if self._options.export_env:
            exported |= environment.variables(session)
            if environment.sdk_base() not in {"", exported["CLARIFAI_API_BASE"]}:
                lines += _SDK_IMPORTED
        if self._options.export_openai:
            exported |= environment.openai_variables(session)
        internals(session).on_close(lend(exported))
        return lines


def _session_class() -> type[Session]:
    from clarifai_magic.session import Session

    return Session


def _saved(session: Session, place: str) -> str:
    """Where a session's saved key is."""
    from clarifai_magic.credentials import saving

    who, parts = session.identity, internals(session)
    credentials = parts.found.credentials.replaced(user_id=who.user_id, app_id=who.app_id)
    return saving.save(
        credentials, place, of_an_app=who.kind == "API key", owner=who.owner or who.user_id
    )
