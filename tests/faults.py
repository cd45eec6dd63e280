"""What can go wrong at sign-in: one row a fault, tested and printed into docs/troubleshooting.md."""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_magic import ClarifaiMagicError, Credentials, connect
from clarifai_magic.api import SECRETS_PAGE
from clarifai_magic.credentials.sources import find_credentials
from clarifai_magic.credentials.sources.base import SourceContext
from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
KEY_SHAPED = "0123456789abcdef" * 2


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    title : str
        What the user did or has.
    code : str
        The code of the error that comes of it.
    key : str
        Which of the sandbox's keys is used, or the text of a key.
    given : dict
        What else goes into the credentials.
    sandbox : dict
        Options of the sandbox.
    base : str
        Where the call goes: "" to the sandbox, "dead", "silent", or a URL.
    environment : dict
        Variables that are set.
    """

    title: str
    code: str
    key: str = "pat"
    given: dict[str, str] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)
    base: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    source: str = ""

    def provoke(self) -> ClarifaiMagicError:
        """Do what the row says; the error that comes of it."""
        with Sandbox(**self.sandbox) as sandbox, _place(self.base or sandbox.base) as base:
            os.environ.update(self.environment)
            try:
                if self.key == "none":
                    find_credentials(self.source, SourceContext())
                key = getattr(sandbox.keys, self.key, self.key)
                connect(Credentials(key, base=base, **self.given), timeout=1.5).close()
            except ClarifaiMagicError as error:
                return error
            finally:
                for name in self.environment:
                    os.environ.pop(name)
        raise AssertionError(f"{self.title}: nothing went wrong")


@contextmanager
def _place(base: str) -> Iterator[str]:
    if base not in {"dead", "silent"}:
        yield base
        return
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if base == "silent":
            bound.listen()
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


BOTH = {"user_id": "alice", "app_id": "recipes"}
FAULTS = [
    Fault("There is no key anywhere", "no-credentials", "none"),
    Fault("`--from` names a source without a key", "source", "none", source="env:TEAM_PAT"),
    Fault("The key is empty", "key-format", " "),
    Fault("The documentation's placeholder was left in", "key-format", "YOUR_PAT_HERE"),
    Fault("Two lines were pasted", "key-format", f"{KEY_SHAPED}\n{KEY_SHAPED}"),
    Fault("A curly dash slipped in", "key-format", f"{KEY_SHAPED[:8]}\u2013{KEY_SHAPED[8:]}"),
    Fault("The key is not one", "key-rejected", "not-a-clarifai-key"),
    Fault("The key was revoked or mistyped", "key-rejected", "revoked_key"),
    Fault("The app ID is mistyped", "app-not-found", given={"app_id": "mian"}),
    Fault(
        "The app is somebody else's and not shared",
        "app-not-found",
        given={"user_id": "bob", "app_id": "attic"},
    ),
    Fault("The user ID is mistyped", "user-not-found", given={"user_id": "alcie"}),
    Fault("An API key comes with another app's IDs", "app-mismatch", "api_key", given=BOTH),
    Fault("The API is too busy", "throttled", sandbox={"throttle": 1.0}),
    Fault("The API is out of service", "unreachable", sandbox={"outage": 1.0}),
    Fault("Nothing listens at the base URL", "refused-connection", base="dead"),
    Fault("The host never answers", "deadline", base="silent"),
    Fault("The host name does not exist", "unknown-host", base="https://nosuch.invalid"),
    Fault("The certificate's CA is not known", "tls", sandbox={"tls": True}),
    Fault(
        "The proxy does not answer",
        "proxy",
        base="https://api.example.com",
        environment={"https_proxy": "http://127.0.0.1:1"},
    ),
    Fault("The base URL has a path", "base-url", base="https://example.com/clarifai"),
    Fault("The CA bundle is not there", "base-url", given={"root_certificates": "/missing/ca.pem"}),
]


def page() -> str:
    """The page of the documentation, from what really happens."""
    lines = [
        "# Troubleshooting",
        "",
        "Every message below was produced by provoking the fault against the sandbox.",
        "`make troubleshooting` writes this page. Match on `code`, never on the text.",
        "",
        "| what happened | `code` | what is shown | what to do |",
        "|---|---|---|---|",
    ]
    for fault in FAULTS:
        error = fault.provoke()
        cells = [fault.title, f"`{error.code}`", error.message, error.hint]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    lines += [
        "",
        # Headings, for the site's search looks there first.
        "## What Clarifai says",
        "",
        "Clarifai's own words for some of these, as other clients show them:",
        "",
        "### API key not found (11009)",
        "",
        "CONN_KEY_NOT_FOUND, `key-rejected`: the key is mistyped, revoked or from another deployment.",
        "",
        "### Invalid API key or Invalid API key/application pair (11008)",
        "",
        "CONN_KEY_INVALID, `key-rejected`: the key is malformed, or a PAT was used without an app ID.",
        "",
        "### Invalid request (11102)",
        "",
        "CONN_INVALID_REQUEST: no key came with the call, or a field is wrong.",
        "",
        "## Finding out more",
        "",
        "`%clarifai_auth doctor` reports on everything between the notebook and the API.",
        "`clarifai_magic.explain(response_or_error)` says the same of any later call.",
        "",
        "What was tried, sent where and retried is logged at DEBUG, without keys, IDs and contents:",
        "",
        "```python",
        "import logging",
        "",
        "logging.basicConfig()",
        'logging.getLogger("clarifai_magic").setLevel("DEBUG")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    # Ports differ from run to run.
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+", "PORT", text)
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    return text.replace(SECRETS_PAGE, f"<{SECRETS_PAGE}>")


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("CLARIFAI_")]:
        del os.environ[name]
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
