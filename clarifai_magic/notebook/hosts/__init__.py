"""The host of this notebook: who runs its cells and sees their output.

Everything that differs between JupyterLab, a terminal, a dashboard or nobody at all is asked of the
`Host` that `current` gives. A host is recognised by what it sets: the shell's class, the request
that the kernel works on, variables in the kernel's environment, a runtime that runs. Only the
module of the one that may be there is imported.
"""

from __future__ import annotations

import os
from typing import Any

from clarifai_magic import viewers
from clarifai_magic.marimo import runtime
from clarifai_magic.notebook.hosts.base import Asks, Host

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
    if runtime() is not None:
        from clarifai_magic.notebook.hosts.marimo import in_marimo

        return in_marimo()
    if viewers.served():
        from clarifai_magic.notebook.hosts.dashboards import on_a_dashboard

        return on_a_dashboard()
    if getattr(shell, "kernel", None) is None:
        from clarifai_magic.notebook.hosts.terminal import in_terminal

        return in_terminal(shell)
    if voilas := os.environ.get("VOILA_KERNEL_ID"):
        from clarifai_magic.notebook.hosts.dashboards import in_voila

        if (host := in_voila(shell, voilas)) is not None:
            return host
    from clarifai_magic.notebook.hosts.jupyter import in_kernel

    return in_kernel(shell)
