"""Whatever goes wrong with some items is told of those alone, and costs no other its answer."""

from __future__ import annotations

import _thread
import asyncio
import itertools
import socket
import threading

import grpc
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from scripted import added, predicted, serving
from support import prediction, text_input

from clarifai_magic import ClarifaiMagicError, Credentials, connect
from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.bulk import breaker, in_process, sending
from clarifai_magic.bulk.batching import Plan
from clarifai_magic.errors import ItemsError, RefusedError, UnreachableError

TEMPLATE = service_pb2.PostModelOutputsRequest(model_id="general-image-recognition")


def ids(answers):
    return [answer and answer.input.id for answer in answers]


def test_items_without_a_status_fail_together_and_perhaps_were_done():
    def some(_request, response, _context):
        response.status.code = codes.MIXED_STATUS
        response.concepts.add(id="a")
        response.concepts.add(id="b")
        return response

    with serving(some) as (session, _):
        answers = session.map(
            "PostConcepts", [resources_pb2.Concept(id=i) for i in "abcd"], batch=2
        )
    assert sorted(answers.failures) == answers.left == [0, 1, 2, 3]
    assert all(each.maybe_done for each in answers.failures.values())
    assert "does not say for which" in answers.failures[0].message


def test_a_refusal_of_items_without_a_status_was_not_done():
    def none(_request, response, _context):
        response.status.code = codes.CONN_BAD_REQUEST_FORMAT
        return response

    with serving(none) as (session, _):
        answers = session.map("PostConcepts", [resources_pb2.Concept(id=i) for i in "ab"])
    assert all(isinstance(each, RefusedError) for each in answers.failures.values())
    assert not any(each.maybe_done for each in answers.failures.values())


def test_an_item_that_cannot_be_written_fails_alone(monkeypatch):
    """As one of more than 2 GB does, which is too much for a test."""
    serialize = service_pb2.PostModelOutputsRequest.SerializeToString

    def refusing(request):
        if any(item.id == "item-5" for item in request.inputs):
            raise ValueError("exceeds maximum protobuf size of 2GB")
        return serialize(request)

    monkeypatch.setattr(service_pb2.PostModelOutputsRequest, "SerializeToString", refusing)
    with serving(predicted) as (session, _):
        answers = session.map("PostModelOutputs", map(text_input, range(20)), request=TEMPLATE)
    assert list(answers.failures) == [5]
    assert isinstance(answers.failures[5], ItemsError)
    assert ids(answers[:3]) == ["item-0", "item-1", "item-2"]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL])
def test_an_item_that_a_server_dies_of_fails_alone(code):
    def fragile(request, response, context):
        if any(item.id == "item-70" for item in request.inputs):
            context.abort(code, "list index out of range")
        return predicted(request, response)

    with serving(fragile) as (session, server):
        answers = session.map(
            "PostModelOutputs", map(text_input, range(100)), request=TEMPLATE, batch=32, in_flight=1
        )
    assert list(answers.failures) == [70]
    assert not answers.failures[70].maybe_done
    assert len(server.requests) < 4 + 2 * 5 + 1


def test_items_that_are_too_large_together_go_apart():
    def strict(request, response, context):
        if len(request.inputs) > 40:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large")
        if len(request.inputs) > 20:
            response.status.code = codes.RPC_MAX_MESSAGE_SIZE_EXCEEDED
            return response
        return predicted(request, response)

    with serving(strict) as (session, server):
        answers = session.map("PostModelOutputs", map(text_input, range(128)), request=TEMPLATE)
    assert not answers.failures
    assert ids(answers) == [f"item-{i}" for i in range(128)]
    assert sorted(len(request.inputs) for request in server.requests) == [16] * 8 + [32] * 4 + [
        64
    ] * 2 + [128]


def test_an_item_that_is_too_large_alone_is_told():
    with serving(predicted, options=[("grpc.max_receive_message_length", 1_000)]) as (session, _):
        items = [text_input(i) for i in range(8)]
        items[3].data.text.raw = "long " * 1_000
        answers = session.map("PostModelOutputs", items, request=TEMPLATE)
    assert list(answers.failures) == [3]
    assert "message size" in answers.failures[3].message


