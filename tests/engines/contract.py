"""What holds of a map on each kind of cluster: the same answers, once each, whatever happens."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from conftest import OF_THE_APP, PREDICTING, interrupt, once, prepared, without_ids, worker_keys
from support import prediction, text_input

from clarifai_magic import Credentials, connect
from clarifai_magic.bulk.mapping import resumed
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import (
    CallError,
    ItemsError,
    NotSignedInError,
    ScopeError,
    UnreachableError,
)
from clarifai_magic.sandbox import Sandbox


class Contract:
    """Inherited by the tests of each kind, whose fixture `client` is what `client=` takes."""

    def test_answers_come_in_order_from_a_generator_that_is_taken_as_it_comes(
        self, session, client
    ):
        answers = session.map(
            "PostModelOutputs", (prediction(i) for i in range(200)), client=client, in_flight=8
        )
        assert not answers.failures
        assert [answer.outputs[0].input.id for answer in answers] == [
            f"item-{i}" for i in range(200)
        ]

    def test_what_changes_something_is_done_once(self, session, client, added):
        answers = session.map("PostInputs", without_ids(120), batch=4, client=client, in_flight=4)
        assert not answers.failures
        assert len({answer.id for answer in answers}) == added() == 120

    def test_what_fails_is_told_as_elsewhere(self, session, client):
        requests = [prediction(i) for i in range(20)]
        requests[7].model_id = "no-such-model"
        answers = session.map("PostModelOutputs", requests, client=client)
        assert list(answers.failures) == answers.left == [7]
        assert answers.failures[7].status_code

    @pytest.mark.usefixtures("interruptible")
    def test_an_interrupt_keeps_what_the_workers_had_answered(self, session, client, added):
        answers = prepared(session, "PostInputs", without_ids(20_000), batch=1, client=client)
        once(lambda: added() > 40, interrupt)
        assert answers.resume() is answers
        done = len(answers) - len(answers.left)
        assert not answers.failures
        assert 40 < done == added() < 20_000

    def test_workers_get_a_key_of_their_own_that_ends_with_the_map(self, session, client):
        items = [text_input(i) for i in range(30)]
        answers = prepared(
            session, "PostModelOutputs", items, request=OF_THE_APP, batch=2,
            client=client, scopes=PREDICTING, expires=600,
        )  # fmt: skip
        seen = set()
        take = answers.take
        answers.take = lambda *outcome: (seen.update(worker_keys(session)), take(*outcome))
        answers.resume()
        assert not answers.failures
        assert [answer.input.id for answer in answers] == [item.id for item in items]
        assert len(seen) == 1
        assert not worker_keys(session)
        assert "API key of alice/main with Predict" in repr(answers)

    def test_scopes_that_do_not_do_are_told_before_a_key_is_made(self, session, client):
        with pytest.raises(ScopeError, match="Models:Get"):
            session.map("PostModelOutputs", [prediction()], client=client, scopes=["Predict"])
        with pytest.raises(CallError, match="scopes= is a list"):
            session.map("PostModelOutputs", [prediction()], client=client, scopes="Predict")
        elsewhere = prediction()
        elsewhere.ClearField("inputs")
        with pytest.raises(ScopeError, match="clarifai/main"):
            session.map(
                "PostModelOutputs",
                [text_input(1)],
                request=elsewhere,
                client=client,
                scopes=PREDICTING,
            )
        with pytest.raises(ScopeError, match="takes a PAT"):
            session.map("ListKeys", [], client=client, scopes=PREDICTING)
        with pytest.raises(ItemsError, match="without client="):
            session.map("PostModelOutputs", [prediction()], scopes=PREDICTING)

    def test_a_key_that_cannot_be_made_is_told_before_a_file_is(self, session, client, tmp_path):
        path, items = tmp_path / "run.db", [text_input(1)]
        options = {"request": OF_THE_APP, "client": client, "save": path}
        with pytest.raises(CallError, match="number of seconds"):
            session.map("PostModelOutputs", items, scopes=PREDICTING, expires=-1, **options)
        assert not path.exists()

    def test_after_logout_another_sign_in_maps_on_the_same_workers(self, session, server, client):
        items = [prediction(i) for i in range(8)]
        assert not session.map("PostModelOutputs", items, client=client).failures
        session.close()
        credentials = internals(session).found.credentials
        with connect(Credentials(credentials.key, user_id="alice", base=session.base)) as again:
            assert not again.map("PostModelOutputs", items, client=client).failures

    def test_a_deployment_that_is_gone_ends_the_map_with_what_is_done(self, client):
        with Sandbox() as sandbox:
            credentials = Credentials(sandbox.keys.pat, base=sandbox.base)
            session = connect(credentials)
        with session:
            answers = session.map(
                "PostModelOutputs", [prediction(i) for i in range(3)], client=client, timeout=1
            )
        assert sorted(answers.failures) == answers.left == [0, 1, 2]
        assert all(isinstance(error, UnreachableError) for error in answers.failures.values())

    def test_logout_in_the_middle_keeps_what_is_done_and_tells_the_rest(self, session, client):
        def items():
            yield from map(prediction, range(300))
            session.close()
            yield from map(prediction, range(300, 400))

        answers = session.map("PostModelOutputs", items(), client=client, in_flight=4)
        assert any(answers)
        assert answers.failures
        assert all(isinstance(each, NotSignedInError) for each in answers.failures.values())

    def test_a_file_that_is_in_use_is_told_before_a_key_is_made(self, session, client, tmp_path):
        path, items = tmp_path / "run.db", [text_input(i) for i in range(3)]
        session.map("PostModelOutputs", items, request=OF_THE_APP, save=path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            answers = resumed(
                session, path, items, client=client, scopes=PREDICTING,
                in_flight=4, timeout=None, progress=False,
            )  # fmt: skip
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(CallError, match="in use"):
                answers.resume()
        assert not worker_keys(session)
        assert not answers.resume().left
