"""The magics: their grammar and their messages; the work is done elsewhere."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.process import arg_split
from traitlets import Bool

from clarifai_magic import exporting, history, saving
from clarifai_magic.errors import ExposedKeyError, NotSignedInError
from clarifai_magic.guard import Guard
from clarifai_magic.keys import SECRETS_PAGE, looks_like_key
from clarifai_magic.notebook import FLAT, Notebook, has_front_end
from clarifai_magic.snippets.languages import LANGUAGES, METHODS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.permissions import Table
    from clarifai_magic.session import Session
    from clarifai_magic.snippets.program import Program
    from clarifai_magic.sources import Found
    from clarifai_magic.sources.place import PassedOver

ACTIONS = ("login", "status", "use", "logout", "doctor", "audit", "help")
_PREFILLED = ("user_id", "app_id", "base", "root_certificates")
_KEY_OPTION = re.compile(r"--?(?:pat|key|api[-_]?key|token)(?:=|\s+)\S", re.IGNORECASE)
_USAGE = {
    "clarifai_auth": "%clarifai_auth [login|status|use NAME|logout|doctor|audit [PATH …]] "
    "[--from SOURCE[:NAME]] [--user-id ID] [--app-id ID] …; %clarifai_auth help tells more.",
    "clarifai_sample": "%%clarifai_sample [--show]",
    "clarifai_scopes": "%clarifai_scopes [METHOD …]",
    "clarifai_snippet": f"%clarifai_snippet {'|'.join(LANGUAGES)} [--method {'|'.join(METHODS)}]",
}


@magics_class
class ClarifaiMagics(Magics):  # type: ignore[misc]
    """``%clarifai_auth``, and what it remembers for a kernel's life."""

    guard = Bool(True, help="Mask the key in all output.").tag(config=True)
    warn = Bool(True, help="Warn when a call is refused for the key's sake.").tag(config=True)

    denied: ClassVar[set[str]] = set()
    """Secrets of a hosted notebook that its user said no to; reloading does not ask again."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.notebook = Notebook(shell, warns=lambda: self.warn)
        self.output_guard = Guard(shell, wanted=lambda: self.guard)
        self.observe(lambda _change: self.output_guard.refresh(), "guard")

    @no_var_expand
    @magic_arguments()
    @argument(
        "action",
        nargs="?",
        default="login",
        choices=ACTIONS,
        metavar="ACTION",
        help=f"{', '.join(ACTIONS)}; default login",
    )
    @argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="with use: the session's; with audit: notebooks or folders, default all below here",
    )
    @argument(
        "--from",
        dest="source",
        metavar="SOURCE[:NAME]",
        default="",
        help="look for the key there only: env[:VARIABLE], colab[:SECRET], kaggle[:SECRET], "
        "config[:CONTEXT], keyring[:USER], form, prompt, var:NAME, sandbox",
    )
    @argument("--user-id", metavar="ID", default="", help="whose resources; else the key's user")
    @argument("--app-id", metavar="ID", default="", help="which app; else the only one there is")
    @argument(
        "--base",
        metavar="URL",
        default="",
        help="another deployment; else CLARIFAI_API_BASE, else https://api.clarifai.com",
    )
    @argument("--root-certificates", metavar="PATH", default="", help="its CA bundle, in PEM")
    @argument(
        "--as",
        dest="bound_name",
        metavar="NAME",
        default=FLAT,
        help="bind the session to NAME and leave the other names alone",
    )
    @argument(
        "--export-env",
        action="store_true",
        help="set CLARIFAI_PAT and so on in this process, for the SDK, the CLI and shell cells",
    )
    @argument(
        "--save",
        choices=saving.PLACES,
        metavar="PLACE",
        help="remember the key in the CLI's config or the system's keyring, and nowhere else",
    )
    @argument("--fix", action="store_true", help="with audit: mask keys outside of sources")
    @argument("--no-input", action="store_true", help="never ask: an error where no key is found")
    @argument("--no-verify", action="store_true", help="connect without a call to the API")
    @argument(
        "--timeout", metavar="SECONDS", type=float, default=10.0, help="to verify; default 10"
    )
    @argument(
        "--no-retries",
        action="store_true",
        help="do not make calls again after throttling or an outage",
    )
    @argument("-h", "--help", action="store_true", help="show this, as the action help does")
    @line_magic
    def clarifai_auth(self, line: str) -> None:
        """Sign this notebook in to Clarifai; the key stays out of it.

        Finds a PAT or an API key, verifies it, and puts stub, metadata, userDataObject and the
        modules that Clarifai's samples use into the notebook. No option takes the key.

            %clarifai_auth               find a key where people keep it, or ask for one
            %clarifai_auth status        who is signed in, and where the key was found
            %clarifai_auth use NAME      put another signed-in session's names in place
            %clarifai_auth logout        take the names away and forget the key
            %clarifai_auth doctor        a report for when signing in does not work
            %clarifai_auth audit         look for keys in the notebooks below here

        Without an account: %clarifai_auth --from sandbox
        """
        self._refuse_key(line)
        arguments = _parsed(self.clarifai_auth, line)
        action = "help" if arguments.help else arguments.action
        getattr(self, f"_{action}")(arguments)

    def _login(self, arguments: Namespace) -> None:
        from clarifai_magic.sources.place import Later

        name = arguments.bound_name
        if not name.isidentifier():
            raise UsageError("--as NAME: NAME is a Python variable's name.")
        current = self.notebook.sessions.get(name)
        try:
            found = self._found(arguments, current)
        except Later as later:
            self._show_form(arguments, later.passed_over)
            return
        if current is not None and found.credentials == current.found.credentials:
            replaced = self.notebook.show(name)
        else:
            session = _connecting(arguments)(found)
            self.notebook.dismiss(name)
            replaced = self.notebook.adopt(name, session)
        for line in _completed(self.shell, self.notebook.sessions[name], replaced, arguments):
            print(line)

    def _show_form(self, arguments: Namespace, passed_over: Sequence[PassedOver]) -> None:
        from clarifai_magic.form import LoginForm

        form = LoginForm(
            {option: getattr(arguments, option) for option in _PREFILLED},
            _connecting(arguments),
            passed_over=passed_over,
            bind=partial(self.notebook.adopt, arguments.bound_name),
            tell=partial(_completed, self.shell, arguments=arguments),
        )
        self.notebook.expect(arguments.bound_name, form)
        form.show()

    def _found(self, arguments: Namespace, current: Session | None) -> Found:
        from clarifai_magic.sources import find_credentials
        from clarifai_magic.sources.place import Surroundings

        around = Surroundings(
            namespace=self.shell.user_ns,
            may_ask=not arguments.no_input and _someone_answers(self.shell),
            shows_forms=has_front_end(self.shell),
            shell_module=type(self.shell).__module__,
            signed_in=current.found.credentials if current else None,
            denied=self.denied,
        )
        return find_credentials(arguments.source, around).narrowed(
            user_id=arguments.user_id,
            app_id=arguments.app_id,
            base=arguments.base,
            root_certificates=arguments.root_certificates,
        )

    def _status(self, _arguments: Namespace) -> None:
        if not self.notebook.sessions:
            print("Not signed in. %clarifai_auth signs in.")
        for name, session in self.notebook.sessions.items():
            mark = "*" if name == self.notebook.flat else " "
            print(f"{mark} {name}: {session.summary()}")
            print(f"    base {session.base}")
            for passed in session.found.passed_over:
                print(f"    passed over {passed.place}: {passed.reason}")
            if session.found.credentials.warning:
                print(f"    {session.found.credentials.warning}")

    def _use(self, arguments: Namespace) -> None:
        sessions = self.notebook.sessions
        name = " ".join(arguments.names)
        if name not in sessions:
            known = ", ".join(sessions) or "none yet"
            raise NotSignedInError(
                "There is no signed-in session of that name.",
                f"Signed in: {known}. %clarifai_auth --as NAME signs another one in.",
            )
        self.notebook.use(name)
        print(f"Using {sessions[name].summary()}")

    def _logout(self, _arguments: Namespace) -> None:
        kept = [words for session in self.notebook.sessions.values() for words in session.kept]
        print("Signed out." if self.notebook.sessions else "Not signed in.")
        self.notebook.close()
        for words in dict.fromkeys(kept):
            print(words)

    def _help(self, _arguments: Namespace) -> None:
        print(self.clarifai_auth.__doc__.removeprefix("::").strip())

    @no_var_expand
    @line_magic
    def clarifai_login(self, line: str) -> None:
        """There is no such command: `%clarifai_auth` signs in."""
        self._refuse_key(line)
        raise UsageError("It is %clarifai_auth that signs in; %clarifai_auth help tells more.")

    def _audit(self, arguments: Namespace) -> None:
        from clarifai_magic.audit import audit, report

        paths = [Path(name).expanduser() for name in arguments.names] or [Path()]
        report(audit(paths, fix=arguments.fix), fix=arguments.fix, say=print)

    def _doctor(self, arguments: Namespace) -> None:
        from clarifai_magic.doctor import report

        current = self.notebook.sessions.get(self.notebook.flat)
        deployment = current.deployment if current else None
        print(
            report(
                arguments.base or (deployment.base if deployment else ""),
                arguments.root_certificates or (deployment.root_certificates if deployment else ""),
                type(self.shell).__module__,
            )
        )

    @no_var_expand
    @magic_arguments()
    @argument("methods", nargs="*", metavar="METHOD", help="such as PostInputs; default: all")
    @line_magic
    def clarifai_scopes(self, line: str) -> Table:
        """Show what the key may do: all of it, or what single methods need and whether they work.

        The least scopes are those that the API's own descriptors name; a call may need more.
        """
        self._refuse_key(line)
        arguments = _parsed(self.clarifai_scopes, line)
        from clarifai_magic import permissions

        identity = self._flat_session("look at").identity
        if arguments.methods:
            return permissions.of_methods(arguments.methods, identity)
        return permissions.of_key(identity)

    def _flat_session(self, purpose: str) -> Session:
        if not self.notebook.flat:
            raise NotSignedInError(
                f"There is no session to {purpose}.", "Run %clarifai_auth first."
            )
        return self.notebook.sessions[self.notebook.flat]

    @no_var_expand
    @magic_arguments()
    @argument("language", choices=LANGUAGES, help="of the program; curl is one for the shell")
    @argument("--method", choices=METHODS, default=next(iter(METHODS)), help="what it calls")
    @line_magic
    def clarifai_snippet(self, line: str) -> Program:
        """Write the session down as a whole program for another client of the API.

        The program reads the key from the environment: it is not in it. It is shown when the line
        is the cell's last, and can be kept: ``program = %clarifai_snippet php``.
        """
        self._refuse_key(line)
        arguments = _parsed(self.clarifai_snippet, line)
        from clarifai_magic.snippets.program import program

        session = self._flat_session("write a program for")
        return program(session, arguments.language, arguments.method)

    @no_var_expand
    @magic_arguments()
    @argument("--show", action="store_true", help="show the program instead of running it")
    @cell_magic
    def clarifai_sample(self, line: str, cell: str) -> None:
        """Run a sample pasted from Clarifai's documentation, as it is, with this session.

        Its own key, channel and placeholders give way to the session's; IDs that are real stay.
        """
        __tracebackhide__ = True
        arguments = _parsed(self.clarifai_sample, line)
        from clarifai_magic import samples

        session = self._flat_session("run the sample with")
        if arguments.show:
            print(samples.shown(self.shell, cell, session))
            return
        try:
            samples.run(self.shell, cell, session, say=print)
        finally:
            if self.notebook.sessions.get(self.notebook.flat) is session:
                self.notebook.use(self.notebook.flat)

    def complete(self, event: Any) -> list[str]:
        """Offer what can come next on the line, for IPython's completer."""
        words = event.line.split()
        before = words[-1] if event.line.endswith(" ") else words[-2] if len(words) > 1 else ""
        if event.command.endswith("clarifai_scopes"):
            from clarifai_magic.scopes import methods

            return list(methods())
        if event.command.endswith("clarifai_snippet"):
            return list(METHODS) if before == "--method" else [*LANGUAGES, "--method"]
        if before == "--from":
            from clarifai_magic.sources import ALL

            return list(ALL)
        if before == "--save":
            return list(saving.PLACES)
        if before == "use":
            return list(self.notebook.sessions)
        options = self.clarifai_auth.parser._option_string_actions  # noqa: SLF001
        return [*ACTIONS, *options]

    def _refuse_key(self, line: str) -> None:
        match = looks_like_key(line)
        if not (match or _KEY_OPTION.search(line)):
            return
        # A key is taken out wherever it stands; what may be less than one, where it was typed.
        history.forget(self.shell, match[0] if match else line.strip())
        raise ExposedKeyError(
            "A key was typed into the notebook, where it is saved and shared. It was not used.",
            f"Delete it from the cell, revoke it at {SECRETS_PAGE}, and run %clarifai_auth alone.",
        )