def test_a_response_that_cannot_be_read_is_told_of_its_item():
    def some(request, response, _context):
        [item] = request.inputs
        return b"\xff\xff" if item.id == "item-1" else predicted(request, response)

    with serving(some) as (session, _):
        answers = session.map("PostModelOutputs", map(prediction, range(20)), in_flight=4)
    assert list(answers.failures) == [1]
    assert "cannot be parsed" in answers.failures[1].message
    assert not answers.failures[1].maybe_done


def test_what_may_have_been_added_is_told_where_the_response_cannot_be_read():
    def some(request, response, _context):
        bad = any(item.id == "item-3" for item in request.inputs)
        return b"\xff\xff" if bad else added(request, response)

    with serving(some) as (session, server):
        answers = session.map("PostInputs", map(text_input, range(8)), batch=2)
    assert sorted(answers.failures) == [2, 3]
    assert all(each.maybe_done for each in answers.failures.values())
    assert len(server.requests) == 4


def test_what_was_under_way_at_an_interrupt_may_have_been_added():
    begun = threading.Event()

    def slow(request, response, _context):
        begun.set()
        never.wait(20)
        return added(request, response)

    never = threading.Event()

    async def cancelled(session):
        answers = session.amap("PostInputs", map(text_input, range(8)), batch=2, in_flight=1)
        waiting = asyncio.ensure_future(answers._awaited())
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        await asyncio.wait([waiting])
        return answers

    with serving(slow) as (session, _):
        answers = asyncio.run(cancelled(session))
        never.set()
    assert {index for index, each in answers.failures.items() if each.maybe_done} == {0, 1}
    assert answers.left == list(range(len(answers)))


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_the_reason_of_a_failure_is_looked_for_tells_it_may_have_been_added(
    monkeypatch,
):
    def looking(*arguments):
        _thread.interrupt_main()
        over.wait(20)
        return error_from_rpc(*arguments)

    def broken(_request, _response, context):
        context.abort(grpc.StatusCode.INTERNAL, "after it was added")

    over = threading.Event()
    monkeypatch.setattr(sending, "error_from_rpc", looking)
    with serving(broken) as (session, _):
        answers = session.map("PostInputs", map(text_input, range(8)), batch=2, in_flight=1)
        over.set()
    assert {index for index, each in answers.failures.items() if each.maybe_done} == {0, 1}


@pytest.mark.slow
def test_a_model_that_is_on_its_way_is_waited_for_and_told(capsys):
    states = [codes.MODEL_QUEUED_FOR_DEPLOYMENT, codes.MODEL_DEPLOYING, codes.MODEL_LOADING]
    states += [codes.MODEL_BUSY_PLEASE_RETRY] * 2
    ahead = iter(states)

    def cold(request, response, _context):
        state = next(ahead, codes.SUCCESS)
        if state == codes.SUCCESS:
            return predicted(request, response)
        response.status.code = state
        return response

    with serving(cold) as (session, _):
        answers = session.map("PostModelOutputs", map(prediction, range(8)), in_flight=1)
    assert not answers.failures
    assert answers.retried == len(states)
    assert "waiting=the model is" in capsys.readouterr().err


def test_a_model_that_is_not_deployed_is_not_waited_for():
    def missing(_request, response, _context):
        response.status.code = codes.MODEL_NOT_DEPLOYED
        return response

    with serving(missing) as (session, server):
        answers = session.map("PostModelOutputs", [prediction()])
    assert answers.failures[0].status_code == codes.MODEL_NOT_DEPLOYED
    assert len(server.requests) == 1


def test_a_model_on_its_way_is_told_when_the_calls_own_time_is_over():
    def cold(_request, response, _context):
        response.status.code = codes.MODEL_DEPLOYING
        return response

    with serving(cold) as (session, _):
        answers = session.map("PostModelOutputs", [prediction()], timeout=0.5)
    assert answers.failures[0].status_code == codes.MODEL_DEPLOYING


