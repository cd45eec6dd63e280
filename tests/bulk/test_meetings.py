"""A map that meets another use of itself, of its file, or of what it was given."""

from __future__ import annotations

import _thread
import asyncio
import copy
import errno
import io
import itertools
import pickle
import signal
import stat
import subprocess
import sys
import threading

import grpc
import pytest
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from scripted import Relay, added, predicted, serving
from support import CANARY, prediction, text_input
from tqdm import std as tqdm_std
from tqdm import tqdm

from clarifai_magic import Credentials, connect
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, ClarifaiAuthWarning, ItemsError, SecretError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.fixture
def served():
    with serving(predicted) as (session, server):
        yield session, server


class Slow:
    """Answers when it is told to, and knows that it was asked."""

    def __init__(self, answer):
        self._answer = answer
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __call__(self, request, response, _context):
        self.asked.set()
        self.go_on.wait(20)
        return self._answer(request, response)


def test_awaited_by_two_tasks_it_calls_once_for_each_item(served):
    session, server = served

    async def twice():
        answers = session.amap("PostModelOutputs", map(prediction, range(50)), progress=False)
        tasks = [asyncio.create_task(answers) for _ in range(2)]
        return answers, await asyncio.gather(*tasks, return_exceptions=True)

    answers, (first, second) = asyncio.run(twice())
    assert first is answers
    assert isinstance(second, CallError)
    assert "already" in second.message
    assert len(server.requests) == 50
    assert not answers.left
    assert answers.resume() is answers


def test_resumed_in_two_threads_it_calls_once_for_each_item():
    slow = Slow(predicted)
    with serving(slow) as (session, server):
        answers = session.amap("PostModelOutputs", map(prediction, range(5)), progress=False)
        thread = threading.Thread(target=answers.resume)
        thread.start()
        slow.asked.wait(20)
        with pytest.raises(CallError, match="already"):
            answers.resume()
        slow.go_on.set()
        thread.join()
        assert not answers.left
        assert len(server.requests) == 5


def test_resumed_by_its_own_items_it_calls_once_for_each_item(served):
    session, server = served

    def items():
        yield from map(prediction, range(5))
        with pytest.raises(CallError, match="already"):
            answers.resume()
        yield prediction(5)

    answers = session.amap("PostModelOutputs", items(), progress=False)
    answers.resume()
    assert not answers.left
    assert len(server.requests) == 6


def all_have_come(server, count):
    """The first may be there before the others are sent."""
    while server.running < count:
        threading.Event().wait(0.001)


def test_cancelled_twice_it_tells_what_may_have_been_added():
    """The second comes while the calls are being ended, as at the end of asyncio.run."""
    slow = Slow(added)
    with serving(slow) as (session, server):

        async def cancelled():
            answers = session.amap("PostInputs", map(text_input, range(4)), batch=1, progress=False)
            task = asyncio.create_task(answers)
            await asyncio.to_thread(all_have_come, server, 4)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return {index for index, error in answers.failures.items() if error.maybe_done}

        assert asyncio.run(cancelled()) == set(range(4))
        slow.go_on.set()


async def cancelled_once(asked, and_then, answers):
    """Which items are told as perhaps done, of a map that is cancelled once it has asked."""
    task = asyncio.create_task(answers)
    await asyncio.to_thread(asked.wait, 20)
    await and_then()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return unsure(answers)


def test_a_call_that_breaks_in_the_moment_of_an_interrupt_is_told_as_perhaps_done():
    """The connection is gone already, and nobody has learnt yet that the call is."""
    slow = Slow(added)
    with serving(slow) as (session, _):
        relay = Relay(session.base)
        credentials = Credentials(CANARY, user_id="alice", app_id="main", base=relay.base)
        with connect(credentials, verified=False) as through:
            channel = internals(through).connection

            async def broken():
                relay.stop()
                while channel.aio_channel.get_state() is grpc.ChannelConnectivity.READY:
                    threading.Event().wait(0.001)  # and the loop stands still

            answers = through.amap("PostInputs", texts(3), batch=1, in_flight=1, progress=False)
            assert asyncio.run(cancelled_once(slow.asked, broken, answers)) == {0}
        slow.go_on.set()


