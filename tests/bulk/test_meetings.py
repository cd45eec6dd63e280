"""A map that meets another use of itself, of its file, or of what it was given."""

from __future__ import annotations

import asyncio
import threading

import pytest
from scripted import added, predicted, serving
from support import prediction, text_input

from clarifai_magic.errors import CallError


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
