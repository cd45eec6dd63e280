"""Serve a sandbox until Ctrl-C: `python -m clarifai_magic.sandbox`.

What it prints is for a shell to take in, keys included; the table is in comments.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import time

from clarifai_magic.sandbox import Sandbox
from clarifai_magic.sandbox.seed import ABOUT, PEOPLE


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m clarifai_magic.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--tls", action="store_true", help="serve TLS (needs clarifai-magic[tls])")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument(
        "--throttle", type=float, default=0.0, help="share of calls answered with 11005"
    )
    parser.add_argument(
        "--outage", type=float, default=0.0, help="share of calls that end with UNAVAILABLE"
    )
    return parser.parse_args()


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


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Serve until interrupted or terminated."""
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt), Sandbox(**vars(_arguments())) as sandbox:
        print(_announcement(sandbox), flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        raise SystemExit(f"The sandbox cannot start: {error}") from None