@pytest.mark.slow
def test_it_is_told_too_if_the_time_is_over_in_the_middle_of_an_attempt():
    attempts, over = itertools.count(), threading.Event()

    def cold(_request, response, _context):
        if next(attempts):
            over.wait(30)
        response.status.code = codes.MODEL_DEPLOYING
        return response

    with serving(cold) as (session, _):
        answers = session.map("PostModelOutputs", [prediction()], timeout=2)
        over.set()
    assert answers.failures[0].status_code == codes.MODEL_DEPLOYING


def test_no_more_calls_than_allowed_are_in_flight():
    together = threading.Barrier(5)

    def slow(request, response, _context):
        if request.inputs[0].id in {f"item-{i}" for i in range(5)}:
            together.wait(30)
        return predicted(request, response)

    with serving(slow) as (session, server):
        answers = session.map("PostModelOutputs", map(prediction, range(100)), in_flight=5)
    assert not answers.failures
    assert server.most == 5


@pytest.fixture
def kilobyte(monkeypatch):
    """The most bytes in flight, and the most ahead, in place of more than a test should take."""
    for module in (sending, in_process):
        monkeypatch.setattr(module, "_MOST_BYTES", 1_000)


def mapped(session, items):
    return session.map("PostModelOutputs", items, progress=False)


def awaited(session, items):
    async def call():
        return await session.amap("PostModelOutputs", items, progress=False)

    return asyncio.run(call())


@pytest.mark.usefixtures("kilobyte")
@pytest.mark.parametrize("call", [mapped, awaited])
def test_no_more_bytes_are_taken_and_in_flight_than_have_room(call):
    together = threading.Barrier(4)
    done, ahead = [], []

    def slow(request, response, _context):
        if request.inputs[0].id in {f"item-{i}" for i in range(4)}:
            together.wait(30)
        done.append(predicted(request, response))
        return done[-1]

    def items():
        for number in range(200):
            ahead.append(number - len(done))
            item = prediction(number)
            item.inputs[0].data.text.raw = "long " * 50
            yield item

    with serving(slow) as (session, server):
        answers = call(session, items())
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(200)]
    assert server.most == 4
    assert max(ahead) <= 4 + 4


@pytest.mark.usefixtures("kilobyte")
@pytest.mark.parametrize("call", [mapped, awaited])
def test_an_item_of_more_bytes_than_have_room_goes_alone(call):
    items = [prediction(number) for number in range(8)]
    for item in items:
        item.inputs[0].data.text.raw = "long " * 1_000

    def slow(*asked):
        threading.Event().wait(0.01)  # so that others, if there were any, would come meanwhile
        return predicted(*asked)

    with serving(slow) as (session, server):
        assert not call(session, items).left
    assert server.most == 1


def test_inputs_of_more_bytes_than_a_request_should_have_go_apart():
    items = [resources_pb2.Input(data={"image": {"base64": bytes(size)}}) for size in SIZES]
    kind = "clarifai.api.Input"
    parts = Plan("PostInputs", kind, None, 128).batches(enumerate(items), pytest.fail)
    assert [part.indices for part in parts] == [(0, 1), (2,), (3, 4, 5)]


SIZES = [2**24, 2**23, 2**26, 2**23, 2**23, 1]


def test_there_are_no_more_tasks_than_there_is_work_for():
    counts = []

    def items():
        for number in range(3):
            counts.append(len(asyncio.all_tasks()))
            yield prediction(number)

    async def call(session):
        return await session.amap("PostModelOutputs", items(), in_flight=10_000, progress=False)

    with serving(predicted) as (session, _):
        assert not asyncio.run(call(session)).left
    assert max(counts) < 10


