"""A sandbox, and small clusters of each kind, started once for all tests of a run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from clarifai_grpc.grpc.api import service_pb2
from support import SECRETS, sandbox_process, text_input

from clarifai_magic import connect
from clarifai_magic.bulk.mapping import begun

pytest.register_assert_rewrite("contract")

PREDICTING = ["Predict", "Apps:Get", "Models:Get", "Concepts:Get"]
OF_THE_APP = service_pb2.PostModelOutputsRequest(model_id="pets")


@pytest.fixture(scope="session")
def server():
    with sandbox_process("--latency", "0.01") as variables:
        yield variables


@pytest.fixture
def session(server):
    with connect(server.credentials()) as session:
        yield session


@pytest.fixture
def added(session):
    """How many inputs were added since, as the sandbox counts them."""

    def count():
        return session.stub.GetInputCount(service_pb2.GetInputCountRequest()).counts.processed

    before = count()
    return lambda: count() - before


@pytest.fixture(scope="session")
def dask_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="session")
def dask(dask_folder):
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=dask_folder
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def ray_folder(tmp_path_factory):
    # Its sockets' names have to be short.
    return tmp_path_factory.mktemp("r")


@pytest.fixture(scope="session")
def ray(ray_folder):
    os.environ["RAY_raylet_start_wait_time_s"] = "120"  # noqa: SIM112 - Ray spells it so
    os.environ["RAY_agent_register_timeout_ms"] = "120000"  # noqa: SIM112
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    for tries_left in reversed(range(5)):
        try:
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=2**27,
                _temp_dir=str(ray_folder),
            )
            break
        except Exception:  # Ray's own, where its helpers take more than 30 s to start
            ray.shutdown()
            if not tries_left:
                raise
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def spark_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spark")


@pytest.fixture(scope="session")
def spark(spark_folder):
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    (spark_folder / "events").mkdir()
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "512m")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(spark_folder / "local"))
        .config("spark.sql.warehouse.dir", str(spark_folder / "warehouse"))
        .config("spark.eventLog.enabled", "true")
        .config("spark.eventLog.compress", "false")  # to be searched
        .config("spark.eventLog.dir", f"file://{spark_folder / 'events'}")
        .getOrCreate()
    )
    yield spark
    spark.stop()


def prepared(session, method, items, **options):
    """A map that is not begun: `resume()` begins it, and another thread may watch."""
    given = {"request": None, "batch": 128, "in_flight": 8, "timeout": None, "progress": False}
    return begun(session, method, items, save=None, **{**given, **options})


def wait_until(condition, patience=120):
    """Wait as long as a busy machine needs."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def once(condition, act):
    """Do something in a thread as soon as a condition holds."""

    def watch():
        wait_until(condition)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def in_the_middle(added):
    """Whether inputs are being added right now, and not for the first time."""
    return lambda: added() > 100 and added() < added()


def without_ids(count):
    items = [text_input(number) for number in range(count)]
    for item in items:
        item.ClearField("id")  # the API makes one up, so that a repeated call adds another input
    return items


def interrupt():
    signal.raise_signal(signal.SIGINT)


def worker_keys(session):
    """The keys that were made for workers and are still there; none of them may be shown."""
    request = service_pb2.ListKeysRequest(user_app_id={"user_id": "alice"}, per_page=1000)
    keys = {key.id for key in session.stub.ListKeys(request).keys if key.description}
    SECRETS.update(keys)
    return keys


def files_with(folder, keys):
    """The files below a folder that have one of the keys in them."""
    wanted = [key.encode() for key in keys]
    found = []
    for path in folder.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        except OSError:
            continue
        if any(key in data for key in wanted):
            found.append(path.relative_to(folder))
    return found