def test_a_call_that_waits_for_its_next_attempt_is_not_told_as_perhaps_done():
    """Nothing was done at the last one, and while a model is loading there is none but its own."""
    slow, seen = Slow(added), []

    def busy(request, response, context):
        if not hasattr(request, "inputs"):  # asked last, on the same connection
            while server.running > 2:
                threading.Event().wait(0.001)
            return response
        seen.append(request.inputs[0].id)
        if seen.count("item-0") == 2:
            return slow(request, response, context)
        loading = request.inputs[0].id == "item-0"
        response.status.code = codes.MODEL_LOADING if loading else codes.CONN_THROTTLED
        return response

    with serving(busy) as (session, server):

        async def settled():
            await session.aio_stub.MyScopes(service_pb2.MyScopesRequest())

        answers = session.amap("PostInputs", texts(2), batch=1, in_flight=2, progress=False)
        assert asyncio.run(cancelled_once(slow.asked, settled, answers)) == {0}
        slow.go_on.set()


def test_answers_have_no_copy_for_two_would_call_for_the_same_items(served):
    session, _ = served
    answers = session.amap("PostModelOutputs", [prediction()], progress=False)
    assert copy.copy(answers) is copy.deepcopy(answers) is answers
    with pytest.raises(SecretError, match="hold a key"):
        pickle.dumps(answers)
    assert not answers.resume().left


def unsure(answers):
    return {index for index, error in answers.failures.items() if error.maybe_done}


def test_what_may_have_been_added_before_it_is_saved_is_not_added_again_by_itself(path):
    def unreadable(request, response, _context):
        return b"\xff" if request.inputs[0].id == "item-2" else added(request, response)

    with serving(unreadable) as (session, server):
        answers = session.map("PostInputs", map(text_input, range(5)), batch=1, progress=False)
        assert unsure(answers) == {2}
        answers.save(path)
        again = session.resume(path, map(text_input, range(5)), progress=False)
        assert len(server.requests) == 5
        assert unsure(again) == {2}


def test_what_is_in_flight_when_it_is_saved_is_in_the_file_as_begun(path):
    slow = Slow(added)
    with serving(slow) as (session, _):

        async def saved():
            items = list(map(text_input, range(3)))
            answers = session.amap("PostInputs", items, batch=1, in_flight=1, progress=False)
            task = asyncio.create_task(answers)
            await asyncio.to_thread(slow.asked.wait, 20)
            answers.save(path)
            copy = path.with_name("copy.db")  # as a kill would leave it
            for each in path.parent.glob("run.db*"):
                copy.with_name(each.name.replace("run", "copy")).write_bytes(each.read_bytes())
            slow.go_on.set()
            assert not (await task).left
            return session.resume(copy, items, progress=False)

        assert unsure(asyncio.run(saved())) == {0}
        assert not session.resume(path).left


@pytest.mark.usefixtures("interruptible")
def test_what_was_not_sent_before_an_interrupt_is_not_told_as_perhaps_added(path):
    """As much as is in flight waits for its turn, and the file has it as begun."""
    slow = Slow(added)
    with serving(slow) as (session, _):
        options = {"batch": 1, "in_flight": 2, "progress": False}
        answers = session.amap("PostInputs", map(text_input, range(50)), **options).save(path)

        def interrupt():
            slow.asked.wait(20)
            _thread.interrupt_main()

        threading.Thread(target=interrupt).start()
        answers.resume()
        slow.go_on.set()
        sent = unsure(answers)
        assert 1 <= len(sent) <= 2
        again = session.resume(path, map(text_input, range(50)), progress=False)
        assert unsure(again) == sent
        assert again.left == sorted(sent)


