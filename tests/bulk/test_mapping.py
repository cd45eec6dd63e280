"""One method for many items: in order, all of them, whatever goes wrong with some."""

from __future__ import annotations

import _thread
import asyncio
import itertools
import math
import threading

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from hypothesis import given
from hypothesis import strategies as st
from support import prediction, sandbox_process, text_input

from clarifai_magic import Credentials, connect
from clarifai_magic.bulk.batching import Plan
from clarifai_magic.errors import ItemsError, RefusedError, UnknownMethodError, UnreachableError
from clarifai_magic.sandbox import Sandbox

TEMPLATE = service_pb2.PostModelOutputsRequest(
    user_app_id=resources_pb2.UserAppIDSet(user_id="clarifai", app_id="main"),
    model_id="general-image-recognition",
)
SCOPES = [service_pb2.MyScopesRequest()] * 4


@pytest.fixture
def session(sandbox):
    credentials = Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    with connect(credentials) as session:
        yield session


def ids_of(answers):
    return [answer.input.id for answer in answers]


def test_requests_are_answered_in_their_order(session):
    answers = session.map("PostModelOutputs", (prediction(i) for i in range(200)))
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(200)]
    assert not answers.failures
    assert answers[-1].outputs[0].input.id == "item-199"
    assert len(answers[3:5]) == 2
    assert repr(answers) == "<200 of 200 answered by PostModelOutputs>"


def test_inputs_go_many_to_a_request_and_each_has_its_own_answer(session, monkeypatch):
    sizes = []
    batches = Plan.batches
    monkeypatch.setattr(
        Plan, "batches", lambda *a: (sizes.append(len(b.indices)) or b for b in batches(*a))
    )
    items = [text_input(i) for i in range(300)]
    answers = session.map("PostModelOutputs", items, request=TEMPLATE)
    assert sizes == [128, 128, 44]
    assert ids_of(answers) == [item.id for item in items]
    assert not TEMPLATE.inputs


def test_an_item_of_another_type_fails_alone(session):
    items = [text_input(0), prediction(), "text", text_input(1)]
    answers = session.map("PostModelOutputs", items, request=TEMPLATE)
    assert sorted(answers.failures) == answers.left == [1, 2]
    assert "Its type is str, and the first item's was Input" in answers.failures[2].message
    assert ids_of(answers[::3]) == ["item-0", "item-1"]


@pytest.mark.usefixtures("interruptible")
def test_items_are_taken_as_they_come_and_no_more_than_are_wanted(session):
    """There is no end to them: it is an interrupt that ends the map."""
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield prediction(number)

    answers = session.amap("PostModelOutputs", endless(), in_flight=4)
    interrupted_after(answers, 50, _thread.interrupt_main)
    answers.resume()
    done = len(answers) - len(answers.left)
    assert done >= 50
    assert len(taken) <= done + 4 + 4 + 1


def test_what_a_generator_raises_is_told_in_the_place_of_its_next_item(session):
    def broken():
        yield from map(prediction, range(10))
        raise OSError("the disk is gone")

    answers = session.map("PostModelOutputs", broken())
    for _ in range(2):
        assert len(answers) == 11
        assert list(answers.failures) == answers.left == [10]
        assert "OSError" in answers.failures[10].message
        assert [each.outputs[0].input.id for each in answers[:10]] == [
            f"item-{i}" for i in range(10)
        ]
        answers.resume()


def test_amap_is_the_same_for_await(session):
    async def call():
        return await session.amap(
            "PostModelOutputs", [text_input(i) for i in range(50)], request=TEMPLATE, batch=7
        )

    assert ids_of(asyncio.run(call())) == [f"item-{i}" for i in range(50)]


def test_map_works_inside_a_running_loop_as_in_a_notebooks_cell(session):
    async def cell():
        return session.map("PostModelOutputs", [prediction(i) for i in range(5)])

    assert len(asyncio.run(cell())) == 5


def test_items_that_fail_are_told_and_do_not_stop_the_others(session):
    requests = [prediction(i) for i in range(30)]
    requests[7].model_id = requests[20].model_id = "no-such-model"
    answers = session.map("PostModelOutputs", requests)
    assert sorted(answers.failures) == answers.left == [7, 20]
    assert answers[7] is None
    assert isinstance(answers.failures[7], RefusedError)
    assert answers.failures[7].status_code
    assert "28 of 30" in repr(answers)
    assert "2 failed (item 7" in repr(answers)
    for index in answers.left:
        requests[index].model_id = TEMPLATE.model_id
    answers.resume()
    assert not answers.failures
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(30)]


