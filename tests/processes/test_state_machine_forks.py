"""A process that is forked while people are signed in: neither takes anything from the other.

STATE_MACHINE_EXAMPLES=1000 tries as many sequences, others each time.
"""

from __future__ import annotations

import os
import signal
import traceback

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

import clarifai_magic

pytest.register_assert_rewrite("machine")
import machine  # noqa: E402

PATIENCE = 180  # seconds until a process that hangs is killed


class ForkingMachine(machine.Machine):
    """Forks now and then. A process that serves or awaits calls cannot be forked with gRPC in use."""

    sources = ("var:alices", "var:apps", "var:fleeting", "env:TEAM_PAT")
    ways = ("stub", "channel")

    @rule(then=st.sampled_from(("go on", "close one", "sign out")))
    def fork(self, then: str) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(PATIENCE)
            os.write(writing, self.in_child(then).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert told.read() == "fine"
        assert os.waitpid(child, 0) == (child, 0)
        self.call_all()

    def in_child(self, then: str) -> str:
        """What came of the use of all that is there by a process that was forked."""
        for each in self.open:
            each.serves = False  # the parent does
        try:
            self.it_is_what_open_sessions_account_for()
            self.call_all()
            if then == "close one" and self.open:
                self.close(0)
            elif then == "sign out":
                clarifai_magic.logout()
                self.ended(*self.open)
            self.it_is_what_open_sessions_account_for()
            self.call_all()
        except BaseException:  # noqa: BLE001 - for the parent to tell
            return traceback.format_exc()
        return "fine"

    def call_all(self) -> None:
        for number in range(len(self.open)):
            self.call(number, "stub")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python's, of fork beside threads
def test_a_fork_and_its_parent_each_have_what_their_open_sessions_account_for(shell, monkeypatch):
    with machine.world(shell, monkeypatch) as world:
        machine.run(ForkingMachine, world, examples=15, steps=15)
