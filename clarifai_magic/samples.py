"""``%%clarifai_sample``: a pasted documentation sample, run with this session."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clarifai_magic import history
from clarifai_magic.errors import SampleError
from clarifai_magic.exporting import export, variables
from clarifai_magic.keys import SECRETS_PAGE
from clarifai_magic.namespace import withdraw
from clarifai_magic.preamble import HOLDER, Changes, replace
from clarifai_magic.secret import Secret, Unpicklable

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from clarifai_magic.session import Session

_SHOWN = {
    "key": "os.environ[{variable!r}]",
    "key_text": "os.environ[{variable!r}]",
    "authorization": "'Key ' + os.environ[{variable!r}]",
    "user_id": "{user_id!r}",
    "app_id": "{app_id!r}",
}


class Substitutes(Unpicklable):
    """What stands in the place of a sample's own preamble.

    Functions that the sample defines may use it later, so the notebook holds it until logout.
    """

    def __init__(self, session: Session) -> None:
        self.key = session.found.credentials.key
        self.authorization = session.metadata[0][1]
        self.metadata = session.metadata
        self.channel = session.channel
        self.user_id = session.identity.user_id
        self.app_id = session.identity.app_id

    @property
    def key_text(self) -> str:
        """The key as a bare ``str``, for libraries that format it into a header themselves."""
        return str.__str__(self.key)


@dataclass(frozen=True)
class Sample:
    """A sample whose preamble gives way to a session.

    Parameters
    ----------
    code : str
        As Python: magics and shell lines are calls already.
    tree : ast.Module
        With the preamble replaced.
    changes : Changes
        What was replaced.
    name : str
        The file name that tracebacks show.
    """

    code: str
    tree: ast.Module
    changes: Changes
    name: str


def parse(shell: InteractiveShell, cell: str, session: Session) -> Sample:
    """Read a sample.

    Raises
    ------
    SampleError
        If it is no Python; the line that is named is the cell's.
    """
    # Line numbers are to be the cell's, in which the magic's own line comes first; IPython drops
    # empty lines at the start.
    empty = len(cell) - len(cell.lstrip("\n"))
    code = "\n" * (empty + 1) + shell.transform_cell(cell)
    name = shell.compile.cache(code, shell.execution_count, raw_code=code)
    try:
        tree = shell.compile.ast_parse(code, filename=name)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise SampleError(
            f"Line {error.lineno} of the cell is no Python: {error.msg}.",
            f"Mend it, or paste the sample anew: {line[:80]}",
        ) from None
    who = session.identity
    changes = replace(
        tree, shell.user_ns, base=session.base, user_id=who.user_id, app_id=who.app_id
    )
    return Sample(code, tree, changes, name)


def run(shell: InteractiveShell, cell: str, session: Session, say: Callable[[str], Any]) -> None:
    """Run a sample with a session in place of its own preamble.

    Names that the sample assigns stay in the notebook; those that hold the key go at logout.

    Parameters
    ----------
    shell : InteractiveShell
        Where it runs.
    cell : str
        The sample as it was pasted.
    session : Session
        What it runs with.
    say : callable
        Takes the lines that tell what was changed.
    """
    __tracebackhide__ = True
    sample = parse(shell, cell, session)
    for line in _told(shell, sample.changes):
        say(line)
    substitutes = Substitutes(session)
    shell.user_ns[HOLDER] = substitutes
    before = dict(shell.user_ns)
    undo = export(variables(session))
    try:
        _execute(shell, sample)
    finally:
        undo()
        held = {
            name: value
            for name, value in shell.user_ns.items()
            if not name.startswith("_") and before.get(name) is not value and _holds_key(value)
        }
        session.on_close(lambda: withdraw(shell, {HOLDER: substitutes, **held}))


def _execute(shell: InteractiveShell, sample: Sample) -> None:
    """Run the statements; the last one's value is shown, as that of any cell."""
    __tracebackhide__ = True
    body = sample.tree.body
    last = [body.pop()] if body and isinstance(body[-1], ast.Expr) else []
    programs: list[tuple[ast.Module | ast.Interactive, str]] = [(sample.tree, "exec")]
    if last:
        programs.append((ast.Interactive(last), "single"))
    for tree, mode in programs:
        code = compile(tree, sample.name, mode)
        exec(code, shell.user_global_ns, shell.user_ns)  # noqa: S102 - it is the user's cell


def shown(shell: InteractiveShell, cell: str, session: Session) -> str:
    """The program that a sample becomes, with the key read from the environment."""
    sample = parse(shell, cell, session)
    who = session.identity
    words = {
        "variable": "CLARIFAI_API_KEY" if who.kind == "API key" else "CLARIFAI_PAT",
        "user_id": who.user_id,
        "app_id": who.app_id,
    }
    lines = sample.code.split("\n")
    for node, attribute in reversed(sample.changes.edits):
        if attribute in _SHOWN:
            _splice(lines, node, _SHOWN[attribute].format(**words))
    return "import os\n" + "\n".join(lines).strip() + "\n"


def _splice(lines: list[str], node: ast.expr, text: str) -> None:
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    # Offsets count bytes of UTF-8.
    before = lines[first].encode()[: node.col_offset].decode()
    after = lines[last].encode()[node.end_col_offset :].decode()
    lines[first : last + 1] = [before + text + after]


def _told(shell: InteractiveShell, changes: Changes) -> list[str]:
    lines = []
    if changes.words:
        lines.append(f"Sample: this session stands for {', '.join(changes.words)}.")
    if changes.exposed:
        for key in changes.exposed:
            history.forget(shell, key)
        lines.append(
            "Note: the sample holds a real key, which was not used. Delete it from the cell, and "
            f"revoke it at {SECRETS_PAGE}."
        )
    return lines


def _holds_key(value: Any) -> bool:
    """Whether a value is a key, or headers or metadata made with one."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return any(map(_holds_key, value))
    return isinstance(value, Secret)
