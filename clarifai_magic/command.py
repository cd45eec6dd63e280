"""The command ``clarifai-magic``: what the package does without a notebook."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from clarifai_magic.errors import ClarifaiMagicError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED = 2


def main() -> int:
    """Read the command line; the exit code."""
    told = "; ".join(f"{name}: {each.__doc__}" for name, each in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="clarifai-magic",
        usage="%(prog)s COMMAND …",
        description=__doc__,
        epilog="COMMAND --help shows the arguments of each.",
    )
    parser.add_argument("command", choices=_COMMANDS, help=told)
    command = parser.parse_args(sys.argv[1:2]).command
    try:
        return _COMMANDS[command](sys.argv[2:])
    except ClarifaiMagicError as error:
        print(error, file=sys.stderr)
        return _FAILED


def _audit(words: Sequence[str]) -> int:
    """Search files and git's history for keys."""
    from clarifai_magic.audit.command import parser, run

    return run(parser("clarifai-magic audit").parse_args(words), print)


def _doctor(words: Sequence[str]) -> int:
    """Report on everything between this machine and the API."""
    parser = argparse.ArgumentParser(prog="clarifai-magic doctor", description=_doctor.__doc__)
    parser.add_argument("--base", default="", metavar="URL", help="another deployment")
    parser.add_argument("--root-certificates", default="", metavar="PATH", help="its CA bundle")
    arguments = parser.parse_args(words)
    from clarifai_magic.notebook.doctor import report

    print(report(arguments.base, arguments.root_certificates))
    return 0


def _sandbox(words: Sequence[str]) -> int:
    """Serve a sandbox until Ctrl-C."""
    from clarifai_magic.sandbox.__main__ import main as serve

    serve("clarifai-magic sandbox", words)
    return 0


_COMMANDS = {"audit": _audit, "doctor": _doctor, "sandbox": _sandbox}
