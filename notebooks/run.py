"""Run a notebook in a real kernel, print it cell by cell, and keep it only if asked to."""

from __future__ import annotations

import argparse
import asyncio
import sys
import textwrap
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def shown(output: nbformat.NotebookNode) -> str:
    """The text of one output, as a terminal can show it."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return str(output.data.get("text/plain", ""))


def is_view(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a widget, such as a progress bar, which is nothing without a kernel."""
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


async def run(path: Path, *, save: bool) -> int:
    """Execute a notebook.

    Parameters
    ----------
    path : Path
        The notebook.
    save : bool
        Whether to write the outputs back into it.

    Returns
    -------
    int
        0, or 1 if a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
    )
    async with client.async_setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                print(f"{cell.source}\n")
                continue
            print(textwrap.indent(cell.source, ">>> ", lambda _line: True))
            try:
                await client.async_execute_cell(cell, index)
            except CellExecutionError:
                return 1
            finally:
                for output in cell.outputs:
                    print(textwrap.indent(shown(output).rstrip(), "    "))
                print()
    if save:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [each for each in cell.outputs if not is_view(each)]
        nbformat.write(notebook, path)
    return 0


def main() -> int:
    """Read the command line and run each notebook that it names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--save", action="store_true", help="write the outputs back")
    arguments = parser.parse_args()
    return max(asyncio.run(run(path, save=arguments.save)) for path in arguments.notebooks)


if __name__ == "__main__":
    sys.exit(main())
