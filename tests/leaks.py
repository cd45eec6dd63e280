"""Every way in which a notebook could show a key: what leaks there, with the guard and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager
from reading import MOST, recovered
from support import IN_A_TERMINAL, IPYTHON

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Matrix = dict[str, dict[str, int]]

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


FORMS = {
    "plain": "key",
    "repr": "repr(key)",
    "bytes": "repr(key.encode())",
    "upper case": "key.upper()",
    "a slice in a sentence": "f'It begins with {key[:20]}, as usual.'",
    "its start and end": "key[:6] + '<...>' + key[-25:]",
    "dots between": "'.'.join(key)",
    "spaces between": "' '.join(key)",
    "lines": "chr(10).join(key)",
    "zero-width": "chr(0x200b).join(key)",
    "far apart": "(' ' * 100).join(key)",
    "a list": "repr(list(key))",
    "wrapped at 5": "chr(10).join(key[at:at + 5] for at in range(0, 32, 5))",
    "wrapped in a box": "chr(10).join(f'│ {key[at:at + 7]:7} │' for at in range(0, 32, 7))",
    "coloured": "''.join(f'\\x1b[3{at % 8}m{each}\\x1b[0m' for at, each in enumerate(key))",
    "plain again": "''.join(f'\\x1b[1m{each}\\x1b(B\\x1b[m' for each in key)",
    "tags": "'<wbr>'.join(key)",
    "entities": "'&#8203;'.join(key)",
    "elements": "''.join(f'<td class=\"c\">{each}</td>' for each in key)",
    "tags that have > in them": "''.join(f'<i title=\"a>b\">{each}</i>' for each in key)",
    "hexadecimal": "key.encode().hex()",
    "hexadecimal, spaced": "key.encode().hex(' ').upper()",
    "0x": "', '.join(map(hex, key.encode()))",
    "a dump": "dump(b'Key ' + key.encode())",
    "a dump of words": "' '.join(key[at:at + 2][::-1].encode().hex() for at in range(0, 32, 2))",
    "numbers": "repr(list(key.encode()))",
    "base64": "base64.b64encode(key.encode()).decode()",
    "base64 of a header": "base64.b64encode(b'user:' + key.encode()).decode()",
    "base64, shifted": "base64.urlsafe_b64encode(b'??' + key.encode()).decode()",
    "base64, wrapped": "base64.encodebytes(b'-' * 40 + key.encode()).decode()",
    "JSON": "json.dumps({'key': key, 'list': list(key)})",
    "\\uXXXX": "''.join(f'\\\\u{ord(each):04x}' for each in key)",
    "&#…;": "''.join(f'&#{ord(each)};' for each in key)",
    "&#x…;": "''.join(f'&#x{ord(each):x};' for each in key)",
    "%XX": "''.join(f'%{ord(each):02X}' for each in key)",
    "UTF-16": "repr(key.encode('utf-16'))",
    "overstruck": "''.join(f'{each}\\b{each}' for each in key)",
    "\\UXXXXXXXX": "''.join(f'\\\\U{ord(each):08x}' for each in key)",
    "%25XX": "''.join(f'%25{ord(each):02X}' for each in key)",
    "base64 of UTF-16": "base64.b64encode(key.encode('utf-16')).decode()",
    "hexadecimal of upper case": "key.upper().encode().hex()",
}
"""How a key may be written, as expressions of Python."""

PREPARE = """
import base64, json, logging, os, subprocess, sys, threading, time
from IPython import get_ipython
from IPython.display import HTML, display
logging.basicConfig()  # a handler that is there before the sign-in
def dump(data):
    lines = [data[at:at + 16] for at in range(0, len(data), 16)]
    return chr(10).join(f'{each.hex(" ", 2)}  {each.decode()}' for each in lines)
class Shown(str):
    __repr__ = str.__str__
def pieces(text, size, stream=None):
    stream = stream or sys.stdout
    for at in range(0, len(text), size):
        stream.write(text[at:at + size]); stream.flush()
    print(file=stream)
def fail(secret):
    raise ValueError(str(secret))
