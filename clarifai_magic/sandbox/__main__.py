"""Serve a sandbox until Ctrl-C: `python -m clarifai_magic.sandbox`.

Its output is for a shell to evaluate, keys included; the table is in comments.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from typing import TYPE_CHECKING

from clarifai_magic.sandbox import Sandbox
from clarifai_magic.sandbox.seed import ABOUT, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Sequence


def _arguments(program: str, words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--tls", action="store_true", help="serve TLS (needs clarifai-magic[tls])")
    for name, told in {
        "--latency": "seconds before each answer",
        "--throttle": "share of calls that fail with 11005",
        "--outage": "share of calls that end with UNAVAILABLE",
        "--rate": "calls per second before 11005; 0 for no limit",
    }.items():
        parser.add_argument(name, type=float, default=0.0, help=told)
    return parser.parse_args(words)


def _announcement(sandbox: Sandbox) -> str:
    exports = {
        "CLARIFAI_API_BASE": sandbox.base,
        "CLARIFAI_USER_ID": sandbox.user_id,
        "CLARIFAI_APP_ID": sandbox.app_id,
        "CLARIFAI_PAT": sandbox.keys.pat,
    }
    if sandbox.root_certificates:
        exports["CLARIFAI_ROOT_CERTIFICATES_PATH"] = sandbox.root_certificates
    return "\n".join(
        [
            *(f"export {name}={value}" for name, value in exports.items()),
            *(f"# {user:8} {apps}" for user, apps in PEOPLE.items()),
            *(f"# {getattr(sandbox.keys, name)}  {words}" for name, words in ABOUT.items()),
        ]
    )


def main(
    program: str = "python -m clarifai_magic.sandbox", words: Sequence[str] | None = None
) -> None:
    """Serve until interrupted or terminated.

    Parameters
    ----------
    program : str
        The program's name, for its help.
    words : sequence of str, optional
        The command line; None for the process's.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = vars(_arguments(program, words))
        with contextlib.suppress(KeyboardInterrupt), Sandbox(**options) as sandbox:
            print(_announcement(sandbox), flush=True)
            while True:
                time.sleep(3600)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        raise SystemExit(f"The sandbox cannot start: {error}") from None


if __name__ == "__main__":
    main()
