"""Prepares a sample for a session, and sets up and reports its run."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clarifai_magic.api import PUBLIC_BASE, SECRETS_PAGE
from clarifai_magic.client.identity import API_KEY
from clarifai_magic.client.internals import internals
from clarifai_magic.client.registry import registry
from clarifai_magic.credentials.parsing import keys_in
from clarifai_magic.credentials.secret import MASK
from clarifai_magic.environment import lend
from clarifai_magic.errors import ClarifaiMagicError, NotSignedInError, SampleError
from clarifai_magic.notebook.environment import past_proxies
from clarifai_magic.notebook.samples.rewrite import replace
from clarifai_magic.programs.calls import imported_parameters
from clarifai_magic.programs.claims import Value
from clarifai_magic.programs.places import netloc
from clarifai_magic.programs.sinks import Found, find
from clarifai_magic.redaction import history

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.session import Session

_CHANNELS = "__import__('clarifai_magic.notebook.samples.channels', fromlist=['*'])"
_HTTP = "__import__('http.client', fromlist=['*'])"
_LOOPS = "__import__('clarifai_magic.notebook.samples.loops', fromlist=['*'])"


@dataclass
class Sample:
    """A sample that is ready to run.

    Parameters
    ----------
    shell : InteractiveShell
        Its shell.
    session : Session, optional
        Its session.
    said : list of str
        Lines for the user.
    ids : set of str
        IDs in it that look like keys.
    error : ClarifaiMagicError, optional
        Why it cannot run.
    """

    shell: InteractiveShell
    session: Session | None
    said: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    error: ClarifaiMagicError | None = None

    def begin(self, text: str) -> None:
        """Report replacements, remove what must not be there, and lend the environment.

        Parameters
        ----------
        text : str
            The cell.

        Raises
        ------
        ClarifaiMagicError
            If it cannot run.
        """
        keys = forget_keys(self.shell, text, self.ids, _key(self.session))
        if self.session is None:
            raise NotSignedInError(
                "No open session to run the sample with.", "Run %clarifai_auth first."
            )
        if self.error is not None:
            raise self.error
        if keys:
            registry.withhold(self.session, keys)
        print(*self.said, sep="\n", end="\n" if self.said else "")
        undo = lend(_variables(self.session))
        internals(self.session).on_close(undo)
        _at_the_end(self.shell, undo)


def prepare(shell: InteractiveShell, tree: ast.Module, session: Session | None) -> Sample:
    """Put a session into a sample.

    Parameters
    ----------
    shell : InteractiveShell
        Its shell.
    tree : ast.Module
        The program; changed in place.
    session : Session, optional
        Replaces its own preamble.
    """
    sample = Sample(shell, session)
    try:
        found = _find(shell, tree, session)
        sample.ids = found.ids
        if session is not None:
            sample.said = _told(found)
            replace(tree, found.edits, _texts(session), _expressions(session))
    except RecursionError:
        sample.error = _too_deep()
    return sample


def show(shell: InteractiveShell, cell: str, session: Session | None) -> str:
    """The resulting program, which reads the user's own values from the environment.

    Raises
    ------
    SampleError
        If it is not valid Python.
    NotSignedInError
        If there is no session; its keys are removed anyway.
    """
    # As many lines as in the cell: the magic's own comes first.
    code = f"\n{cell}"
    try:
        code = "\n" + shell.transform_cell(cell)
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        forget_keys(shell, code, (), _key(session))
        raise _no_python(error) from None
    try:
        found = _find(shell, tree, session)
    except RecursionError:
        forget_keys(shell, code, (), _key(session))
        raise _too_deep() from None
    keys = forget_keys(shell, code, found.ids, _key(session))
    if session is None:
        raise NotSignedInError(
            "No open session to show the sample with.", "Run %clarifai_auth first."
        )
    from clarifai_magic.programs.show import shown

    of_an_app = session.identity.kind == API_KEY
    key = "CLARIFAI_API_KEY" if of_an_app else "CLARIFAI_PAT"
    text = shown(code, tree, found.edits, _read_channels(session), key).strip() + "\n"
    for each in keys:
        text = text.replace(each, "YOUR_PAT_HERE")
    return text


def _too_deep() -> SampleError:
    return SampleError(
        "The sample's expressions are nested too deeply to follow.",
        "Split the longest one into several statements.",
    )


def _no_python(error: SyntaxError | ValueError) -> SampleError:
    if not isinstance(error, SyntaxError):  # a null byte
        return SampleError(f"The cell is not valid Python: {error}.", "Paste the sample again.")
    line = (error.text or "").strip()
    for key in keys_in(line):
        line = line.replace(key, MASK)
    return SampleError(
        f"Line {error.lineno} of the cell is not valid Python: {error.msg}.",
        f"Fix it, or paste the sample again: {line[:80]}",
    )


def forget_unread(shell: InteractiveShell, result: Any, session: Session | None) -> None:
    """Remove the keys of a sample that IPython could not parse from what it stores.

    Parameters
    ----------
    shell : InteractiveShell
        Its shell.
    result : ExecutionResult
        Its result.
    session : Session, optional
        Its session.
    """
    forget_keys(shell, result.info.raw_cell, (), _key(session), result)


def forget_keys(
    shell: InteractiveShell, text: str, ids: Collection[str], own: str, ended: Any = None
) -> list[str]:
    """Remove the keys of a cell from what IPython stores, and report their lines.

    A key is anything that has the shape of one and does not go to Clarifai as an ID.
    """
    keys = [key for key in keys_in(text) if key not in ids]
    keys += [own] if own and own in text and own not in keys else []
    if not keys:
        return []
    lines = [
        str(number)
        for number, line in enumerate(text.splitlines(), start=1)
        if any(key in line for key in keys)
    ]
    left = history.forget(shell, *keys, ended=ended)
    print(
        f"Note: line {', '.join(lines)} of the cell has a real key, or text that looks like one. "
        f"Delete it there, and revoke it at {SECRETS_PAGE}. {left}".rstrip()
    )
    return keys


def _find(shell: InteractiveShell, tree: ast.Module, session: Session | None) -> Found:
    who = session.identity if session else None
    ids = {
        Value.USER_ID: bool(who and who.user_id),
        Value.APP_ID: bool(who and who.app_id),
    }

    def known(name: str) -> object:
        return shell.user_ns.get(name, getattr(builtins, name, None))

    base = session.base if session else PUBLIC_BASE
    return find(
        tree,
        deployment=base,
        ids=ids,
        known=known,
        parameters=imported_parameters,
        key=_key(session),
    )


def _key(session: Session | None) -> str:
    return str.__str__(internals(session).found.credentials.key) if session else ""


def _texts(session: Session) -> dict[Value, str]:
    return {
        Value.KEY: internals(session).token,
        Value.NO_KEY: "",
        Value.NOTHING: "",
        Value.USER_ID: session.identity.user_id,
        Value.APP_ID: session.identity.app_id,
        Value.BASE: session.broker.base,
    }


def _expressions(session: Session) -> dict[Value, str]:
    who = session.identity
    whose = f"({internals(session).token!r}, {who.user_id!r}, {who.app_id!r})"
    return {
        Value.CHANNEL: f"{_CHANNELS}.channel{whose}",
        Value.AIO_CHANNEL: f"{_CHANNELS}.aio_channel{whose}",
        Value.RUN: f"{_LOOPS}.beside",
        Value.CONNECTION: f"{_HTTP}.HTTPConnection({netloc(session.broker.base)!r})",
    }


def _read_channels(session: Session) -> dict[Value, str]:
    """The factory of a channel to the session's deployment, if a sample's own would not be one."""
    if session.base == PUBLIC_BASE:
        return {}
    maker = "__import__('clarifai_grpc.channel.clarifai_channel', fromlist=['*']).ClarifaiChannel"
    host = "os.environ['CLARIFAI_API_BASE'].partition('//')[2]"
    if internals(session).deployment.secure:
        return {
            Value.CHANNEL: f"{maker}.get_grpc_channel(base={host})",
            Value.AIO_CHANNEL: f"{maker}.get_aio_grpc_channel(base={host})",
            Value.CONNECTION: f"{_HTTP}.HTTPSConnection({host})",
        }
    return {
        Value.CHANNEL: f"{maker}.get_insecure_grpc_channel(*{host}.split(':'))",
        Value.AIO_CHANNEL: f"{maker}.get_aio_insecure_grpc_channel(*{host}.split(':'))",
        Value.CONNECTION: f"{_HTTP}.HTTPConnection({host})",
    }


def _variables(session: Session) -> dict[str, str]:
    """Variables for other Clarifai clients; unset if they would lead to another host."""
    token = internals(session).token
    return {
        "CLARIFAI_PAT": token,
        "CLARIFAI_API_KEY": token,
        "CLARIFAI_USER_ID": session.identity.user_id,
        "CLARIFAI_APP_ID": session.identity.app_id,
        "CLARIFAI_API_BASE": session.broker.base,
        "CLARIFAI_GRPC_BASE": "",
        "CLARIFAI_ROOT_CERTIFICATES_PATH": "",
        **past_proxies(session.broker),
    }


def _told(found: Found) -> list[str]:
    lines = {
        f"line {edit.line}: {edit.what} → this session": edit.line
        for edit in found.edits
        if edit.parts[0] not in {Value.ADDED, Value.RUN, Value.NO_KEY, Value.NOTHING}
    }
    lines |= {
        f"line {line}: {_foreign(host)}; it gets no key": line
        for host, line in found.foreign.items()
    }
    return sorted(lines, key=lambda line: lines[line])


def _foreign(host: str) -> str:
    if host:
        return f"{host} is neither Clarifai's nor the session's"
    return "the host of this call cannot be determined"


def _at_the_end(shell: InteractiveShell, callback: Callable[[], None]) -> None:
    """Call `callback` when the running cell ends, not a nested one."""
    cell = shell.displayhook.exec_result

    def ended(result: Any) -> None:
        if cell is None or result is cell:
            shell.events.unregister("post_run_cell", ended)
            callback()

    shell.events.register("post_run_cell", ended)
