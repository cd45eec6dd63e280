"""The Pythons of this machine that pyproject.toml names, beside the one that runs this."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# A pyenv shim stands on PATH also where it starts nothing; a distribution may lack ensurepip.
PROBE = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"


def supported() -> list[str]:
    return re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT.read_text("utf-8"))


def candidates(version: str) -> list[Path]:
    """Where a Python of that version may be: PATH, then pyenv's, the newest first."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    releases = [
        (int(patch[1]), folder)
        for folder in pyenv.glob(f"{version}.*")
        if (patch := re.fullmatch(r"\d+\.\d+\.(\d+)", folder.name))
    ]
    return [
        *(folder / f"python{version}" for folder in folders),
        *(folder / "bin/python" for _, folder in sorted(releases, reverse=True)),
    ]


def works(python: Path, version: str) -> bool:
    done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def found(version: str) -> Path | None:
    """A Python of that version which can make environments."""
    there = (python for python in candidates(version) if os.access(python, os.X_OK))
    return next((python for python in there if works(python, version)), None)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(
            found(sys.argv[1]) or sys.exit(f"Python {sys.argv[1]} was not found on this machine.")
        )
    else:
        own = "{}.{}".format(*sys.version_info)
        print(*(version for version in supported() if version != own and found(version)))
