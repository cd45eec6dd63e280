"""A kernel's `!` lines and `%%bash` cells, while gRPC is in use in the kernel."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from kernel import LOAD, run
from support import sandbox_process

BUSY = """
import threading

scopes = service_pb2.MyScopesRequest()
going, failed = True, []

def wait():
    while going:
        stub.MyScopes(scopes, timeout=20)

def map_():
    while going:
        assert not clarifai_session.map("MyScopes", [scopes] * 8, progress=False).left

def begin(work):
    def run():
        try:
            work()
        except BaseException as error:
            failed.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    return thread

threads = [begin(work) for work in (wait, wait, map_)]
"""
QUIET = """
going = False
for thread in threads:
    thread.join()
print(failed)
"""


def lines(count):
    """Cells that print by way of a shell, and what each is to print."""
    others = {
        "%%bash\necho one; echo two": "one\ntwo\n",
        "found = !echo one\nprint(found)": "['one']\n",
        "get_ipython().system('echo one')": "one\n",
    }
    return {f"!echo {number}": f"{number}\n" for number in range(count)} | others


@pytest.mark.slow
@pytest.mark.parametrize("place", ["in the kernel", "in another process"])
def test_shell_lines_print_what_they_print_whatever_grpc_does(monkeypatch, place):
    """With calls under way, after them, and signed out."""
    # By this ipykernel knows a test, and does not show what others than Python write to stderr.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    elsewhere = place == "in another process"
    with sandbox_process() if elsewhere else nullcontext({}) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        some = lines(5)
        many = lines(15)
        _, _, *printed = run(
            f"{LOAD}\n%clarifai_auth{'' if elsewhere else ' --from sandbox'}",
            BUSY,
            *many,
            QUIET,
            *some,
            "%clarifai_auth logout",
            *some,
        )
    del printed[-len(some) - 1]  # what signing out says
    expected = [*many.values(), "[]\n", *some.values(), *some.values()]
    assert [text.replace("\r\n", "\n") for text in printed] == expected


def test_a_shell_line_has_the_terminal_that_it_has_without_a_sign_in():
    """Its size, as the one that controls it, no other file, and its program's exit status."""
    line = (
        "import os; os.set_inheritable(os.pipe()[1], True)\n"
        "![ -t 2 ] && stty size; echo one > /dev/tty; ls /dev/fd; echo $HOME; exit 3\n"
        "print(_exit_code)"
    )
    _, without, _, with_one = run(LOAD, line, "%clarifai_auth --from sandbox", line)
    assert "24 80" in without
    assert without.endswith("3\n")
    assert with_one == without


def test_once_grpc_is_gone_ptyprocess_is_as_it_was():
    *_, during, _, after = run(
        LOAD,
        "import ptyprocess; before = ptyprocess.PtyProcess.__dict__['spawn']",
        "%clarifai_auth --from sandbox",
        (
            'clarifai_session.map("MyScopes", [service_pb2.MyScopesRequest()], progress=False)\n'
            "print(ptyprocess.PtyProcess.__dict__['spawn'] is before)"
        ),
        "%clarifai_auth logout",
        "import gc; gc.collect(); print(ptyprocess.PtyProcess.__dict__['spawn'] is before)",
    )
    assert (during, after) == ("False\n", "True\n")
