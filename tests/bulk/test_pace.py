"""The calls in flight follow what the API takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarifai_magic.bulk.pace import Pace


class Api:
    """An API with a limit, and a clock: what a pace sees of it."""

    def __init__(self, *, takes, latency=1.0, slots=10**6):
        self.takes, self.latency, self.slots, self.now = takes, latency, slots, 0.0

    def round(self, pace):
        """As many calls as are let out: those beyond the limit are turned away."""
        calls = pace.limit
        took = self.latency * max(1.0, calls / self.slots)
        self.now += took
        for number in range(calls):
            if number < self.takes:
                pace.answered(took)
            else:
                pace.turned_away()


def settled(api, pace, rounds=300):
    limits = []
    for _ in range(rounds):
        api.round(pace)
        limits.append(pace.limit)
    return limits[rounds // 2 :]


@pytest.mark.parametrize("takes", [2, 8, 20, 50])
def test_a_throttled_account_stays_at_its_rate(takes):
    api = Api(takes=takes)
    limits = settled(api, Pace(64, lambda: api.now))
    assert 0.75 * takes <= sum(limits) / len(limits) <= 1.25 * takes + 2


def test_without_throttling_all_calls_stay_out():
    api = Api(takes=10**6)
    assert set(settled(api, Pace(64, lambda: api.now))) == {64}


def test_what_grows_slow_with_the_calls_gets_fewer():
    api = Api(takes=10**6)
    pace = Pace(64, lambda: api.now)
    settled(api, pace, 10)
    api.slots = 8
    assert min(settled(api, pace, 40)) < 48


def test_what_is_slow_by_itself_gets_as_many_calls_as_before():
    api = Api(takes=10**6)
    pace = Pace(64, lambda: api.now)
    settled(api, pace, 10)
    api.latency = 5.0
    limits = settled(api, pace, 40)
    assert min(limits) >= 54
    assert limits[-1] == 64


def test_a_model_on_its_way_is_asked_by_one_and_then_by_all_at_once():
    api = Api(takes=10**6)
    pace = Pace(64, lambda: api.now)
    pace.hold()
    assert pace.limit == 1
    for _ in range(64):
        api.round(pace)
    assert pace.limit == 64


@given(st.integers(1, 300), st.lists(st.sampled_from("atxh"), max_size=400))
def test_there_is_always_one_call_and_never_more_than_wanted(most, events):
    pace = Pace(most, lambda: 0.0)
    for event in events:
        {
            "a": lambda: pace.answered(0.1),
            "x": lambda: pace.answered(5.0),
            "t": pace.turned_away,
            "h": pace.hold,
        }[event]()
        assert 1 <= pace.limit <= most
