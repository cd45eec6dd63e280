"""Every way in which a notebook could show a key: what leaks there, with the guard and without."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from jupyter_client.manager import KernelManager
from test_terminal import IN_A_TERMINAL, IPYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator

XMODES = ("Plain", "Context", "Verbose")

CELLS = {
    "print": "print(key)",
    "stderr": "import sys; print(key, file=sys.stderr)",
    "result": "key",
    "result in a dict": "{'Authorization': 'Key ' + key}",
    "display": "display(key)",
    "display update": "h = display('x', display_id=True); h.update(key)",
    "logging": "import logging; logging.warning('calling with %s', key)",
    "warning": "import warnings; warnings.warn(key)",
    "exception": "raise ValueError(key)",
    "traceback": "def call(secret):\n    return 1 / 0\ncall(key)\n",
    "chained traceback": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError(key) from e\n",
    "environment": "import os; print(dict(os.environ))",
    "%env": "%env CLARIFAI_PAT",
    "%whos": "%whos",
    "json": "import json; print(json.dumps({'key': key}))",
    "URL": "from urllib.parse import quote; print('https://x?k=' + quote('Key ' + key))",
    "base64": "import base64; print(base64.b64encode(key.encode()).decode())",
    "base64 of a header": "print(base64.b64encode(b'user:' + key.encode()).decode())",
    "two writes": "import sys; sys.stdout.write(key[:15]); sys.stdout.write(key[15:])",
    "thread": "import threading; t = threading.Thread(target=print, args=(key,)); t.start(); t.join()",
    "pretty printer": "from pprint import pprint; pprint([key] * 3)",
}
"""What a cell may do; `key` holds the key."""

KERNEL_CELLS = {
    "display of HTML": "from IPython.display import HTML; display(HTML(f'<b>{key}</b>'))",
    "shell line": "!echo $CLARIFAI_PAT",
    "%%bash": "%%bash\necho $CLARIFAI_PAT",
    "file descriptor": "import os; os.write(1, (key + chr(10)).encode())",
    "two messages": "print(key[:12], end='', flush=True)\nimport time; time.sleep(0.3)\nprint(key[12:])",
    "widget": "import ipywidgets; ipywidgets.Text(value=key)",
    "input prompt": "input(key)",
}
"""What a kernel can do besides. In a terminal a subprocess writes by itself, past Python."""


def encodings(key: str) -> list[str]:
    """How a key may stand in a message so that a reader gets it without effort."""
    header = base64.b64encode(b"user:" + key.encode()).decode()
    return [key, quote(key, safe=""), base64.b64encode(key.encode()).decode()[:40], header[8:44]]


@contextmanager
def kernel() -> Iterator[Kernel]:
    """A kernel of this interpreter and a client that keeps all that comes from it."""
    manager = KernelManager(kernel_name="python3")
    # What is written to the file descriptor goes to the Jupyter server's log as well, whatever
    # the kernel does; that is not what a notebook shows.
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


class Kernel:
    """What a front end sees of a kernel."""

    def __init__(self, client) -> None:
        self.client = client

    def seen(self, cell: str) -> str:
        """All messages of a cell's run, but the echo of its source."""
        messages: list[dict] = []

        def answer(request: dict) -> None:
            messages.append(request)
            self.client.input("nothing")

        reply = self.client.execute_interactive(
            cell,
            output_hook=messages.append,
            stdin_hook=answer,
            allow_stdin=True,
            stop_on_error=False,
            timeout=60,
        )
        shown = [m["content"] for m in messages if m["msg_type"] != "execute_input"]
        return json.dumps([*shown, reply["content"]])

    def replies(self) -> dict[str, str]:
        """What a kernel tells outside of cells."""
        asked = {
            "inspection": self.client.inspect("key"),
            "completion": self.client.complete("keys['"),
            "history": self.client.history(hist_access_type="tail", n=50),
        }
        got = {}
        for name, message_id in asked.items():
            while True:
                reply = self.client.get_shell_msg(timeout=60)
                if reply["parent_header"].get("msg_id") == message_id:
                    got[name] = json.dumps(reply["content"])
                    break
        return got


def in_kernel(prepare: str, key: str, xmode: str) -> dict[str, bool]:
    """Which sinks of a kernel show the key, after a cell that signs in."""
    with kernel() as running:
        running.seen(f"%xmode {xmode}\n{prepare}")
        # The history holds a key that somebody typed before.
        running.seen(f"typed = '{key}'; keys = {{key: 1}}")
        seen = {name: running.seen(cell) for name, cell in {**CELLS, **KERNEL_CELLS}.items()}
        seen.update(running.replies())
    return {name: _leaks(text, key) for name, text in seen.items()}


def in_terminal(prepare: str, key: str, xmode: str) -> dict[str, bool]:
    """Which sinks of terminal IPython show the key."""
    marks = {name: f"<<{number}>>" for number, name in enumerate(CELLS)}
    lines = [f"%xmode {xmode}", *prepare.splitlines()]
    for name, cell in CELLS.items():
        lines += [f"print('{marks[name]}')", *cell.split("\n")]
    done = subprocess.run(
        [*IN_A_TERMINAL, *IPYTHON, "--simple-prompt", "--no-confirm-exit"],
        input="\n".join([*lines, "exit", ""]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    seen, name = dict.fromkeys(CELLS, ""), ""
    for line in done.stdout.splitlines():
        started = [other for other, mark in marks.items() if line.endswith(mark)]
        name = started[0] if started else name
        if name:
            seen[name] += line + "\n"
    assert all(seen.values()), done.stdout
    return {name: _leaks(text, key) for name, text in seen.items()}


def _leaks(text: str, key: str) -> bool:
    joined = text.replace('"}, {"name": "stdout", "text": "', "")
    return any(encoding in joined for encoding in encodings(key))


SIGN_IN = "%load_ext clarifai_magic\n%clarifai_auth\nimport os; key = os.environ['CLARIFAI_PAT']"
BY_HAND = "import os; key = os.environ['CLARIFAI_PAT']"


def main() -> None:
    """Print the table of the README."""
    from clarifai_magic.sandbox import Sandbox

    with Sandbox() as sandbox:
        os.environ.update(CLARIFAI_PAT=sandbox.keys.pat, CLARIFAI_API_BASE=sandbox.base)
        by_hand = in_kernel(BY_HAND, sandbox.keys.pat, "Verbose")
        ours = in_kernel(SIGN_IN, sandbox.keys.pat, "Verbose")
    print("| sink | key in a variable | `%clarifai_auth` |\n|---|---|---|")
    for name, leaks in by_hand.items():
        print(f"| {name} | {'shows it' if leaks else '-'} | {'shows it' if ours[name] else '-'} |")
    print(f"| **together** | **{sum(by_hand.values())}** | **{sum(ours.values())}** |")


if __name__ == "__main__":
    sys.exit(main())
