"""A program on a pseudo-terminal, with the magics loaded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pexpect
from pexpect.popen_spawn import PopenSpawn
from support import IN_A_TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = r"In \[\d+\]: "
CTRL_C = "\x03"


@contextmanager
def with_the_magics(*command: str) -> Iterator[PopenSpawn]:
    """Run a program that prompts as IPython does, until its `exit`."""
    options = ["--simple-prompt", "--no-confirm-exit"]
    child = PopenSpawn([*IN_A_TERMINAL, *command, *options], encoding="utf-8", timeout=180)
    child.expect(PROMPT)
    run(child, "%load_ext clarifai_magic")
    yield child
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.wait()


def run(child: PopenSpawn, line: str) -> str:
    """What a line prints."""
    child.sendline(line)
    child.expect(PROMPT)
    return str(child.before)
