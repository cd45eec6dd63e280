"""The magics: their grammar and their messages; other modules do the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool

from clarifai_magic.errors import BaseURLError, ExposedKeyError, NotSignedInError
from clarifai_magic.notebook.names import DEFAULT_NAMES
from clarifai_magic.notebook.samples.cells import SampleCells
from clarifai_magic.notebook.sessions import DEFAULT, Notebook
from clarifai_magic.redaction.guard import Guard

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.notebook.hosts import Host
    from clarifai_magic.notebook.login import Options
    from clarifai_magic.notebook.scopes_table import Table
    from clarifai_magic.notebook.snippets.program import Program
    from clarifai_magic.session import Session


def _with_arguments(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Document a magic's arguments too, for IPython's ``?``, which asks for a `getdoc`."""

    def getdoc() -> str:
        from clarifai_magic.notebook.grammar import parser_of

        return str(parser_of(magic).format_help())

    magic.getdoc = getdoc  # type: ignore[attr-defined]
    return magic


@magics_class
class ClarifaiMagics(Magics):  # type: ignore[misc]
    """``%clarifai_auth``, and its state for the kernel's lifetime."""

    guard = Bool(True, help="Mask the key in all output.").tag(config=True)
    warn = Bool(True, help="Warn when a call is refused because of the key.").tag(config=True)

    denied: ClassVar[set[str]] = set()
    """Secrets of a hosted notebook that its user refused; reloading does not ask again."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.notebook = Notebook(shell, warns=lambda: self.warn)
        self.output_guard = Guard(self._host, wanted=lambda: self.guard)
        self.samples = SampleCells(shell, lambda: self.notebook.sessions.get(self.notebook.default))
        self.observe(lambda _change: self.output_guard.refresh(), "guard")

    def _host(self) -> Host:
        from clarifai_magic.notebook import hosts

        return hosts.current(self.shell)

    @no_var_expand
    @_with_arguments
    @line_magic
    def clarifai_auth(self, line: str) -> None:
        """Sign this notebook in to Clarifai; the key stays out of it.

        Finds a PAT or an API key, verifies it, and defines stub, metadata, userDataObject and the
        modules that Clarifai's samples use in the notebook. No option takes the key.

            %clarifai_auth               find a key where people keep it, or ask for one
            %clarifai_auth status        who is signed in, and where the key was found
            %clarifai_auth use NAME      switch the names to another open session
            %clarifai_auth logout        remove the names and forget the key
            %clarifai_auth logout NAME   the same for one of several sessions
            %clarifai_auth doctor        a report for when signing in does not work
            %clarifai_auth audit         search the files in this folder for keys

        Without an account: %clarifai_auth --from sandbox
        """
        if not line.strip():  # as in most notebooks: there is nothing to parse
            from clarifai_magic.notebook.login import Options

            self._login(Options())
            return
        from clarifai_magic.notebook import actions, grammar

        parser = grammar.parser_of(self.clarifai_auth)
        actions.refuse_typed_key(self.shell, line, parser, actions.ACTIONS)
        arguments = grammar.parse(self.clarifai_auth, line)
        if arguments.help:
            self._help(arguments)
            return
        actions.refuse_unwanted(arguments.action, line, parser)
        getattr(self, f"_{arguments.action}")(arguments)

    def _login(self, options: Options | Namespace) -> None:
        from clarifai_magic.notebook.login import Login

        if options.bound_name != DEFAULT:
            options.bound_name = self._free_name(options.bound_name)
        Login(self.notebook, options, self.denied).run()

    def _free_name(self, name: str) -> str:
        """A name that a session can be bound to, as Python spells it."""
        from clarifai_magic.notebook import words

        if free := words.variable(name, {*DEFAULT_NAMES, *self.shell.user_ns_hidden}):
            return free
        raise UsageError(
            "--as NAME: NAME must be a variable's name, and not one that Python, IPython or "
            "this extension uses."
        )

    def _status(self, _arguments: Namespace) -> None:
        from clarifai_magic.client.internals import internals, summary
        from clarifai_magic.notebook import environment

        if not self.notebook.sessions:
            print("Not signed in. %clarifai_auth signs in.")
        for name, session in self.notebook.sessions.items():
            mark = "*" if name == self.notebook.default else " "
            print(f"{mark} {name}: {summary(session)}")
            print(f"    base {session.base}")
            print(f"    {environment.served(session)}")
            found = internals(session).found
            for passed in found.skipped:
                print(f"    skipped {passed.place}: {passed.reason}")
            if found.credentials.warning:
                print(f"    {found.credentials.warning}")

    def _use(self, arguments: Namespace) -> None:
        from clarifai_magic.client.internals import summary
        from clarifai_magic.notebook.logout import known

        name = known(arguments.names[0], self.notebook.sessions, self.notebook)
        if replaced := self.notebook.use(name):
            print(f"Note: replaced your own {', '.join(replaced)}.")
        print(f"Using {summary(self.notebook.sessions[name])}")

    def _logout(self, arguments: Namespace) -> None:
        from clarifai_magic.notebook.logout import known, sign_out

        # Only names: IPython keeps the values in an error's frames.
        present = list({**self.notebook.sessions, **self.notebook.forms})
        names = [known(name, present, self.notebook) for name in arguments.names] or present
        for line in sign_out(self.notebook, names):
            print(line)

    def _help(self, _arguments: Namespace) -> None:
        print(self.clarifai_auth.getdoc().removeprefix("::").strip())

    @no_var_expand
    @line_magic
    def clarifai_login(self, line: str) -> None:
        """A misspelling: `%clarifai_auth` signs in."""
        from clarifai_magic.notebook import actions, grammar

        actions.refuse_typed_key(self.shell, line, grammar.parser_of(self.clarifai_auth), {})
        raise UsageError("%clarifai_auth signs in; %clarifai_auth help shows more.")

    def _audit(self, arguments: Namespace) -> None:
        from clarifai_magic.audit.command import parser, run

        options = ["--fix"] if arguments.fix else []
        run(parser("%clarifai_auth audit").parse_args([*options, "--", *arguments.names]), print)

    def _doctor(self, arguments: Namespace) -> None:
        from clarifai_magic.client.internals import internals
        from clarifai_magic.notebook.doctor import report

        current = self.notebook.sessions.get(self.notebook.default)
        session = internals(current).deployment if current else None
        base, roots = arguments.base, arguments.root_certificates
        # A session's CA bundle is only for the session's own base URL.
        if session and (not base or _is_at(base, session)):
            base, roots = session.base, roots or session.root_certificates
        print(report(base, roots, self._host()))

    @no_var_expand
    @_with_arguments
    @line_magic
    def clarifai_scopes(self, line: str) -> Table:
        """Show what the key may do: everything, or what single methods need and whether they work.

        The minimum scopes are those in the API's own descriptors; a call may need more.
        """
        arguments = self._arguments(self.clarifai_scopes, line)
        from clarifai_magic.notebook import scopes_table

        identity = self._default_session("look at").identity
        if arguments.methods:
            return scopes_table.of_methods(arguments.methods, identity)
        return scopes_table.of_key(identity)

    def _arguments(self, magic: Callable[..., Any], line: str) -> Namespace:
        from clarifai_magic.notebook import grammar
        from clarifai_magic.notebook.exposure import refuse_key

        refuse_key(self.shell, line, grammar.parser_of(magic))
        return grammar.parse(magic, line)

    def _default_session(self, purpose: str) -> Session:
        if not self.notebook.default:
            raise NotSignedInError(f"No open session to {purpose}.", "Run %clarifai_auth first.")
        return self.notebook.sessions[self.notebook.default]

    @no_var_expand
    @_with_arguments
    @line_magic
    def clarifai_snippet(self, line: str) -> Program:
        """Write the session as a whole program for another client of the API.

        The program reads the key from the environment and does not contain it. The cell shows it
        if the line is its last; to keep it, use ``program = %clarifai_snippet php``.
        """
        arguments = self._arguments(self.clarifai_snippet, line)
        from clarifai_magic.notebook.snippets.program import program

        session = self._default_session("write a program for")
        return program(session, arguments.language, arguments.method)

    @no_var_expand
    @_with_arguments
    @cell_magic
    def clarifai_sample(self, line: str, cell: str) -> None:
        """Run an unchanged sample from Clarifai's documentation with this session.

        The session's key, channel and IDs replace its own and its placeholders; real IDs stay.
        """
        __tracebackhide__ = True
        if not cell.strip():
            self._take_a_cell(line)
        try:
            arguments = self._arguments(self.clarifai_sample, line)
        except (ExposedKeyError, UsageError):
            from clarifai_magic.credentials.parsing import keys_in
            from clarifai_magic.redaction.history import forget

            forget(self.shell, *keys_in(cell))
            raise
        if arguments.show:
            from clarifai_magic.notebook.samples.run import show

            session = self.notebook.sessions.get(self.notebook.default)
            print(show(self.shell, cell, session), end="")
        else:
            self.samples.begin(cell)

    @no_var_expand
    @cell_magic("clarifai_auth")
    @cell_magic("clarifai_login")
    @cell_magic("clarifai_scopes")
    @cell_magic("clarifai_snippet")
    def _take_no_cell(self, line: str, cell: str) -> None:
        """This is a line magic: use one percent sign."""
        from clarifai_magic.notebook.exposure import refuse_cell
        from clarifai_magic.notebook.grammar import usage as form_of

        usage = f"This is a line magic, without a cell: {form_of('clarifai_auth')}"
        refuse_cell(self.shell, line, cell, usage)

    @no_var_expand
    @line_magic("clarifai_sample")
    def _take_a_cell(self, line: str) -> NoReturn:
        """This is a cell magic: use two percent signs."""
        from clarifai_magic.notebook.exposure import refuse_key
        from clarifai_magic.notebook.grammar import parser_of

        refuse_key(self.shell, line, parser_of(self.clarifai_sample))
        raise UsageError("Put the sample below, in the same cell: %%clarifai_sample [--show]")

    def complete(self, event: Any) -> list[str]:
        """Complete the line, for IPython's completer."""
        from clarifai_magic.notebook import actions, grammar

        return actions.offered(event, grammar.parser_of(self.clarifai_auth), self.notebook)


