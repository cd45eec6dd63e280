"""A map that meets another use of itself, of its file, or of what it was given."""

from __future__ import annotations

import _thread
import asyncio
import subprocess
import threading

import pytest
from scripted import added, predicted, serving
from support import prediction, text_input

from clarifai_magic.errors import CallError, ClarifaiAuthWarning


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


def test_cancelled_twice_it_tells_what_may_have_been_added():
    """The second comes while the calls are being ended, as at the end of asyncio.run."""
    slow = Slow(added)
    with serving(slow) as (session, _):

        async def cancelled():
            answers = session.amap("PostInputs", map(text_input, range(4)), batch=1, progress=False)
            task = asyncio.create_task(answers)
            await asyncio.to_thread(slow.asked.wait, 20)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return {index for index, error in answers.failures.items() if error.maybe_done}

        assert asyncio.run(cancelled()) == set(range(4))
        slow.go_on.set()


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
