"""The form's place on the page: an anywidget that carries messages and keeps nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from clarifai_magic.keys import SECRETS_PAGE

_HERE = Path(__file__).parent


class View(anywidget.AnyWidget):
    """What the browser shows of a form.

    Its traits are part of the widget state, which front ends save into the notebook, so they hold
    only what may be read there. What is typed comes as a custom message (``on_msg``), which
    nothing saves.

    Parameters
    ----------
    prefilled : dict of str to str
        What the fields `user_id`, `app_id`, `base` and `root_certificates` hold at first.
    usual_base : str
        The base URL that counts when none is typed.
    """

    _esm = _HERE / "form.js"
    _css = _HERE / "form.css"

    keys_page = traitlets.Unicode(SECRETS_PAGE).tag(sync=True)
    prefilled = traitlets.Dict().tag(sync=True)
    usual_base = traitlets.Unicode().tag(sync=True)

    def bundle(self, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata of its display, with `text` for front ends without widgets."""
        data, metadata = self._repr_mimebundle_() or ({}, {})
        return {**data, "text/plain": text}, metadata

    def close(self) -> None:
        """Close the comm, and that of the layout which every widget has."""
        if self.comm is not None:
            self.layout.close()
        super().close()