"""

PLACES = {
    "print": "print(text)",
    "stderr": "print(text, file=sys.stderr)",
    "pieces of 1": "pieces(text[:400], 1)",
    "pieces of 3": "pieces(text[:1200], 3, sys.stderr)",
    "pieces of 11": "pieces(text, 11)",
    "a result": "Shown(text)",
    "a display": "display({'text/plain': text, 'text/html': f'<p>{text}</p>'}, raw=True)",
    "an update": "handle = display('x', display_id=True); handle.update(Shown(text))",
    "logging": "logging.warning(text)",
    "an exception": "fail(text)",
    "a thread": "thread = threading.Thread(target=print, args=(text,)); thread.start(); thread.join()",
    "a thread's exception": "thread = threading.Thread(target=fail, args=(text,)); thread.start(); thread.join()",
    "sys.stdout.buffer": "getattr(sys.stdout, 'buffer', sys.stdout).write(text if not hasattr(sys.stdout, 'buffer') else text.encode()); print()",
}
"""What may be done with it anywhere; `text` is one of the forms."""

KERNEL_PLACES = {
    "a program": "subprocess.run(['printf', '%s', text])",
    "a shell line": "os.environ['TEXT'] = text\n!printf '%s' \"$TEXT\"",
    "a file descriptor": "os.write(1, text.encode())",
    "a widget": "import ipywidgets; ipywidgets.Textarea(value=text)",
    "a widget's bytes": "import ipywidgets; ipywidgets.Image(value=text.encode())",
    "a comm's buffer": "from ipykernel.comm import Comm; Comm('t').send({}, buffers=[text.encode(), memoryview(text.encode())])",
    "an input prompt": "input(text)",
    "a payload": "get_ipython().payload_manager.write_payload({'source': 'page', 'data': {'text/plain': text}})",
}
"""What a kernel does besides. In a terminal a subprocess writes by itself, past Python."""

TERMINAL_PLACES = {
    "a pager": "from IPython.core import page\npage.page(text + chr(10) * 100)",
    "help's pager": "import types\nmodule = types.ModuleType('module')\nmodule.text = text\nhelp(module)",
    "a thread at the prompt": "at_the_prompt(print)",
    "a thread's exception at the prompt": "at_the_prompt(fail)",
}
"""What a terminal does besides, some of it while somebody is at the prompt."""

LOGGED = "%logstart -o told.log\nget_ipython().history_manager.db_log_output = True"

FILES = {
    "%notebook": ("%notebook told.ipynb", "told.ipynb"),
    "%history -o": ("%history -o -f told.txt", "told.txt"),
    "%save": ("%save told 1-9999", "told.py"),
    "%logstart -o": ("%logstop", "told.log"),
    "the history's database": (
        """
import sqlite3
manager = get_ipython().history_manager
manager.writeout_cache()
rows = sqlite3.connect(manager.hist_file).execute('SELECT output FROM output_history').fetchall()
with open('told.rows', 'w') as file:
    file.write(repr(rows))
""",
        "told.rows",
    ),
}
"""What IPython writes down: the cell that has it written, and where."""


@contextmanager
def kernel(folder: Path | None = None) -> Iterator[Kernel]:
    """A kernel of this interpreter and a client that keeps all that comes from it."""
    manager = KernelManager(kernel_name="python3")
    # Where this is set, a kernel shows nothing of what is written to a file descriptor.
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    # What is written there goes to the Jupyter server's log as well, whatever the kernel does;
    # that is not what a notebook shows.
    quiet = subprocess.DEVNULL
    manager.start_kernel(stdout=quiet, stderr=quiet, cwd=folder, env=env)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=180)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


class Kernel:
    """What a front end sees of a kernel."""

    def __init__(self, client) -> None:
        self.client = client

    def messages(self, cell: str) -> list[dict]:
        """All messages of a cell's run, but the echo of its source; its reply is the last."""
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
            timeout=180,
        )
        return [*(each for each in messages if each["msg_type"] != "execute_input"), reply]

    def seen(self, cell: str) -> str:
        """What the messages of a cell's run say."""
        return json.dumps([each["content"] for each in self.messages(cell)])

    def recovered(self, cell: str, key: str) -> int:
        """How many characters of the key in a row somebody reads in a cell's messages."""
        messages = self.messages(cell)
        streams: dict[str, str] = {}
        for each in messages:
            if each["msg_type"] == "stream":
                name, text = each["content"]["name"], each["content"]["text"]
                streams[name] = streams.get(name, "") + text
        frames = [
            json.dumps([each["header"], each["metadata"], each["content"]], default=str)
            for each in messages
        ]
        texts = [*streams.values(), " -- ".join(frames), *_texts_and_bytes(messages)]
        return max(recovered(each, key) for each in texts)

    def replies(self) -> dict[str, str]:
        """What a kernel tells outside cells."""
        asked = {
            "inspection": self.client.inspect("key"),
            "completion": self.client.complete("keys['"),
            "history": self.client.history(hist_access_type="tail", n=50),
        }
        got = {}
        for name, message_id in asked.items():
            while True:
                reply = self.client.get_shell_msg(timeout=180)
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
    return {name: recovered(text, key) > MOST for name, text in seen.items()}


def _texts_and_bytes(messages: list[dict]) -> Iterator[str | bytes]:
    """The texts within messages that are no stream's, and binary data."""
    yield from (bytes(each) for message in messages for each in message["buffers"])
    waiting: list[Any] = [each["content"] for each in messages if each["msg_type"] != "stream"]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, (dict, list)):
            waiting += each.values() if isinstance(each, dict) else each


ALL = "all"
TOGETHER = f"forms = {{{', '.join(f'{name!r}: {form}' for name, form in FORMS.items())}}}"
JOINED = "text = ' -- the next one -- '.join(forms.values())"


