"""What a host is asked."""

from __future__ import annotations

import contextlib
import contextvars
import enum
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from clarifai_magic.notebook.hosts.hearing import Silence
    from clarifai_magic.redaction.masking import Masker
    from clarifai_magic.redaction.places import Place
    from clarifai_magic.viewers import Viewer


class Asks(enum.Enum):
    """How to ask for a key when nothing else has one."""

    FORM = "by a form in the cell's output"
    WORDS = "by a line that says what a person does instead, for no form would be seen"
    PROMPT = "by a hidden prompt, while the cell runs"
    NOBODY = "nobody"


class Host:
    """Where a cell is written and its output read; this one is unattended.

    Attributes
    ----------
    name : str
        Its common name.
    asks : Asks
        How to ask for a key here.
    takes_prompts : bool
        Whether somebody can answer a prompt in this very cell, should it ask by one.
    prompt_patience : float
        Seconds after which a prompt ends, where nobody may be there after all; 0 for never.
    instead : str
        One line: what a person does to sign in where no form can be seen.
    unseen : str
        One line instead of a form that no page has drawn.
    patience : float
        Seconds after which a form that no page has drawn is taken for one that none can draw.
    replaces_outputs : bool
        Whether `replace` reaches the page once the cell has run.
    in_colab : bool
        Whether secrets of Google Colab can be asked for.
    reactive : bool
        Whether cells run again when what they use changes, as marimo's do.
    shell : InteractiveShell or None
        IPython's; None where there is none.
    viewer : Viewer or None
        For whom this code runs, where one process serves several.
    """

    name = "nobody"
    asks = Asks.NOBODY
    takes_prompts = False
    prompt_patience = 0.0
    instead = "Set CLARIFAI_PAT (or CLARIFAI_API_KEY) in the environment."
    unseen = ""
    patience = 3.0
    replaces_outputs = True
    in_colab = False
    reactive = False
    viewer: Viewer | None = None

    def __init__(self, shell: Any = None) -> None:
        self.shell = shell

    # The form

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any], display_id: str) -> None:
        """Show the form, or what is in its place, as this cell's output.

        Parameters
        ----------
        data, metadata : mapping
            Of the output, by MIME type.
        display_id : str
            By which `replace` finds it again.
        """
        from IPython.display import display

        display(dict(data), metadata=dict(metadata), raw=True, display_id=display_id)

    def replace(
        self, data: Mapping[str, Any], metadata: Mapping[str, Any], display_id: str
    ) -> None:
        """Replace it, at any time and from any thread."""
        from IPython.display import update_display

        update_display(dict(data), metadata=dict(metadata), raw=True, display_id=display_id)

    def carried(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function for another thread, whose output comes where this cell's does."""
        return partial(contextvars.copy_context().run, function)

    def sender(self) -> str:
        """Which page sent the request that is at work: an ID of its own; empty if not told."""
        return ""

    def hide_key_arriving(self, comm_id: str) -> None:
        """Turn the key in a form's messages into a `Secret` before anything can log them."""

    def on_silence(self, act: Callable[[], object]) -> Silence | None:  # noqa: ARG002 - for others
        """Have `act` called if nobody has stopped it while the host could hear its pages.

        Returns
        -------
        Silence or None
            It lasts for `patience`; None where a form is always seen.
        """
        return None

    # The guard

    def places(self) -> Iterator[Place]:
        """The places for the guard: where output is shown, stored or written."""
        yield from ()

    def settle(self, masker: Masker, gone: Masker | None) -> None:  # noqa: ARG002 - for others
        """Mask stored output for good, because a key may be forgotten now.

        Parameters
        ----------
        masker : Masker
            Of all keys until now.
        gone : Masker or None
            Of those whose sessions have ended, if there are any.
        """
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


class IPythonHost(Host):
    """A host with IPython's shell, whose history and log are guarded too."""

    def places(self) -> Iterator[Place]:
        """Where IPython stores and writes what it shows."""
        from clarifai_magic.redaction.places import of_history

        yield from of_history(self.shell)

    def settle(self, masker: Masker, gone: Masker | None) -> None:
        """Also mask what IPython stores, and drop what it would show again."""
        super().settle(masker, gone)
        if (manager := getattr(self.shell, "history_manager", None)) is not None:
            from clarifai_magic.redaction.history import forget_shown, mask_outputs

            if gone is not None:
                forget_shown(self.shell, gone)
            mask_outputs(manager, masker)
