"""Signing in and out in any order: what is there is what the sessions that are open account for.

STATE_MACHINE_EXAMPLES=1000 tries as many sequences, others each time.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("machine")
import machine  # noqa: E402


@pytest.mark.slow
def test_what_is_there_is_what_open_sessions_account_for(shell, monkeypatch):
    with machine.world(shell, monkeypatch) as world:
        world.warm_up()
        machine.run(machine.Machine, world, examples=30, steps=15)