def test_an_input_that_fails_does_not_take_its_batch_with_it(session):
    items = [text_input(i) for i in (1000, 1001, 1000, 1002)]
    answers = session.map("PostInputs", items, batch=4)
    assert list(answers.failures) == [2]
    assert answers.failures[2].status_code == status_code_pb2.INPUT_DUPLICATE
    assert [answer.id for answer in answers if answer] == ["item-1000", "item-1001", "item-1002"]


def test_a_server_that_is_gone_fails_every_item_in_words():
    with Sandbox() as sandbox:
        session = connect(Credentials(sandbox.keys.pat, base=sandbox.base))
    with session:
        answers = session.map("ListModels", [service_pb2.ListModelsRequest()] * 3, timeout=1)
    assert sorted(answers.failures) == [0, 1, 2]
    assert all(isinstance(error, UnreachableError) for error in answers.failures.values())


def test_nothing_to_do_is_done(session):
    assert list(session.map("PostModelOutputs", [])) == []
    assert list(session.map("PostModelOutputs", [], request=TEMPLATE)) == []


@pytest.mark.parametrize(
    ("method", "items", "options", "words"),
    [
        ("PostModelOutput", [], {}, "Did you mean 'PostModelOutputs'"),
        (None, [prediction()], {}, "given by its name"),
        ("GenerateModelOutputs", [prediction()], {}, "streams"),
        ("PostModelOutputs", [resources_pb2.Model()], {}, "does not take items of type Model"),
        ("PostModelOutputs", ["https://…"], {}, "does not take items of type str"),
        ("PostModelOutputs", [None], {}, "does not take items of type NoneType"),
        ("PostModelOutputs", [prediction()], {"request": TEMPLATE}, "whole requests already"),
        ("PostInputs", [text_input(1)], {"request": TEMPLATE}, "takes a PostInputsRequest"),
    ],
)
def test_what_a_method_does_not_take_is_refused_before_a_call_is_made(
    session, method, items, options, words
):
    with pytest.raises((ItemsError, UnknownMethodError), match=words):
        session.map(method, items, **options)


async def asynchronous():
    yield prediction()


@pytest.mark.parametrize("items", [None, 5, prediction(), asynchronous()], ids=type)
def test_what_is_no_list_of_items_is_refused_in_words(session, items):
    for call in (session.map, session.amap):
        with pytest.raises(ItemsError, match="map takes a list of items or a generator"):
            call("PostModelOutputs", items)


@given(count=st.integers(0, 300), batch=st.integers(1, 128))
def test_every_item_is_in_one_part_and_no_part_is_over_the_limit(count, batch):
    items = [text_input(i) for i in range(count)]
    parts = list(
        Plan("PostInputs", "clarifai.api.Input", None, batch).batches(enumerate(items), pytest.fail)
    )
    assert [index for part in parts for index in part.indices] == list(range(count))
    assert [each.id for part in parts for each in part.request.inputs] == [i.id for i in items]
    assert all(1 <= len(part.indices) <= batch for part in parts)


def test_the_progress_line_tells_how_far_it_is_and_what_was_retried(capsys):
    with sandbox_process("--throttle", "0.5") as variables:
        credentials = Credentials(
            variables["CLARIFAI_PAT"], user_id="alice", base=variables["CLARIFAI_API_BASE"]
        )
        with connect(credentials) as session:
            answers = session.map("PostModelOutputs", [prediction(i) for i in range(50)])
            quiet = session.map("PostModelOutputs", [prediction()], progress=False)
    shown = capsys.readouterr().err
    assert "50/50" in shown
    assert f"retried={answers.retried}" in shown
    assert "1/1" not in shown
    assert quiet[0].outputs


@pytest.mark.slow
def test_ten_thousand_requests_survive_throttling_and_outages():
    with sandbox_process("--throttle", "0.2", "--outage", "0.01") as variables:
        credentials = Credentials(
            variables["CLARIFAI_PAT"], user_id="alice", base=variables["CLARIFAI_API_BASE"]
        )
        taken = []
        with connect(credentials, timeout=60) as session:
            answers = session.amap("PostModelOutputs", [prediction(i) for i in range(10_000)])
            take = answers.take
            answers.take = lambda part, outcome: (taken.extend(part.indices), take(part, outcome))
            asyncio.run(answers._awaited())
    assert not answers.failures
    assert sorted(taken) == list(range(10_000))
    assert [answer.outputs[0].input.id for answer in answers] == [
        f"item-{i}" for i in range(10_000)
    ]
    assert answers.retried > 1_000