def test_a_disk_that_is_full_at_the_end_loses_nothing(served, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts")
    session, _ = served
    items = [prediction(i) for i in range(60)]
    for item in items:
        item.inputs[0].data.text.raw = "long " * 1_000
    try:
        with pytest.warns(ClarifaiAuthWarning, match="the disk is full"):
            answers = session.map("PostModelOutputs", items, save=folder / "run.db", progress=False)
        assert [each.outputs[0].input.id for each in answers] == [f"item-{i}" for i in range(60)]
        subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
        answers.resume()
        assert not session.resume(folder / "run.db").left
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def texts(count):
    return list(map(text_input, range(count)))


def test_a_pattern_that_is_changed_for_the_next_map_changes_no_earlier_one(served):
    session, server = served
    pattern, maps = service_pb2.PostModelOutputsRequest(), []
    for model in ("one", "two"):
        pattern.model_id = model
        maps.append(session.amap("PostModelOutputs", texts(1), request=pattern, progress=False))

    async def both():
        await asyncio.gather(*maps)

    asyncio.run(both())
    assert sorted(each.model_id for each in server.requests) == ["one", "two"]


def test_a_pattern_with_inputs_of_its_own_is_refused_before_a_call(served):
    session, server = served
    pattern = service_pb2.PostModelOutputsRequest(model_id="model", inputs=texts(1))
    with pytest.raises(ItemsError, match="request= has inputs already"):
        session.map("PostModelOutputs", texts(3), request=pattern, progress=False)
    assert not server.requests


def test_a_pattern_with_the_key_enters_no_file(served, path):
    session, server = served
    pattern = service_pb2.PostModelOutputsRequest(model_id=CANARY)
    with pytest.raises(ItemsError, match="has the session's key"):
        session.map("PostModelOutputs", texts(1), request=pattern, save=path, progress=False)
    assert not path.exists()
    assert not server.requests


def test_items_whose_length_nobody_knows_are_taken_all_the_same(served):
    """What shows the progress of a generator has a length, which raises a TypeError."""
    session, _ = served

    shown = tqdm(map(prediction, range(3)), disable=True)
    assert not session.map("PostModelOutputs", shown, progress=False).left


def test_what_a_generator_raises_at_once_is_told_as_later(served, path):
    session, _ = served

    def broken():
        raise OSError("the disk is gone")
        yield

    answers = session.map("PostModelOutputs", broken(), progress=False)
    assert "OSError" in answers.failures[0].message
    session.map("PostModelOutputs", texts(2), request=PATTERN, save=path, progress=False)
    assert session.resume(path, broken(), progress=False).failures


PATTERN = service_pb2.PostModelOutputsRequest(model_id="model")


@pytest.mark.parametrize("other", [None, "text", prediction(3)], ids=["none", "text", "request"])
def test_another_type_of_item_where_there_is_an_answer_is_refused(served, path, other):
    session, server = served
    session.map("PostModelOutputs", texts(5), request=PATTERN, save=path, progress=False)
    asked = len(server.requests)
    with pytest.raises(ItemsError, match="Item 3 is not the one"):
        session.resume(path, [*texts(3), other, text_input(4)], progress=False)
    assert len(server.requests) == asked


def test_more_items_than_the_map_had_are_refused_and_not_called(served, path):
    session, server = served
    session.map("PostModelOutputs", texts(5), request=PATTERN, save=path, progress=False)
    asked = len(server.requests)
    with pytest.raises(ItemsError, match="6 items, and the map is of 5"):
        session.resume(path, map(text_input, range(8)), progress=False)
    assert len(server.requests) == asked
    assert len(session.resume(path)) == 5


def test_answers_that_another_has_written_to_the_file_meanwhile_are_not_called_for_again(path):
    def failing(request, response, _context):
        if failing.now and request.inputs[0].id == "item-2":
            response.status.code = 1  # no such status: a failure
            return response
        return added(request, response)

    failing.now = True
    with serving(failing) as (session, server):
        first = session.map("PostInputs", texts(5), batch=1, save=path, progress=False)
        assert first.left == [2]
        failing.now = False
        assert not session.resume(path, texts(5), progress=False).left
        asked = len(server.requests)
        first.resume()
        assert len(server.requests) == asked
        assert not first.left
        assert not first.failures
        assert first[2].id == "item-2"


def test_a_file_that_is_deleted_in_the_middle_is_told_and_its_answers_can_be_read(served, path):
    session, _ = served

    def items():
        yield from map(prediction, range(5))
        threading.Event().wait(0.7)  # the first are written
        yield prediction(5)
        path.unlink()
        yield from map(prediction, range(6, 10))

    with pytest.warns(ClarifaiAuthWarning, match=r"run\.db was deleted"):
        answers = session.map("PostModelOutputs", items(), save=path, progress=False)
    assert [each.outputs[0].input.id for each in answers] == [f"item-{i}" for i in range(10)]
    with pytest.raises(CallError, match=r"run\.db was deleted"):
        answers.resume()


def test_where_there_are_no_hard_links_a_map_is_saved_all_the_same(served, path, monkeypatch):
    """As on a network drive, such as Google's in Colab."""
    session, _ = served

    def link(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.link", link)
    assert not session.map("PostModelOutputs", [prediction()], save=path, progress=False).left
    assert not session.resume(path).left
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ItemsError, match="exists already"):
        session.map("PostModelOutputs", [prediction()], save=path, progress=False)


@pytest.mark.filterwarnings("ignore")
def test_a_loop_that_was_closed_in_the_middle_does_not_keep_it_from_going_on(served):
    session, _ = served
    answers = session.amap(
        "PostModelOutputs", map(prediction, range(2_000)), in_flight=2, progress=False
    )
    loop = asyncio.new_event_loop()

    async def begun():
        loop.kept = asyncio.create_task(answers)
        await asyncio.sleep(0.05)

    loop.run_until_complete(begun())
    loop.close()
    assert not answers.resume().left


@pytest.mark.parametrize("method", ["PostModelOutputs", "PostInputs"])
def test_saved_by_another_thread_it_goes_on_and_all_is_in_the_file(path, method):
    answer = {"PostModelOutputs": predicted, "PostInputs": added}[method]
    pattern = PATTERN if method == "PostModelOutputs" else None
    half = threading.Event()

    def items():
        for number in range(3_000):
            if number == 500:
                half.set()
            yield text_input(number)

    with serving(lambda request, response, _: answer(request, response)) as (session, _):
        answers = session.amap(
            method, items(), request=pattern, batch=1, in_flight=8, progress=False
        )

        def save():
            half.wait(20)
            answers.save(path)

        thread = threading.Thread(target=save)
        thread.start()
        answers.resume()
        thread.join()
        assert len(answers) == 3_000
        assert not answers.left
        assert not session.resume(path).left


class Closing(io.StringIO):
    """As a pipe to a program that ends in the middle."""

    def write(self, text):
        if "1it" in self.getvalue():
            raise BrokenPipeError
        return super().write(text)


def another_bar_is_drawn():
    def draw():
        with tqdm(total=1, file=io.StringIO()) as another:
            another.update()

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    thread.join(20)
    return not thread.is_alive()


class Own:
    """A program's own, which cannot be flushed, and fails in its own way."""

    def __init__(self):
        self.taken = 0

    def write(self, _text):
        self.taken += 1
        if self.taken > 2:
            raise RuntimeError


@pytest.mark.parametrize("stream", [Closing(), None, Own()], ids=["closed", "none", "own"])
def test_what_shows_no_progress_any_more_costs_no_answers(served, monkeypatch, stream):
    session, _ = served
    monkeypatch.setattr("sys.stderr", stream)

    def items():
        for each in map(prediction, range(6)):
            threading.Event().wait(0.15)
            yield each

    assert not session.map("PostModelOutputs", items()).left
    assert another_bar_is_drawn()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("which", range(4))
def test_an_interrupt_while_progress_is_drawn_stops_no_other_bar(served, which):
    session, _ = served
    taken = itertools.count()

    def interrupt(frame, event, function):
        taking = event == "c_return" and function.__name__ == "acquire"
        if taking and frame.f_code.co_filename == tqdm_std.__file__ and next(taken) == which:
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(interrupt)
    try:
        answers = session.map("PostModelOutputs", map(prediction, range(6)))
    finally:
        sys.setprofile(None)
    assert next(taken) > which
    assert not answers.resume().left
    assert another_bar_is_drawn()
