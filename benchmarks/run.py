"""Measure everything against its peer, write docs/performance.md; 1 if a budget is missed."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from pathlib import Path

from auditing import auditing
from brokering import brokering
from calls import in_flight, one_by_one
from guarding import guarding
from mapping import memory, small_requests, uploads
from measuring import Row, sandbox, table
from showing import showing
from starting import loading, signing_in

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PACKAGES = (
    "clarifai-magic",
    "clarifai-grpc",
    "clarifai",
    "grpcio",
    "protobuf",
    "ipython",
    "ipykernel",
)
HEAD = """# Performance

`make bench` measures the cost of signing in and of calls, and writes this page. Each figure
stands beside its peer's from the same run: every round measures both, in random order, and the
ratio is the median of the rounds' ratios. The server is the sandbox in another process, or, for
large bodies, a server that only receives and sends bytes. A call is `MyScopes`; a REST call is
`GetUser`. The client's figures include the broker's cost, because both are in one process.

"""


def form_size() -> list[Row]:
    """The bytes that a browser loads for the form."""
    folder = Path(__file__).parents[1] / "clarifai_magic" / "notebook" / "form"
    kilobytes = sum((folder / name).stat().st_size for name in ("form.js", "form.css")) / 1000
    return [Row("form.js and form.css, in kB", f"{kilobytes:.1f} kB", "", kilobytes, 20)]


_MEASURES = (
    loading,
    signing_in,
    one_by_one,
    in_flight,
    small_requests,
    uploads,
    memory,
    brokering,
    guarding,
    auditing,
    form_size,
    showing,
)


def main() -> int:
    """Run all, in the order of what is asked first."""
    rows: list[Row] = []
    with sandbox():
        for measure in _MEASURES:
            rows += measure()
            print(f"{measure.__name__}: done", flush=True)
    machine = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    page = f"{HEAD}{table(rows)}\n\n{machine}; {versions}.\n"
    PAGE.write_text(page, encoding="utf-8")
    print(page)
    return 1 if any(row.missed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
