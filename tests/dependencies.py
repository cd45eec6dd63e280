"""docs/dependencies.md, from what is installed: what comes with the package, its licence, its size."""

from __future__ import annotations

from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parents[1] / "docs" / "dependencies.md"
EXTRAS = ("guard", "keyring", "tls")
HEAD = """\
# Dependencies

What `pip install clarifai-magic` brings on Linux with Python 3.11 or newer, and what each extra adds. The sizes are those of
the installed files without bytecode. `make dependencies` writes this page from the metadata of what is installed.

"""
CLASSIFIER = "License :: OSI Approved :: "


def required(name: str, extra: str = "") -> dict[str, Distribution]:
    """All that a distribution needs here, directly or not, by name.

    Parameters
    ----------
    name : str
        The distribution.
    extra : str
        One of its extras, or none.
    """
    found: dict[str, Distribution] = {}
    left = [(name, {extra})]
    while left:
        at, extras = left.pop()
        for line in distribution(at).requires or []:
            needed = Requirement(line)
            marker = needed.marker
            if marker and not any(marker.evaluate({"extra": each}) for each in extras):
                continue
            plain = canonicalize_name(needed.name)
            if plain not in found:
                found[plain] = distribution(needed.name)
                left.append((needed.name, needed.extras or {""}))
    return found


def licence(installed: Distribution) -> str:
    """A distribution's licence, as its metadata has it."""
    metadata = installed.metadata
    classifiers = (each for each in metadata.get_all("Classifier") or [] if CLASSIFIER in each)
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    # Some put the whole text there.
    if stated in ("", "UNKNOWN") or "\n" in stated or len(stated) > 40:
        stated = ", ".join(each.removeprefix(CLASSIFIER) for each in classifiers) or "not stated"
    return stated


def megabytes(installed: Distribution) -> float:
    """How much room a distribution's files take."""
    return sum(file.size or 0 for file in installed.files or [] if file.suffix != ".pyc") / 1e6


def page() -> str:
    """The page: a table for the package, and one for each extra."""
    package = required("clarifai-magic")
    lines = distribution("clarifai-magic").requires or []
    direct = {canonicalize_name(Requirement(line).name) for line in lines}
    parts = [HEAD, table(package, direct)]
    for extra in EXTRAS:
        added = required("clarifai-magic", extra)
        rest = {name: added[name] for name in added.keys() - package.keys()}
        parts.append(f"\n## `clarifai-magic[{extra}]`\n\n{table(rest, direct)}")
    return "".join(parts)


def table(found: dict[str, Distribution], direct: set[str]) -> str:
    """A row for each distribution, those that the package names itself in bold, and the sum."""
    lines = ["| package | licence | MB |", "|---|---|---|"]
    for name, installed in sorted(found.items()):
        shown = f"**{name}**" if name in direct else name
        lines.append(f"| {shown} | {licence(installed)} | {megabytes(installed):.1f} |")
    total = sum(map(megabytes, found.values()))
    return "\n".join([*lines, f"| *together* | | {total:.1f} |", ""])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
