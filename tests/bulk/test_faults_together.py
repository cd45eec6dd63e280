"""Throttling, lost calls and restarts at once, interrupts at any moment: every item once."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import random
import signal
import sys
import threading
from collections import Counter

import pytest
from clarifai_grpc.grpc.api import service_pb2
from scripted import Relay, added, predicted, serving
from support import prediction, sandbox_process, text_input

from clarifai_magic import Credentials, connect
from clarifai_magic.bulk.mapping import Answers
from clarifai_magic.bulk.saved import SavedMap


@pytest.fixture
def failing():
    """A server that throttles and loses calls, behind a relay that can be restarted."""
    with sandbox_process("--throttle", "0.2", "--outage", "0.01") as variables:
        relay = Relay(variables["CLARIFAI_API_BASE"])
        credentials = Credentials(
            variables["CLARIFAI_PAT"], user_id="alice", app_id="main", base=relay.base
        )
        with connect(credentials, timeout=60) as session:
            yield session, relay
        relay.stop()


def items_with_restarts(make, count, relay):
    """The items; in their middle the server restarts three times."""
    for number in range(count):
        if number in {count // 4, count // 2, count * 3 // 4}:
            relay.stop()
            threading.Timer(0.5, relay.start).start()
        yield make(number)


def counted(answers):
    """How often each item is answered, as answers come."""
    times, take = {}, answers.take

    def noted(batch, outcome):
        before = set(answers.left)
        take(batch, outcome)
        for index in before - set(answers.left):
            times[index] = times.get(index, 0) + 1

    answers.take = noted
    return times


@pytest.mark.slow
def test_every_item_is_answered_once_in_spite_of_throttling_lost_calls_and_restarts(failing):
    session, relay = failing
    answers = session.amap(
        "PostModelOutputs", items_with_restarts(prediction, 2_000, relay), in_flight=32
    )
    times = counted(answers)
    answers.resume()
    assert not answers.failures
    assert times == dict.fromkeys(range(2_000), 1)
    assert [each.outputs[0].input.id for each in answers] == [f"item-{i}" for i in range(2_000)]
    assert answers.retried > 300


@pytest.mark.slow
def test_what_changes_something_is_done_once_in_spite_of_them(failing):
    session, relay = failing

    def nameless(number):
        item = text_input(number)
        item.ClearField("id")  # the API makes one up: a repeated call adds another input
        return item

    def there():
        # Through the relay, whose other side may have calls under way when it breaks.
        return session.stub.GetInputCount(service_pb2.GetInputCountRequest()).counts.processed

    before = there()
    answers = session.map(
        "PostInputs", items_with_restarts(nameless, 2_000, relay), batch=4, in_flight=8
    )
    unsure = [index for index, error in answers.failures.items() if error.maybe_done]
    assert sorted(unsure) == sorted(answers.failures) == answers.left
    assert 0 < len(unsure) < 400
    ids = [answer.id for answer in answers if answer]
    assert len(set(ids)) == len(ids) == 2_000 - len(unsure)
    assert len(ids) <= there() - before <= 2_000


def in_resume(frame):
    """Whether a frame is of `Answers.resume`, or of what it calls."""
    while frame and frame.f_code is not Answers.resume.__code__:
        frame = frame.f_back
    return frame is not None


@pytest.fixture
def only_in_resume():
    """Interrupts are for `Answers.resume`, and not for the test around it."""

    def interrupt(_signal, frame):
        if in_resume(frame):
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("only_in_resume")
@pytest.mark.parametrize("seed", range(3))
def test_interrupts_at_any_moment_lose_nothing_and_do_nothing_twice(seed, tmp_path):
    dice, over, lock = random.Random(seed), threading.Event(), threading.Lock()
    seen = Counter()

    def answer(request, response, _context):
        over.wait(0.01)
        with lock:
            seen.update(item.id for item in request.inputs)
        return added(request, response)

    def storm():
        while not over.wait(dice.uniform(0.01, 0.15)):
            for _ in range(dice.choice([1, 1, 2, 3])):
                _thread.interrupt_main()
                over.wait(dice.uniform(0, 0.002))

    unsure = set()
    with serving(answer) as (session, _):
        items = list(map(text_input, range(3_000)))
        answers = session.amap("PostInputs", items, batch=5, in_flight=8).save(tmp_path / "run.db")
        thread = threading.Thread(target=storm)
        thread.start()
        while answers.left:
            with contextlib.suppress(KeyboardInterrupt):
                answers.resume()
            unsure |= {index for index, each in answers.failures.items() if each.maybe_done}
        over.set()
        thread.join()
        answers.resume()
        for each in (answers, session.resume(tmp_path / "run.db", items, progress=False)):
            assert [answer.id for answer in each] == [item.id for item in items]
    assert {name for name, times in seen.items() if times > 1} <= {f"item-{i}" for i in unsure}


@contextlib.contextmanager
def interrupted_again(after):
    """Have a second interrupt follow the first, that many calls later: there Python looks for it."""
    left = after

    def count(frame, event, _argument):
        nonlocal left
        if event in {"call", "c_return"} and in_resume(frame):
            left -= 1
            if not left:
                raise KeyboardInterrupt

    def interrupt(_signal, _frame):
        sys.setprofile(count)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGINT, before)


# Of what Python itself calls and nobody, such as a weak reference's callback, an interrupt is lost.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_a_second_interrupt_at_any_moment_loses_nothing_and_has_nothing_done_twice(tmp_path):
    seen, calls, over = Counter(), itertools.count(), threading.Event()

    def answer(request, response, _context):
        seen.update(item.id for item in request.inputs)
        if next(calls) == 12:
            _thread.interrupt_main()
        over.wait(0.004)
        return added(request, response)

    items = list(map(text_input, range(60)))
    with serving(answer) as (session, _):
        for after in range(1, 360, 5):
            seen.clear()
            calls = itertools.count()
            path = tmp_path / f"{after}.db"
            answers = session.amap("PostInputs", items, batch=2, in_flight=4, progress=False)
            answers.save(path)
            with interrupted_again(after):
                answers.resume()
            unsure = {f"item-{i}" for i, each in answers.failures.items() if each.maybe_done}
            answers.resume()
            assert {name for name, times in seen.items() if times > 1} <= unsure
            for each in (answers, session.resume(path, items, progress=False)):
                assert [answer.id for answer in each] == [item.id for item in items]


@pytest.mark.usefixtures("interruptible")
def test_what_an_ended_process_had_begun_is_told_though_an_interrupt_came_before_it(tmp_path):
    def answer(request, response, _context):
        if len(server.requests) == 1:
            _thread.interrupt_main()
        return added(request, response)

    items, path = list(map(text_input, range(100))), tmp_path / "run.db"
    with serving(answer) as (session, server):
        session.amap("PostInputs", items, batch=1).save(path)
        SavedMap(path).write([(90, None, None)])
        answers = session.resume(path, items, in_flight=1, progress=False)
        assert len(answers.left) > 10
        answers.resume()
        assert answers.left == [90]
        assert answers.failures[90].maybe_done
        assert not any(item.id == "item-90" for each in server.requests for item in each.inputs)
        answers.resume()
        assert not answers.left


def test_a_map_whose_items_come_from_a_map():
    with serving(predicted) as (session, _):

        def again():
            for answer in session.map("PostModelOutputs", map(prediction, range(3))):
                number = int(answer.outputs[0].input.id.removeprefix("item-"))
                yield prediction(number * 10)

        answers = session.map("PostModelOutputs", again(), in_flight=1)
        assert [each.outputs[0].input.id for each in answers] == ["item-0", "item-10", "item-20"]


@pytest.mark.slow
def test_a_throttled_account_is_asked_at_its_rate():
    with sandbox_process("--rate", "40", "--latency", "0.05") as variables:
        credentials = Credentials(
            variables["CLARIFAI_PAT"], user_id="alice", base=variables["CLARIFAI_API_BASE"]
        )
        with connect(credentials, verified=False) as session:
            answers = session.map("PostModelOutputs", map(prediction, range(400)))
    assert not answers.failures
    assert answers.retried < 400