def test_two_maps_at_once_count_their_own_retries():
    left = {"throttled": 20}
    lock = threading.Lock()

    def throttled(request, response, _context):
        with lock:
            if request.model_id == "busy" and left["throttled"]:
                left["throttled"] -= 1
                response.status.code = codes.CONN_THROTTLED
                return response
        return predicted(request, response)

    with serving(throttled) as (session, _):
        found = {}

        def work(model_id):
            pattern = service_pb2.PostModelOutputsRequest(model_id=model_id)
            found[model_id] = session.map(
                "PostModelOutputs",
                map(text_input, range(60)),
                request=pattern,
                batch=1,
                progress=False,
            )

        threads = [threading.Thread(target=work, args=(name,)) for name in ("busy", "idle")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found["busy"].retried == 20
    assert found["idle"].retried == 0


def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.slow
def test_a_server_that_refuses_connections_stops_the_map_and_it_goes_on_when_it_is_back():
    port = closed_port()
    credentials = Credentials("0" * 32, user_id="alice", base=f"http://127.0.0.1:{port}")
    with connect(credentials, verified=False) as session:
        answers = session.map("PostModelOutputs", map(prediction, range(10_000)), progress=False)
        assert all(isinstance(each, UnreachableError) for each in answers.failures.values())
        assert sorted(answers.failures) == answers.left
        with serving(predicted, port=port):
            answers.resume()
        assert len(answers) == 10_000
        assert not answers.failures
        assert not answers.left


@pytest.mark.slow
def test_what_changes_something_is_not_sent_into_the_void(monkeypatch):
    monkeypatch.setattr(breaker, "OUTAGE_PATIENCE", 2.0)
    port = closed_port()
    credentials = Credentials("0" * 32, user_id="alice", base=f"http://127.0.0.1:{port}")
    with connect(credentials, verified=False) as session:
        answers = session.map("PostInputs", list(map(text_input, range(1000))), progress=False)
        assert sorted(answers.failures) == list(range(1000))
        assert not any(each.maybe_done for each in answers.failures.values())
        with serving(added, port=port) as (_, server):
            answers.resume()
        assert not answers.failures
        assert len(server.requests) == 8


def test_what_changes_something_and_had_no_connection_in_its_time_was_not_done():
    credentials = Credentials("0" * 32, user_id="alice", base=f"http://127.0.0.1:{closed_port()}")
    with connect(credentials, verified=False) as session:
        items = list(map(text_input, range(3)))
        answers = session.map("PostInputs", items, batch=1, timeout=0.1, progress=False)
    assert answers.left == [0, 1, 2]
    assert all(isinstance(each, UnreachableError) for each in answers.failures.values())
    assert not any(each.maybe_done for each in answers.failures.values())


@pytest.mark.slow
def test_a_server_that_dies_ends_the_map_with_what_is_done(monkeypatch):
    monkeypatch.setattr(breaker, "OUTAGE_PATIENCE", 2.0)
    dead = threading.Event()

    def dying(request, response, context):
        if len(done) > 50 or dead.is_set():
            dead.set()
            context.abort(grpc.StatusCode.UNAVAILABLE, "dying")
        done.append(request)
        return predicted(request, response)

    done = []
    with serving(dying) as (session, _):
        answers = session.map("PostModelOutputs", list(map(prediction, range(500))), progress=False)
        kept = len(answers) - len(answers.left)
        assert 50 <= kept < 60
        assert sorted(answers.failures) == answers.left


def test_logout_in_the_middle_keeps_what_is_done_and_tells_the_rest(sandbox):
    credentials = Credentials(sandbox.keys.pat, user_id="alice", base=sandbox.base)
    session = connect(credentials)

    def items():
        for number in range(500):
            if number == 300:
                session.close()
            yield prediction(number)

    answers = session.map("PostModelOutputs", items(), progress=False)
    assert answers.left
    assert {type(each).__name__ for each in answers.failures.values()} == {"NotSignedInError"}
    with pytest.raises(ClarifaiMagicError, match="closed"):
        answers.resume()


def test_map_sign_out_sign_in_map(sandbox):
    for _ in range(4):
        credentials = Credentials(sandbox.keys.pat, user_id="alice", base=sandbox.base)
        with connect(credentials) as session:
            workers = session.for_workers()
            for each in (session, workers):
                answers = each.map("PostModelOutputs", map(prediction, range(4)), progress=False)
                assert not answers.failures
