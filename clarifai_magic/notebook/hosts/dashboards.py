"""Dashboards: pages on which people see what a notebook or a program shows, and run nothing.

Each viewer signs in with a key of their own. Voila starts a kernel for each; Panel and Solara
serve all of them from one process, and have neither a kernel of their own nor IPython.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clarifai_magic import viewers
from clarifai_magic.notebook.hosts.base import Asks, Host
from clarifai_magic.notebook.hosts.jupyter import Kernel


class Voila(Kernel):
    """A kernel that Voila has started for one viewer, who answers no prompt but fills in forms.

    What a cell updates after it has run does not reach the page.
    """

    name = "Voila"
    asks = Asks.FORM
    instead = "Set CLARIFAI_PAT in the environment that Voila is started in."
    replaces_outputs = False


class Dashboard(Host):
    """A page of Panel's or Solara's server."""

    asks = Asks.FORM
    replaces_outputs = False

    def __init__(self, viewer: viewers.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.name = viewer.server


class Nobodys(Host):
    """What Solara runs of an app before any viewer comes, and shares among all."""

    name = "Solara, for nobody in particular"
    instead = "Make the form in a component: there each viewer gets one of their own."


def in_voila(shell: Any, its_id: str) -> Host | None:
    """A kernel that says so in its environment, which programs that it starts inherit."""
    from ipykernel.connect import get_connection_file

    return Voila(shell) if Path(get_connection_file()).stem.endswith(its_id) else None


def on_a_dashboard() -> Host:
    """Code that runs for a viewer of Panel's or Solara's server, or for nobody yet."""
    viewer = viewers.current()
    return Nobodys() if viewer is None else Dashboard(viewer)
