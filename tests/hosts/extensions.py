"""Which of the installed extensions a Jupyter server and its JupyterLab load, and its kernels.

All hosts are tried in one environment, and some of their extensions exclude each other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ALWAYS = {"jupyterlab", "jupyter_server_fileid", "@jupyter-widgets/jupyterlab-manager", "anywidget"}


def load_only(root: Path, *names: str, **settings: object) -> Path:
    """Configure the server that `jupyter` starts in the new folder `root`.

    Parameters
    ----------
    names : str
        Of the server's extensions and of JupyterLab's that are to be loaded.
    settings
        Of the server.
    """
    wanted = ALWAYS | set(names)
    extensions = {name: name in wanted for name in _servers()}
    _write(
        root / "config/jupyter_server_config.json",
        {"ServerApp": {"jpserver_extensions": extensions, **settings}},
    )
    _write(
        root / "config/labconfig/page_config.json",
        {
            "buildCheck": False,  # of which nobody here wants to know
            "disabledExtensions": {name: True for name in _labs() if name not in wanted},
        },
    )
    (root / "data").mkdir(parents=True, exist_ok=True)  # for the database of file IDs
    return root


def add_kernel(root: Path, name: str, environment: dict[str, str]) -> None:
    """Give the server in `root` a kernel with more in its environment."""
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": name, "language": "python", "env": environment}
    _write(root / "data/kernels" / name / "kernel.json", kernel)


def _servers() -> list[str]:
    found: list[str] = []
    for file in Path(sys.prefix, "etc/jupyter/jupyter_server_config.d").glob("*.json"):
        found += json.loads(file.read_text())["ServerApp"]["jpserver_extensions"]
    return found


def _labs() -> list[str]:
    folder = Path(sys.prefix, "share/jupyter/labextensions")
    return [
        str(file.parent.relative_to(folder))
        for pattern in ("*/package.json", "@*/*/package.json")
        for file in folder.glob(pattern)
    ]


def _write(file: Path, values: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
