"""Values lent in layers: in any order, twice, with the user changing things in between."""

from __future__ import annotations

import itertools
import operator
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarifai_magic.environment import lend, own
from clarifai_magic.overlay import ABSENT, Overlay

NAMES = ("a", "b", "c")


class Mapping(dict):
    def overlay(self):
        def write(name, value):
            if value is ABSENT:
                self.pop(name, None)
            else:
                self[name] = value

        return Overlay(lambda name: self.get(name, ABSENT), write, operator.is_)


values = st.dictionaries(st.sampled_from(NAMES), st.builds(object))
layers = st.lists(st.tuples(values, st.booleans()), min_size=1, max_size=5)


@given(before=values, layers=layers, order=st.randoms())
def test_layers_that_go_in_any_order_leave_what_was_there_before(before, layers, order):
    mapping = Mapping(before)
    overlay = mapping.overlay()
    put = [overlay.put(each, beneath=beneath) for each, beneath in layers]
    order.shuffle(put)
    for layer in put:
        overlay.remove(layer)
        overlay.remove(layer)
    assert mapping == before


@given(before=values, layers=layers, order=st.randoms())
def test_the_uppermost_layer_that_is_left_is_what_shows(before, layers, order):
    mapping = Mapping(before)
    overlay = mapping.overlay()
    stack = []
    for each, beneath in layers:
        stack.insert(0 if beneath else len(stack), overlay.put(each, beneath=beneath))
    while stack:
        shown = dict(before)
        for layer in stack:
            shown.update(layer.values)
        assert mapping == shown
        overlay.remove(stack.pop(order.randrange(len(stack))))


@given(before=values, layers=layers, order=st.randoms(), changed=values)
def test_what_the_user_sets_over_the_layers_stays_when_they_go(before, layers, order, changed):
    mapping = Mapping(before)
    overlay = mapping.overlay()
    put = [overlay.put(each, beneath=beneath) for each, beneath in layers]
    mapping.update(changed)
    order.shuffle(put)
    for layer in put:
        overlay.remove(layer)
    assert mapping == {**before, **changed}


@given(before=values, first=values, second=values, third=values)
def test_one_layer_in_anothers_place_leaves_the_same_behind(before, first, second, third):
    mapping = Mapping(before)
    overlay = mapping.overlay()
    below, above = overlay.put(first), overlay.put(second)
    successor = overlay.replace(below, third)
    assert mapping == {**before, **third, **second}
    overlay.remove(above)
    assert mapping == {**before, **third}
    overlay.remove(successor)
    assert mapping == before


def test_what_the_user_set_between_two_layers_is_back_between_them():
    mapping = Mapping(a="user's")
    overlay = mapping.overlay()
    first = overlay.put({"a": "first"})
    mapping["a"] = "user's since"
    second = overlay.put({"a": "second"})
    overlay.remove(second)
    assert mapping == {"a": "user's since"}
    overlay.remove(first)
    assert mapping == {"a": "user's since"}


def test_a_name_that_the_user_took_away_stays_away():
    mapping = Mapping()
    overlay = mapping.overlay()
    first = overlay.put({"a": 1})
    del mapping["a"]
    overlay.remove(overlay.put({"a": 2}))
    assert mapping == {}
    overlay.remove(first)
    assert mapping == {}


@pytest.fixture
def hasty():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_exports_from_many_threads_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", "before")

    def lend_and_undo(number):
        undo = lend({"CLARIFAI_PAT": f"{number}", "CLARIFAI_APP_ID": f"{number}"})
        undo()
        undo()

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lend_and_undo, range(1000)))
    assert os.environ["CLARIFAI_PAT"] == "before"
    assert "CLARIFAI_APP_ID" not in os.environ


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_undoes_its_own_copy_alone(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", "before")
    undo = lend({"CLARIFAI_PAT": "ours"})
    if (child := os.fork()) == 0:  # pragma: no cover - another process
        undo()
        os._exit(os.environ["CLARIFAI_PAT"] != "before")
    assert os.waitpid(child, 0)[1] == 0
    assert os.environ["CLARIFAI_PAT"] == "ours"
    undo()
    assert os.environ["CLARIFAI_PAT"] == "before"


def test_what_is_lent_to_the_environment_is_not_taken_for_the_users_own(monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", "the user's")
    first = lend({"CLARIFAI_PAT": "one", "CLARIFAI_APP_ID": "one", "CLARIFAI_USER_ID": ""})
    second = lend({"CLARIFAI_PAT": "two"})
    assert (own("CLARIFAI_PAT"), own("CLARIFAI_APP_ID")) == ("the user's", "")
    first()
    assert own("CLARIFAI_PAT") == "the user's"
    os.environ["CLARIFAI_PAT"] = "the user's, set meanwhile"
    assert own("CLARIFAI_PAT") == "the user's, set meanwhile"
    second()
    assert own("CLARIFAI_PAT") == "the user's, set meanwhile"


@pytest.mark.parametrize("beneath", [False, True])
@pytest.mark.parametrize("at", range(3))
def test_a_layer_that_cannot_be_put_whole_is_not_put(at, beneath):
    own, written = {"a": "own", "b": "own", "c": ABSENT, "d": "lent"}, itertools.count()
    values = dict(own)

    def write(name, value):
        values[name] = value
        if next(written) == at:
            raise KeyboardInterrupt

    overlay = Overlay(values.get, write, operator.eq)
    with pytest.raises(KeyboardInterrupt):
        overlay.put(dict.fromkeys(own, "lent"), beneath=beneath)
    assert values == own
    overlay.remove(overlay.put({"a": "another"}, beneath=beneath))
    assert values == own