def interrupted_after(answers, count, interrupt):
    """Have something happen once that many items are answered."""
    take, seen = answers.take, []

    def counted(part, outcome):
        take(part, outcome)
        seen.append(part)
        if len(seen) == count:
            interrupt()

    answers.take = counted


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_it_and_gives_what_is_done_and_it_goes_on_from_there(sandbox):
    with Sandbox(latency=0.02) as slow:
        session = connect(Credentials(slow.keys.pat, user_id="alice", base=slow.base))
        answers = session.amap("PostModelOutputs", [prediction(i) for i in range(200)], in_flight=4)
        interrupted_after(answers, 20, _thread.interrupt_main)
        assert answers.resume() is answers
        assert 20 <= 200 - len(answers.left) < 200
        assert "not tried" in repr(answers)
        assert not answers.failures
        done = [answer for answer in answers if answer]
        answers.resume()
        assert not answers.left
        assert all(any(each is answer for each in answers) for answer in done)
        session.close()


def test_amap_is_a_coroutine_to_asyncio(session):
    items = [prediction(i) for i in range(6)]

    async def tasks():
        first = session.amap("PostModelOutputs", items, progress=False)
        second = session.amap("PostModelOutputs", items[:2], progress=False)
        task = asyncio.create_task(first)
        _, group = await asyncio.gather(task, second)
        assert task.result() is first
        assert await asyncio.wait_for(asyncio.create_task(first), 20) is first  # nothing is left
        return [*first, *group]

    assert None not in asyncio.run(tasks())
    answers = session.amap("PostModelOutputs", items, progress=False)
    assert asyncio.run(answers) is answers
    assert not answers.left


def test_cancelling_amap_keeps_what_is_done_and_awaiting_it_again_goes_on():
    with Sandbox(latency=0.02) as slow:
        session = connect(Credentials(slow.keys.pat, user_id="alice", base=slow.base))
        answers = session.amap("PostModelOutputs", [prediction(i) for i in range(100)], in_flight=4)

        async def cancelled():
            task = asyncio.create_task(answers)
            interrupted_after(answers, 20, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
            task = asyncio.create_task(answers)
            task.cancel()  # before it begins
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        assert 20 <= 100 - len(answers.left) < 100

        async def went_on():
            assert await answers is answers

        asyncio.run(went_on())
        assert not answers.left
        session.close()


@pytest.mark.parametrize(
    "options",
    [
        *({"in_flight": number} for number in (0, -1, 2.5)),
        *({"batch": number} for number in (0, 129)),
        *({"timeout": seconds} for seconds in (0, -1, math.nan, math.inf, 1e300, "5", True)),
    ],
    ids=str,
)
def test_numbers_that_cannot_be_are_refused_in_one_line(session, options):
    (name,) = options
    for call in (session.map, session.amap):
        with pytest.raises(ItemsError, match=f"^{name}= is the number") as refused:
            call("PostModelOutputs", [prediction()], **options)
        assert "\n" not in refused.value.message


def test_threads_that_map_at_once_share_one_loop(session):
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(session.map("MyScopes", SCOPES, progress=False))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(each.left for each in answers)
    assert [each.name for each in threading.enumerate()].count("clarifai-loop") == 1


def test_no_thread_is_left_when_the_session_is_closed(sandbox):
    session = connect(Credentials(sandbox.keys.pat, base=sandbox.base))
    session.map("MyScopes", SCOPES)
    session.with_ids(app_id="recipes").map("MyScopes", SCOPES)
    assert "clarifai-loop" in {thread.name for thread in threading.enumerate()}
    session.close()
    assert "clarifai-loop" not in {thread.name for thread in threading.enumerate()}


def test_answers_show_no_key_however_deep_they_are_looked_into(sandbox):
    key = sandbox.keys.pat
    with connect(Credentials(key, user_id="alice", app_id="main", base=sandbox.base)) as session:
        answers = session.map("MyScopes", [service_pb2.MyScopesRequest()], progress=False)
    shown = repr([vars(answers), vars(answers._store)])
    assert str.__str__(key) not in shown
