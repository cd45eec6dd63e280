"""marimo's notebooks: in its editor, as an app, and run as scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic import marimo, viewers
from clarifai_magic.notebook.hosts.base import Asks, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Script(Host):
    """A notebook that runs as a script, or is tested: nobody sees its outputs."""

    name = "marimo, as a script"
    instead = "Set CLARIFAI_PAT in the environment and call clarifai_magic.connect()."


class Notebook(Script):
    """A notebook on a page: in the editor or as an app."""

    name = "marimo"
    asks = Asks.FORM
    instead = "To sign in to Clarifai, set CLARIFAI_PAT in marimo's environment."
    replaces_outputs = False
    reactive = True

    def __init__(self) -> None:
        super().__init__()
        self.viewer = viewers.current()

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any], display_id: str) -> None:
        """Nothing: the form is an element, which marimo shows."""

    def replace(
        self, data: Mapping[str, Any], metadata: Mapping[str, Any], display_id: str
    ) -> None:
        """Nothing: what a form leaves is drawn by its own view."""

    def carried(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for another thread, which is this notebook's and this viewer's then."""
        return marimo.carried(super().carried(function))

    def hide_key_arriving(self, comm_id: str) -> None:
        """Where the kernel takes a command: it logs each, at DEBUG."""
        from clarifai_magic.notebook.hosts.arriving import Handled, secret_on_arrival

        secret_on_arrival(marimo.kernel(), "handle_message", Handled, comm_id)


def in_marimo() -> Host:
    """A thread with a runtime of marimo's."""
    return Script() if marimo.kernel() is None else Notebook()
