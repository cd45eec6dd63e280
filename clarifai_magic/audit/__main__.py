"""``python -m clarifai_magic.audit PATH…``."""

from __future__ import annotations

import sys

from clarifai_magic.audit.command import UNREAD, parser, run
from clarifai_magic.errors import ClarifaiMagicError


def main() -> int:
    """Read the command line; the exit code."""
    try:
        return run(parser("python -m clarifai_magic.audit").parse_args(), print)
    except ClarifaiMagicError as error:
        print(error, file=sys.stderr)
        return UNREAD


if __name__ == "__main__":
    sys.exit(main())