def _is_at(base: str, deployment: Deployment) -> bool:
    from clarifai_magic.api.deployment import deployment_at

    try:
        return deployment_at(base).base == deployment.base
    except BaseURLError:  # which others report
        return False


def _with_body(lines: list[str]) -> list[str]:
    """A cell as IPython passes it to a cell magic; IPython itself would refuse an empty one."""
    words = lines[0].split() if len(lines) == 1 else []
    alone = len(words) > 1 and lines[0].startswith("%%clarifai_")
    return [*lines, "\n"] if alone else lines


# Otherwise a terminal would take the first line for the whole cell.
_with_body.has_side_effects = True  # type: ignore[attr-defined]


def register(shell: InteractiveShell) -> None:
    """Add the magics and their completion to a shell."""
    magics = ClarifaiMagics(shell)
    magics.output_guard.start()
    shell.register_magics(magics)
    shell.input_transformers_cleanup.extend((_with_body, magics.samples.mark))
    shell.input_transformers_post.append(magics.samples.masked)
    shell.events.register("post_run_cell", magics.samples.ended)
    # First, so that other transformers see what will run.
    shell.ast_transformers.insert(0, magics.samples)
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
    magics.notebook.close_all()
    magics.output_guard.stop()
    for kind, table in manager.magics.items():
        for name in ClarifaiMagics.magics[kind]:
            table.pop(name, None)
    shell.configurables.remove(magics)
    shell.input_transformers_cleanup.remove(_with_body)
    shell.input_transformers_cleanup.remove(magics.samples.mark)
    shell.input_transformers_post.remove(magics.samples.masked)
    shell.events.unregister("post_run_cell", magics.samples.ended)
    shell.ast_transformers.remove(magics.samples)
    for hook in _HOOKS:
        shell.strdispatchers["complete_command"].strs.pop(hook, None)


_HOOKS = ("%clarifai_auth", "%clarifai_scopes", "%clarifai_snippet")
