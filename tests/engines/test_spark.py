"""Spark: workers that are killed, a pandas UDF that has the session, and where keys are on a driver's disk."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - which pandas_udf reads
from contextlib import suppress

import pandas as pd
import psutil
import pytest
from conftest import (
    OF_THE_APP,
    PREDICTING,
    files_with,
    in_the_middle,
    once,
    prepared,
    wait_until,
    without_ids,
    worker_keys,
)
from contract import Contract
from support import prediction, text_input

from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, ItemsError


class TestAsOnAnyCluster(Contract):
    @pytest.fixture
    def client(self, spark):
        return spark


def workers():
    """The processes in which the executors run Python."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if all("pyspark.daemon" in process.cmdline() for process in (each, each.parent())):
                found.append(each)
    return found


def kill_the_workers_once(condition):
    found = []

    def is_time():
        found[:] = workers()  # first, because it takes longer than their work may last
        return condition()

    def kill():
        for each in found:
            with suppress(psutil.NoSuchProcess):
                each.kill()

    return once(is_time, kill)


def test_a_worker_stays_however_many_shares_it_gets(session, spark):
    items = [prediction(i) for i in range(100)]
    session.map("PostModelOutputs", items, client=spark, in_flight=4)
    before = workers()
    assert before
    session.map("PostModelOutputs", items, client=spark, in_flight=4)
    assert set(before) <= set(workers())


def test_killed_workers_do_not_cost_an_answer(session, spark):
    answers = prepared(
        session, "PostModelOutputs", [prediction(i) for i in range(1500)], client=spark
    )
    thread = kill_the_workers_once(lambda: len(answers) - len(answers.left) > 100)
    answers.resume()
    thread.join(60)
    assert not thread.is_alive()
    assert not answers.failures
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(1500)]


def test_what_killed_workers_may_have_done_is_not_done_twice(session, spark, added):
    answers = prepared(session, "PostInputs", without_ids(4000), batch=1, client=spark)
    kill_the_workers_once(in_the_middle(added))
    answers.resume()
    assert answers.failures
    assert all(error.maybe_done for error in answers.failures.values())
    assert len(answers) - len(answers.left) <= added() <= len(answers)


def test_a_pandas_udf_has_the_session(session, spark):
    from pyspark.sql.functions import pandas_udf

    workers = session.for_workers()

    @pandas_udf("string")
    def best(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for texts in batches:
            answers = workers.map("PostModelOutputs", texts, request=OF_THE_APP, progress=False)
            yield pd.Series([each.data.concepts[0].id if each else None for each in answers])

    texts = ["a cat", "a dog", "a train", "a mountain"]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    found = [row.best for row in frame.select(best("text").alias("best")).collect()]
    here = session.map("PostModelOutputs", pd.Series(texts), request=OF_THE_APP, progress=False)
    assert found == [answer.data.concepts[0].id for answer in here]


def test_no_key_is_in_sparks_event_log_or_working_folders(session, spark, spark_folder):
    items = [text_input(i) for i in range(30)]
    for item in items:
        item.data.text.raw += " and another" * 20_000  # of which PySpark makes files
    answers = prepared(
        session, "PostModelOutputs", items, request=OF_THE_APP, batch=1,
        client=spark, scopes=PREDICTING,
    )  # fmt: skip
    seen, found = set(), set()
    take = answers.take

    def looking(*outcome):
        seen.update(worker_keys(session))
        found.update(files_with(spark_folder, seen))
        take(*outcome)

    answers.take = looking
    answers.resume()
    assert len(seen) == 1
    assert not answers.failures
    keys = {*seen, str.__str__(internals(session).found.credentials.key)}
    assert not found
    wait_until(lambda: files_with(spark_folder, ["SparkListenerJobEnd"]))  # it is written later
    assert not files_with(spark_folder, keys)


def test_a_master_on_the_network_needs_encryption_or_leave(session):
    """What is asked of a SparkContext, for one on a network."""
    from clarifai_magic.bulk.spark import Spark

    class Context:
        defaultParallelism = 4

        def __init__(self, master, **settings):
            self.master = master
            self.getConf = lambda: settings
            self._jsc = type("Java", (), {"isLocal": lambda _: master.startswith("local")})()

    def spark(*args, **settings):
        return type("Session", (), {"_sc": Context(*args, **settings)})

    encrypted = {"spark.network.crypto.enabled": "true"}
    for fine in (spark("local[2]"), spark("spark://127.0.0.1:7077"), spark("yarn", **encrypted)):
        assert Spark(fine, insecure=False).threads() == 4
    for master in ("spark://10.0.0.1:7077", "yarn", "k8s://https://10.0.0.1:6443"):
        with pytest.raises(CallError, match="in plaintext"):
            Spark(spark(master), insecure=False).threads()
        assert Spark(spark(master), insecure=True).threads() == 4


def test_a_session_without_a_driver_here_is_refused_in_one_line():
    from clarifai_magic.bulk.spark import Spark

    with pytest.raises(ItemsError, match="driver in this process"):
        Spark(type("Remote", (), {"_sc": None}), insecure=False)


def test_pyspark_takes_an_interrupt_as_before(session, spark):
    import signal

    before = signal.getsignal(signal.SIGINT)
    session.map("PostModelOutputs", [prediction()], client=spark)
    assert signal.getsignal(signal.SIGINT) is before
