"""The oldest versions that pyproject.toml admits, as constraints for pip."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))


def constraints() -> list[str]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    needed = [*PROJECT["project"]["dependencies"], *(each for extra in extras for each in extra)]
    return [re.sub(r">=([\d.]+).*", r"==\1", each) for each in needed]


if __name__ == "__main__":
    print("\n".join(constraints()))
