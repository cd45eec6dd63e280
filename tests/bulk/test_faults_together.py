"""Throttling, lost calls and restarts at once, interrupts at any moment: every item once."""

from __future__ import annotations

import _thread
import contextlib
import random
import signal
import threading
from collections import Counter

import pytest
from clarifai_grpc.grpc.api import service_pb2
from scripted import Relay, added, predicted, serving
from support import prediction, sandbox_process, text_input

from clarifai_magic import Credentials, connect
from clarifai_magic.bulk.mapping import Answers


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


@pytest.fixture
def only_in_resume():
    """Interrupts are for `Answers.resume`, and not for the test around it."""

    def interrupt(_signal, frame):
        while frame:
            if frame.f_code is Answers.resume.__code__:
                raise KeyboardInterrupt
            frame = frame.f_back

    before = signal.signal(signal.SIGINT, interrupt)
    yield
    signal.signal(signal.SIGINT, before)


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
