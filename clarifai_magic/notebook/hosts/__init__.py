"""The host of this notebook: who runs its cells and sees their output.

Everything that differs between JupyterLab, a terminal, a dashboard or nobody at all is asked of the
`Host` that `current` gives. A host is recognised by what it sets: the shell's class, the request
that the kernel works on, variables in the kernel's environment, a runtime that runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.notebook.hosts.base import Asks, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Asks", "Host", "current"]


def current(shell: Any = None) -> Host:
    """The host of the running cell.

    Parameters
    ----------
    shell : InteractiveShell, optional
        The shell that runs it; by default the one that there is, if there is one.

    Returns
    -------
    Host
        A value for this cell: the next one may come from another host.
    """
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    return next(host for told in _told() if (host := told(shell)) is not None)


def _told() -> Iterator[Callable[[Any], Host | None]]:
    """What tells hosts, the most particular first; each is imported when it is its turn.

    Each takes the shell, or None where there is no IPython, and gives None if it is not the host.
    """
    from clarifai_magic.notebook.hosts.marimo import in_marimo

    yield in_marimo
    from clarifai_magic.notebook.hosts.dashboards import in_voila, on_a_dashboard

    yield on_a_dashboard
    yield in_voila
    from clarifai_magic.notebook.hosts.jupyter import in_kernel

    yield in_kernel
    from clarifai_magic.notebook.hosts.terminal import in_terminal, nobody

    yield in_terminal
    yield nobody
