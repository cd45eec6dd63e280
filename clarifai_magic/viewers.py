"""Who looks at this page, where one process serves several: as those of Panel, Solara, marimo do.

The server's own object for each viewer identifies them. A kernel is one person's: there, and
outside any page, there are no viewers to distinguish.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic import marimo

if TYPE_CHECKING:
    from collections.abc import Callable


class Viewer(NamedTuple):
    """One of several.

    Parameters
    ----------
    server : str
        What serves the page.
    page : object
        The server's object for this viewer alone, the same for the viewer's whole visit.
    when_gone : callable
        Takes a callback, to call when the viewer has left.
    """

    server: str
    page: Any
    when_gone: Callable[[Callable[[], object]], object]


def current() -> Viewer | None:
    """The viewer for whom this code runs; None where it runs for nobody in particular."""
    return _of_solara() or _of_panel() or _of_marimo()


def served() -> bool:
    """Whether a server of dashboards, Panel's or Solara's, runs this code, be it for nobody yet."""
    return _in_solara() is not None or _of_panel() is not None


def _in_solara() -> Any:
    contexts = sys.modules.get("solara.server.kernel_context")
    return contexts if contexts is not None and contexts.has_current_context() else None


def _of_solara() -> Viewer | None:
    contexts = _in_solara()
    if contexts is None:
        return None
    page = contexts.get_current_context()
    # An app's module that runs before any viewer comes has a context too, without a viewer.
    return Viewer("Solara", page, page.on_close) if page.id in contexts.contexts else None


def _of_panel() -> Viewer | None:
    panel = sys.modules.get("panel.io.state")
    page = panel and panel.state.curdoc
    if page is None or page.session_context is None:
        return None

    def when_gone(callback: Callable[[], object]) -> None:
        page.on_session_destroyed(lambda _context: callback())

    return Viewer("Panel", page, when_gone)


def _of_marimo() -> Viewer | None:
    kernel = marimo.kernel()
    if kernel is None or marimo.mode() != "run":
        return None
    return Viewer("marimo", kernel, partial(marimo.when_torn_down, kernel))