def _parsed(magic: Any, line: str) -> Namespace:
    try:
        # Intermixed, so that an option may stand between an action and its names.
        arguments: Namespace = magic.parser.parse_intermixed_args(arg_split(line))
    except UsageError:
        # argparse repeats what was typed, which may be half a key.
        raise UsageError(f"The line was not understood. {_USAGE[magic.__name__]}") from None
    return arguments


def _connecting(arguments: Namespace) -> Callable[[Found], Session]:
    """`connect`, with what the line says about it."""
    from clarifai_magic.session import connect

    return partial(
        connect,
        verified=not arguments.no_verify,
        timeout=arguments.timeout,
        retries=not arguments.no_retries,
    )


def _completed(
    shell: InteractiveShell, session: Session, replaced: list[str], arguments: Namespace
) -> Iterator[str]:
    """Do what is asked of a session that has just been signed in, and say what there is to say."""
    if replaced:
        yield f"Note: replaced your own {', '.join(replaced)}."
    yield f"Signed in as {session.summary()}"
    if session.found.credentials.warning:
        yield f"Note: {session.found.credentials.warning}"
    if exposed := history.places(shell, session.found.credentials.key):
        yield f"Note: the key stands in {', '.join(exposed)}. Delete it there, and revoke it at "
        yield f"{SECRETS_PAGE}: notebooks are saved and shared."
    if arguments.export_env:
        session.on_close(exporting.export(exporting.variables(session)))
    if arguments.save:
        yield saving.save(session, arguments.save)


