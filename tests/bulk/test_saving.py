"""A map that is saved: its answers are in the file as they come, and another process goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from scripted import predicted, serving
from support import SECRETS, prediction, sandbox_process, text_input

from clarifai_magic import Credentials, connect
from clarifai_magic.errors import CallError, ItemsError

TEMPLATE = service_pb2.PostModelOutputsRequest(model_id="general-image-recognition")
LONG = 300


def texts(count):
    return map(text_input, range(count))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.fixture
def served():
    with serving(predicted) as (session, server):
        yield session, server


def quietly(session, *arguments, **options):
    return session.map(*arguments, progress=False, **options)


def test_answers_are_read_from_the_file_in_their_order(served, path):
    session, _ = served
    answers = quietly(
        session, "PostModelOutputs", texts(LONG), request=TEMPLATE, batch=7, save=path
    )
    again = session.resume(path)
    for each in (answers, again):
        assert [answer.input.id for answer in each] == [f"item-{i}" for i in range(LONG)]
        assert not each.left
    assert type(again[0]) is resources_pb2.Output
    assert repr(again) == f"<{LONG} of {LONG} answered by PostModelOutputs>"


def test_whole_responses_are_kept_whole(served, path):
    session, _ = served
    quietly(session, "PostModelOutputs", map(prediction, range(5)), save=path)
    assert [each.outputs[0].input.id for each in session.resume(path)] == [
        f"item-{i}" for i in range(5)
    ]


def test_the_file_is_its_owners_alone_and_has_no_key(sandbox, path):
    credentials = Credentials(sandbox.keys.pat, user_id="alice", app_id="main", base=sandbox.base)
    key = sandbox.keys.pat
    echo = [prediction(i) for i in range(3)]
    for each in echo:
        each.inputs[0].data.text.raw = f"my key is {key}"
    with connect(credentials) as session:
        quietly(session, "PostModelOutputs", echo, save=path)
        assert key in str(session.stub.PostModelOutputs(echo[0]))
        assert "*" * 32 in str(session.resume(path)[0])
        with pytest.raises(ItemsError, match="returns keys"):
            quietly(session, "ListKeys", [service_pb2.ListKeysRequest()], save=path.with_name("k"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == [path.name]
    assert not any(secret.encode() in path.read_bytes() for secret in SECRETS)


def test_answers_that_are_there_are_saved_later_and_those_to_come(served, path):
    session, server = served

    def broken():
        yield from map(prediction, range(10))
        raise OSError

    answers = quietly(session, "PostModelOutputs", broken())
    assert answers.save(path) is answers
    asked = len(server.requests)
    again = session.resume(path, map(prediction, range(20)), progress=False)
    assert len(server.requests) == asked + 10
    assert not again.left
    assert len(again) == 20


def test_a_file_that_is_there_is_not_written_over(served, path):
    session, _ = served
    path.write_text("something of the user's")
    with pytest.raises(ItemsError, match=r"run\.db exists already"):
        quietly(session, "PostModelOutputs", [prediction()], save=path)
    assert path.read_text() == "something of the user's"
    with pytest.raises(ItemsError, match="not the file of a map"):
        session.resume(path)


@pytest.mark.parametrize(
    ("method", "item", "options"),
    [
        ("PostKeys", service_pb2.PostKeysRequest(), {}),
        ("GenerateModelOutputs", prediction(), {}),
        ("PostModelOutputs", prediction(), {"expires": 60}),
        ("PostModelOutputs", prediction(), {"timeout": -1}),
    ],
    ids=["keys", "stream", "expires", "timeout"],
)
def test_what_is_refused_leaves_no_file(served, path, method, item, options):
    session, server = served
    with pytest.raises((ItemsError, CallError)):
        quietly(session, method, [item], save=path, **options)
    assert not path.exists()
    assert not server.requests


def test_another_programs_database_is_refused_and_left_alone(served, path):
    session, _ = served
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE map (method TEXT)")
    before = path.read_bytes()
    with pytest.raises(ItemsError, match="not the file of a map"):
        session.resume(path, [prediction()])
    assert path.read_bytes() == before


def test_a_path_without_a_folder_or_a_file_is_told(served, path):
    session, _ = served
    with pytest.raises(CallError, match="cannot be used") as told:
        quietly(session, "PostModelOutputs", [prediction()], save=path / "missing" / "run.db")
    assert told.value.hint.startswith("Check the path")
    with pytest.raises(ItemsError, match="There is no file"):
        session.resume(path)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"], ids=["folder", "nul", "surrogate"])
def test_a_path_that_no_file_can_have_is_told_in_words_that_can_be_shown(served, tmp_path, name):
    session, server = served
    for call in (
        lambda: quietly(session, "PostModelOutputs", [prediction()], save=tmp_path / name),
        lambda: session.resume(tmp_path / name),
    ):
        with pytest.raises(ItemsError, match=r"is not a file|is no file name") as refused:
            call()
        assert str(refused.value).encode()
        assert refused.value.hint.startswith("Pass")
    assert not server.requests


def changed(sql):
    def change(path):
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(sql)

    return change


def shortened(path):
    os.truncate(path, 5_000)


@pytest.mark.parametrize(
    "damage",
    [
        shortened,
        changed("DELETE FROM map"),
        changed("UPDATE map SET request = x'ffff'"),
        changed("UPDATE items SET answer = x'ffff'"),
    ],
    ids=["shortened", "empty", "pattern", "answer"],
)
def test_of_a_file_that_is_damaged_it_is_told_what_to_do(served, path, damage):
    session, _ = served
    quietly(session, "PostModelOutputs", texts(LONG), request=TEMPLATE, save=path)
    damage(path)
    with pytest.raises(CallError, match=r"run\.db is damaged") as told:
        list(session.resume(path))
    assert "another file" in told.value.hint


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (lambda: texts(9), "9 items, and the map is of 10"),
        (lambda: list(texts(11)), "11 items, and the map is of 10"),
        (lambda: map(text_input, range(1, 11)), "Item 0 is not the one"),
        (lambda: map(text_input, [*range(9), 99]), "Item 9 is not the one"),
        (lambda: map(prediction, range(10)), "differs from those"),
    ],
)
def test_items_that_do_not_fit_are_refused_and_nothing_is_called(served, path, items, words):
    session, server = served
    quietly(session, "PostModelOutputs", texts(10), request=TEMPLATE, save=path)
    asked = len(server.requests)
    with pytest.raises(ItemsError, match=words):
        session.resume(path, items(), progress=False)
    assert len(server.requests) == asked
    assert not session.resume(path).left


def broken_off():
    yield from map(prediction, range(10))
    raise OSError


def test_too_few_items_at_one_time_do_not_keep_the_file_from_more_at_another(served, path):
    """The map broke off, and so the file does not say how many there are."""
    session, _ = served
    quietly(session, "PostModelOutputs", broken_off(), save=path)
    with pytest.raises(ItemsError, match="3 items, and the map is of 10"):
        session.resume(path, map(prediction, range(3)), progress=False)
    answers = session.resume(path, map(prediction, range(20)), progress=False)
    assert len(answers) == 20
    assert not answers.left


@pytest.mark.parametrize("go_on", [lambda answers: answers.resume(), asyncio.run])
def test_answers_that_were_read_without_items_tell_how_to_go_on(served, path, go_on):
    session, _ = served
    items = [prediction(number) for number in range(3)]
    quietly(session, "PostModelOutputs", [items[0], None, items[2]], save=path)
    there = session.resume(path)
    assert "resume('run.db', items) continues" in repr(there)
    with pytest.raises(ItemsError, match="read without items") as told:
        go_on(there)
    assert "resume('run.db', items)" in told.value.hint
    assert not session.resume(path, items, progress=False).left
    assert go_on(session.resume(path)).left == []


@pytest.mark.slow
def test_two_maps_at_once_do_not_write_one_file(path):
    begun, go_on = threading.Event(), threading.Event()

    def slow(request, response, _context):
        begun.set()
        go_on.wait(60)
        return predicted(request, response)

    with serving(slow) as (session, _):
        first = threading.Thread(
            target=quietly,
            args=(session, "PostModelOutputs", list(map(prediction, range(5)))),
            kwargs={"save": path},
        )
        first.start()
        begun.wait()
        code = (
            "import sys; from pathlib import Path\n"
            "from clarifai_magic.bulk.saved import SavedMap\n"
            "SavedMap(Path(sys.argv[1])).lock()"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
        )
        assert "in use by another process" in other.stderr or "locked" in other.stderr
        go_on.set()
        first.join()
        assert not session.resume(path).left


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="mounts a small disk")
def test_a_full_disk_loses_nothing_and_it_goes_on_with_room(served, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root mounts")
    session, server = served
    try:
        items = [prediction(i) for i in range(2_000)]
        for item in items:
            item.inputs[0].data.text.raw = "long " * 40
        answers = quietly(session, "PostModelOutputs", items, save=folder / "run.db")
        assert answers.left
        assert sorted(answers.failures) == answers.left
        assert "the disk is full" in answers.failures[answers.left[0]].message
        done = len(answers) - len(answers.left)
        assert done >= len(server.requests) - 64
        subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
        answers.resume()
        assert not answers.failures
        again = session.resume(folder / "run.db", items, progress=False)
        assert [each.outputs[0].input.id for each in again] == [f"item-{i}" for i in range(2_000)]
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


PROGRAM = """
import os, sys
sys.path[:0] = sys.argv[2:]
import clarifai_magic
from support import prediction, text_input
session = clarifai_magic.connect()
kind = {"PostInputs": text_input, "PostModelOutputs": prediction}[os.environ["METHOD"]]
def items():
    for number in range(int(os.environ["COUNT"])):
        item = kind(number)
        if kind is text_input:
            item.ClearField("id")
        yield item
