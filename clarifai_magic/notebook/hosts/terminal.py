"""IPython in a terminal or a script, and Python without a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from clarifai_magic.notebook.hosts.base import Asks, Host, IPythonHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.redaction.places import Place


class Script(IPythonHost):
    """Unattended IPython: a script, or no terminal."""

    name = "IPython, unattended"

    def places(self) -> Iterator[Place]:
        """What writes to the standard streams, and the pagers."""
        from clarifai_magic.redaction.places import of_terminal

        yield from of_terminal()
        yield from super().places()


class Terminal(Script):
    """Interactive IPython in a terminal."""

    name = "IPython in a terminal"
    asks = Asks.PROMPT
    takes_prompts = True
    instead = "Run %clarifai_auth and answer its prompt, or set CLARIFAI_PAT in the environment."


def in_terminal(shell: Any) -> Host:
    """A shell without a kernel, or none."""
    if shell is None:
        return Host()
    # An application's shell that runs a file says that it is not interactive.
    attended = getattr(shell.parent, "interact", True) and sys.stdin is not None
    return Terminal(shell) if attended and sys.stdin.isatty() else Script(shell)
