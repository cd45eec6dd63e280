"""One key, every sink: nothing that the kernel or the terminal shows has it."""

from __future__ import annotations

import pytest
from leaks import BY_HAND, CELLS, SIGN_IN, XMODES, in_kernel, in_terminal
from support import COUNTS

RUNNERS = {"kernel": in_kernel, "terminal": in_terminal}


@pytest.mark.parametrize("xmode", XMODES)
@pytest.mark.parametrize("place", RUNNERS)
def test_no_sink_shows_the_key_of_a_session(environment, sandbox, place, xmode):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    leaks = RUNNERS[place](SIGN_IN, sandbox.keys.pat, xmode)
    COUNTS.append((f"{place}, {xmode}", len(leaks), sum(leaks.values())))
    assert [name for name, leaked in leaks.items() if leaked] == []


@pytest.mark.parametrize("place", RUNNERS)
def test_the_same_sinks_show_a_key_that_is_not_guarded(environment, sandbox, place):
    environment(PAT=sandbox.keys.pat)
    leaks = RUNNERS[place](BY_HAND, sandbox.keys.pat, "Verbose")
    assert [name for name in CELLS if not leaks[name]] == []