print("begun", flush=True)
session.map(os.environ["METHOD"], items(), batch=int(os.environ["BATCH"]), in_flight=8,
            save=sys.argv[1], progress=False)
"""


def killed_in_the_middle(server, path, enough, **options):
    """Map in another process, and kill it once the file's log has that many bytes."""
    environment = {**os.environ, **server, **{name: str(each) for name, each in options.items()}}
    command = [sys.executable, "-c", PROGRAM, path, str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    process.stdout.readline()
    log = path.with_name(path.name + "-wal")
    while not (log.exists() and log.stat().st_size > enough):
        assert process.poll() is None
        threading.Event().wait(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert log.exists()


@pytest.fixture
def server():
    with sandbox_process("--latency", "0.02") as variables:
        yield variables


def signed_in(server):
    return connect(
        Credentials(
            server["CLARIFAI_PAT"], user_id="alice", app_id="main", base=server["CLARIFAI_API_BASE"]
        )
    )


@pytest.mark.slow
def test_a_kernel_that_is_killed_goes_on_where_it_was(server, path):
    killed_in_the_middle(server, path, 100_000, METHOD="PostModelOutputs", COUNT=3_000, BATCH=1)
    with signed_in(server) as session:
        there = session.resume(path)
        done = {index for index, answer in enumerate(there) if answer}
        assert 0 < len(done) < 3_000
        answers = session.resume(path, map(prediction, range(3_000)), progress=False)
    assert not answers.failures
    assert [each.outputs[0].input.id for each in answers] == [f"item-{i}" for i in range(3_000)]


def inputs_at(session):
    return session.stub.GetInputCount(service_pb2.GetInputCountRequest()).counts.processed


@pytest.mark.slow
def test_what_changes_something_is_done_once_in_spite_of_a_kill(server, path):
    with signed_in(server) as session:
        before = inputs_at(session)
        killed_in_the_middle(server, path, 20_000, METHOD="PostInputs", COUNT=2_000, BATCH=4)
        items = [text_input(i) for i in range(2_000)]
        for item in items:
            item.ClearField("id")  # the API makes one up: a repeated call adds another input
        answers = session.resume(path, items, progress=False)
        unsure = {index for index, error in answers.failures.items() if error.maybe_done}
        assert sorted(unsure) == answers.left
        assert 0 < len(unsure) < 2_000
        answered = 2_000 - len(unsure)
        assert answered <= inputs_at(session) - before <= 2_000
        answers.resume()
    assert not answers.left


@pytest.mark.slow
def test_a_file_that_is_in_use_is_told_before_anything_is_called(served, path):
    session, server = served
    quietly(session, "PostModelOutputs", map(prediction, range(5)), save=path)
    asked = len(server.requests)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CallError, match="in use by another process|is locked"):
            session.resume(path, map(prediction, range(5)), progress=False)
    assert len(server.requests) == asked
    assert not session.resume(path, map(prediction, range(5)), progress=False).left
