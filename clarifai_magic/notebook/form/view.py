"""The form's place on the page: an anywidget that passes messages and stores nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from clarifai_magic.api import PUBLIC_BASE, SECRETS_PAGE

_HERE = Path(__file__).parent


class View(anywidget.AnyWidget):
    """The browser's view of a form.

    Its traits are part of the widget state, which front ends save into the notebook, so they hold
    only public values. Typed text arrives as a custom message (``on_msg``), which nothing
    saves.

    Parameters
    ----------
    prefilled : dict of str to str
        What the fields `user_id`, `app_id`, `base` and `root_certificates` hold at first.
    usual_base : str
        The base URL to use if none is typed.

    Attributes
    ----------
    lines : list of str
        What stays in the form's place, where its own view has to draw that.
    shows : object
        The form whose place this is; in marimo one follows another.
    """

    _esm = _HERE / "form.js"
    _css = _HERE / "form.css"

    keys_page = traitlets.Unicode(SECRETS_PAGE).tag(sync=True)
    own_base = traitlets.Unicode(PUBLIC_BASE).tag(sync=True)
    prefilled = traitlets.Dict().tag(sync=True)
    usual_base = traitlets.Unicode().tag(sync=True)
    lines = traitlets.List(traitlets.Unicode()).tag(sync=True)

    shows: object = None

    def bundle(self, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata of its display, with `text` for front ends without widgets."""
        data, metadata = self._repr_mimebundle_() or ({}, {})
        return {**data, "text/plain": text}, metadata

    def close(self) -> None:
        """Close the comm, and that of the widget's layout."""
        if self.comm is not None:
            self.layout.close()
        super().close()