def matrix_in_kernel(
    prepare: str, key: str, folder: Path, *, sabotage: str = "", only: Collection[str] = ()
) -> Matrix:
    """How much of the key is recovered, by place and form, after a cell that signs in.

    Where all forms together give too much away, each is tried by itself, unless only some places
    are asked for.
    """
    found: Matrix = {}
    with kernel(folder) as running:
        for cell in (PREPARE, f"typed = '{key}'", prepare, LOGGED, sabotage, TOGETHER):
            running.seen(cell)
        for place, cell in _wanted({**PLACES, **KERNEL_PLACES}, only).items():
            found[place] = {ALL: running.recovered(f"{JOINED}\n{cell}", key)}
            if found[place][ALL] > MOST and not only:
                found[place] |= {
                    form: running.recovered(f"text = forms[{form!r}]\n{cell}", key)
                    for form in FORMS
                }
        for place, (cell, name) in _wanted_files(only).items():
            running.seen(cell)
            found[place] = {ALL: recovered((folder / name).read_text(), key)}
    return found


def matrix_in_terminal(
    prepare: str, key: str, folder: Path, *, sabotage: str = "", only: Collection[str] = ()
) -> Matrix:
    """The same in terminal IPython, with prompt_toolkit on a pseudo-terminal."""
    from pexpect import EOF
    from pexpect.popen_spawn import PopenSpawn

    places = _wanted({**PLACES, **TERMINAL_PLACES}, only)
    cells = {place: f"{JOINED}\n{cell}" for place, cell in places.items()}
    files = _wanted_files(only)
    cells |= {place: cell for place, (cell, _) in files.items()}
    first = [f"typed = '{key}'", prepare, LOGGED, sabotage, TOGETHER]
    (folder / "drive.py").write_text(PREPARE + DRIVER.format(cells=cells, first=first))
    shell = PopenSpawn(
        [*IN_A_TERMINAL, *IPYTHON, "--no-confirm-exit", "-i", "drive.py"],
        cwd=str(folder),
        env={**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm", "PAGER": "cat"},
        timeout=180,
    )
    found: Matrix = {}
    for number, place in enumerate(["", *cells]):
        shell.sendline(f"go({place!r})")
        shell.expect(f"<<{number}>>")
        found[place] = {ALL: recovered(shell.before, key)}
    for place, (_, name) in files.items():
        found[place] = {ALL: recovered((folder / name).read_text(), key)}
    shell.sendline("exit")
    shell.expect(EOF)
    shell.wait()
    del found[""]
    return found


def _wanted(places: dict[str, str], only: Collection[str]) -> dict[str, str]:
    """Those places; before files, the two whose output is in these."""
    wanted = {"print", "a result", *only} if FILES.keys() & only else only
    return {place: cell for place, cell in places.items() if place in wanted or not only}


def _wanted_files(only: Collection[str]) -> dict[str, tuple[str, str]]:
    return FILES if FILES.keys() & only or not only else {}


DRIVER = """
from itertools import count
cells, first, numbers = {cells!r}, {first!r}, count()
def mark():
    print(f'<<{{next(numbers)}}>>')
def go(place):
    for cell in [cells[place]] if place else first:
        get_ipython().run_cell(cell, store_history=True)
    if 'at_the_prompt' not in cell:
        mark()
def at_the_prompt(act):
    def wait_and_act():
        while not get_ipython().pt_app.app.is_running:
            time.sleep(0.01)
        act(get_ipython().user_ns['text'])
    thread = threading.Thread(target=wait_and_act)
    thread.start()
    threading.Thread(target=lambda: (thread.join(), mark())).start()
"""


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
        timeout=180,
        check=False,
    )
    seen, name = dict.fromkeys(CELLS, ""), ""
    for line in done.stdout.splitlines():
        started = [other for other, mark in marks.items() if line.endswith(mark)]
        name = started[0] if started else name
        if name:
            seen[name] += line + "\n"
    assert all(seen.values()), done.stdout
    return {name: recovered(text, key) > MOST for name, text in seen.items()}


SIGN_IN = "%load_ext clarifai_magic\n%clarifai_auth\nimport os; key = os.environ['CLARIFAI_PAT']"
BY_HAND = "import os; key = os.environ['CLARIFAI_PAT']"


def main() -> None:
    """Print the table of the README."""
    from clarifai_magic.sandbox import Sandbox

    runs = []
    with Sandbox() as sandbox:
        os.environ.update(CLARIFAI_PAT=sandbox.keys.pat, CLARIFAI_API_BASE=sandbox.base)
        for run in (matrix_in_kernel, matrix_in_terminal):
            for prepare in (BY_HAND, SIGN_IN):
                with TemporaryDirectory() as folder:
                    os.environ["IPYTHONDIR"] = folder
                    runs.append(run(prepare, sandbox.keys.pat, Path(folder)))
    print("| | kernel | `%clarifai_auth` there | terminal | `%clarifai_auth` there |")
    print("|---|---|---|---|---|")
    for place in {**runs[0], **runs[2]}:
        most = [str(max(run[place].values())) if place in run else "" for run in runs]
        print(f"| {place} | {' | '.join(most)} |")


if __name__ == "__main__":
    sys.exit(main())
