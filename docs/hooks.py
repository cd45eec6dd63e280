"""Puts the notebooks, which live beside this folder, into the site, for any reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@event_priority(100)  # before mkdocs-jupyter, which makes pages of them
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook: MkDocs' hook, called once it has found the other files."""
    for path in sorted(_NOTEBOOKS.glob("*.ipynb")):
        files.append(
            File(
                f"notebooks/{path.name}",
                str(_NOTEBOOKS.parent),
                config.site_dir,
                config.use_directory_urls,
            )
        )
    return files


def on_page_content(html: str, **_: object) -> str:
    """Let the keyboard scroll a notebook's code, as Material lets it scroll other code."""
    return html.replace('<div class="highlight-ipynb', '<div tabindex="0" class="highlight-ipynb')
