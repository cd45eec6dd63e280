"""Jupyter's kernels, and who sent them the cell that runs.

A notebook's page gives each request a random ID. Programs that use jupyter_client, consoles,
servers that execute by themselves and unattended runs, number theirs: ``SESSION_PROCESS_NUMBER``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clarifai_magic.notebook.hosts.base import Asks, Host, IPythonHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from clarifai_magic.notebook.hosts.hearing import Silence
    from clarifai_magic.redaction.masking import Masker
    from clarifai_magic.redaction.places import Place


_A_PERSON = (
    "To sign in to Clarifai, a person runs %clarifai_auth --from prompt in a cell, or sets "
    "CLARIFAI_PAT in the kernel's environment."
)
_IN_THE_NOTEBOOK = (
    "To sign in to Clarifai, a person runs %clarifai_auth in this kernel's notebook, in the "
    "browser, or sets CLARIFAI_PAT in the kernel's environment."
)


class Kernel(IPythonHost):
    """A kernel whose cell comes from an unattended run: nbclient, papermill."""

    name = "a kernel, unattended"

    @property
    def kernel(self) -> Any:
        """The kernel."""
        return self.shell.kernel

    def places(self) -> Iterator[Place]:
        """What sends the kernel's messages."""
        from clarifai_magic.redaction.places import of_kernel

        yield from of_kernel(self.kernel)
        yield from super().places()

    def settle(self, masker: Masker, gone: Masker | None) -> None:
        """First have all sent that was written to the kernel's own streams."""
        from clarifai_magic.redaction.places import flush_streams

        flush_streams(self.kernel)
        super().settle(masker, gone)

    def sender(self) -> str:
        """The ID by which a page's requests to a kernel are told from others'."""
        return str(self.kernel.get_parent().get("header", {}).get("session", ""))

    def hide_key_arriving(self, comm_id: str) -> None:
        """Where the kernel reads its messages."""
        from clarifai_magic.notebook.hosts.arriving import Unpacked, secret_on_arrival

        secret_on_arrival(self.kernel.session, "unpack", Unpacked, comm_id)


class Page(Kernel):
    """A notebook on a page, with a user: JupyterLab, Notebook, VS Code."""

    name = "a notebook's page"
    asks = Asks.FORM
    takes_prompts = True
    instead = _A_PERSON
    unseen = (
        "The Clarifai sign-in form did not appear. Run %clarifai_auth --from prompt instead, or "
        "this cell again; or set CLARIFAI_PAT in the kernel's environment."
    )

    def on_silence(self, act: Callable[[], object]) -> Silence:
        """While the kernel runs no cell."""
        from clarifai_magic.notebook.hosts.hearing import Silence

        return Silence(self.shell.events, self.patience, act)


class Touched(Page):
    """A widget on such a page that somebody has touched: what it calls can show a form.

    A page answers only the prompts of cells.
    """

    name = "a widget on a notebook's page"
    takes_prompts = False

    def on_silence(self, act: Callable[[], object]) -> Silence:
        """From now on: no cell is running that would have to end first."""
        silence = super().on_silence(act)
        silence.wait()
        return silence


class Colab(Page):
    """Google Colab, which has secrets of its own."""

    name = "Google Colab"
    patience = 15.0  # it fetches the widget renderer on first use
    in_colab = True


class UnattendedColab(Kernel):
    """Google Colab, unattended."""

    name = "Google Colab, unattended"
    in_colab = True


class Served(Kernel):
    """A notebook whose cells its server executes: a new widget never reaches the page.

    The cell is over for the server once it has run: what comes later is not shown either. An agent
    may have sent it, so that nobody is kept waiting by a prompt that was not asked for, nor for
    long by one that was: its cells wait behind it.
    """

    name = "a Jupyter server that executes cells itself"
    asks = Asks.WORDS
    takes_prompts = True
    prompt_patience = 60.0
    instead = _A_PERSON


class ServedUnasked(Kernel):
    """A notebook whose cells its server executes, and answers no prompt for them.

    Its pages reach the kernel beside the server: a console for the notebook answers prompts.
    """

    name = "a Jupyter server that executes cells itself and answers no prompt"
    instead = (
        "Set CLARIFAI_PAT in the kernel's environment; or a person opens a console for this "
        "notebook (File, New Console for Notebook) and runs %clarifai_auth --from prompt there."
    )


class Attached(Served):
    """A program on a kernel that another has started: an agent's, or a second console."""

    name = "a program on another's kernel"
    instead = _IN_THE_NOTEBOOK


class AttachedUnasked(Kernel):
    """Such a program that answers no prompt."""

    name = "a program on another's kernel, unattended"
    instead = _IN_THE_NOTEBOOK


class Console(Kernel):
    """A console with a kernel of its own: jupyter console, qtconsole."""

    name = "a console"
    asks = Asks.PROMPT
    takes_prompts = True
    instead = "Run %clarifai_auth and answer its prompt, or set CLARIFAI_PAT in the environment."


def in_kernel(shell: Any) -> Host:
    """A shell with a kernel; the request that it works on tells who sent it."""
    request = shell.kernel.get_parent()
    # Pages and consoles say that they can answer a prompt; unattended runs do not.
    attended = bool(request.get("content", {}).get("allow_stdin"))
    sender = _numbered_by(request.get("header", {}))
    touched = sender is None and "comm_id" in request.get("content", {})
    # Colab's package can be installed elsewhere too; its shell runs in Colab alone.
    if type(shell).__module__.startswith("google.colab"):
        return (Colab if attended or touched else UnattendedColab)(shell)
    if sender is None:
        return (Touched if touched else Page if attended else Kernel)(shell)
    # On Windows, JPY_PARENT_PID is a handle.
    parents = {os.environ.get("JPY_PARENT_PID"), str(os.getppid())}
    if str(sender) not in parents:
        return (Attached if attended else AttachedUnasked)(shell)
    if "JPY_SESSION_NAME" in os.environ:  # set by a Jupyter server for a notebook
        return (Served if attended else ServedUnasked)(shell)
    return (Console if attended else Kernel)(shell)


def _numbered_by(header: Mapping[str, Any]) -> int | None:
    """The process whose jupyter_client has numbered a request; None if a page sent it."""
    session, process, number = [*str(header.get("msg_id", "")).rsplit("_", 2), "", ""][:3]
    numbered = process.isdecimal() and number.isdecimal()
    return int(process) if numbered and session == header.get("session") else None