def _someone_answers(shell: InteractiveShell) -> bool:
    """Whether somebody is there to answer a prompt."""
    if getattr(shell, "kernel", None) is not None:
        return has_front_end(shell)
    running_a_script = not getattr(shell.parent, "interact", True)
    return not running_a_script and sys.stdin is not None and sys.stdin.isatty()


def register(shell: InteractiveShell) -> None:
    """Add the magics and their completion to a shell."""
    magics = ClarifaiMagics(shell)
    magics.output_guard.start()
    shell.register_magics(magics)
    for hook in _HOOKS:
        shell.set_hook(
            "complete_command", lambda _shell, event: magics.complete(event), str_key=hook
        )


def unregister(shell: InteractiveShell) -> None:
    """Sign out and leave the shell as it was before `register`."""
    manager = shell.magics_manager
    magics = manager.registry.pop(ClarifaiMagics.__name__, None)
    if magics is None:
        return
    magics.notebook.close()
    magics.output_guard.stop()
    for kind, table in manager.magics.items():
        for name in ClarifaiMagics.magics[kind]:
            table.pop(name, None)
    shell.configurables.remove(magics)
    for hook in _HOOKS:
        shell.strdispatchers["complete_command"].strs.pop(hook, None)


_HOOKS = ("%clarifai_auth", "%clarifai_scopes", "%clarifai_snippet")
