"""Spark's part in a map: each share is a job of one task."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clarifai_magic.bulk.plaintext import refuse_plaintext
from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from clarifai_magic.bulk.calls import Send
    from clarifai_magic.bulk.work import Work, Worked

_JOBS = 256  # at the same time, at most: a thread waits for each
_ENCRYPTION = ("spark.network.crypto.enabled", "spark.ssl.rpc.enabled")


class Spark:
    """A `Cluster` behind a `SparkSession`.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Classic: in the driver's own process.
    insecure : bool
        Whether a key may go to the executors unencrypted.

    Raises
    ------
    ItemsError
        If it has no driver here, as one of Spark Connect has not, or is stopped.
    """

    def __init__(self, session: Any, *, insecure: bool) -> None:
        context = getattr(session, "_sc", None)
        if context is None or context._jsc is None:  # noqa: SLF001 - there is no public way
            raise ItemsError(
                "map needs a SparkSession with its driver in this process, which is not stopped.",
                "Make one with SparkSession.builder, or use for_workers() in a function of yours.",
            )
        self._context = context
        self._insecure = insecure
        self._jobs = ThreadPoolExecutor(_JOBS, "clarifai-spark")  # which begin when needed

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have interrupts that end no job, and no threads afterwards; see `Cluster`."""
        # PySpark's own handler ends all jobs, of which nothing would come any more.
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.default_int_handler) if main else None
        try:
            yield
        finally:
            self._jobs.shutdown(wait=False, cancel_futures=True)
            if before is not None:
                signal.signal(signal.SIGINT, before)

    def threads(self) -> int:
        """How many tasks run at the same time; see `Cluster`."""
        context = self._context
        settings, local = context.getConf(), context._jsc.isLocal()  # noqa: SLF001
        encrypted = any(settings.get(each, "false") == "true" for each in _ENCRYPTION)
        if not (local or encrypted or self._insecure):
            host = urlsplit(context.master).hostname or context.master
            refuse_plaintext(host, f"Spark at {context.master}", _TLS)
        return int(min(context.defaultParallelism, _JOBS))

    def submit(self, work: Work) -> Future[Worked]:
        """Have a worker do it; see `Cluster`."""
        return self._jobs.submit(self._job, work)

    def _job(self, work: Work) -> Worked:
        # PySpark writes data to files, and a closure of more than 1 MiB too: the key is in neither.
        batches = self._context.broadcast(work.batches)
        try:
            worked: Worked
            task = _task(work.send, batches)
            [worked] = self._context.parallelize([0], 1).mapPartitions(task).collect()
            return worked
        finally:
            batches.destroy()

    def is_loss(self, error: BaseException) -> bool:
        """Whether the job failed, of which Spark says in words alone why; see `Cluster`."""
        return isinstance(error, Exception)


_TLS = "Set spark.network.crypto.enabled and spark.authenticate"


def _task(send: Send, batches: Any) -> Callable[[Any], Iterator[Worked]]:
    def worked(partition: Any) -> Iterator[Worked]:
        from pyspark import TaskContext

        from clarifai_magic.bulk.work import Work

        list(partition)  # to its end, or Spark begins the next task with a new Python
        work = Work(send, batches.value)
        # Spark repeats a task whose executor died; what changes something is not done again.
        again = TaskContext.get().attemptNumber() > 0 and not send.safe
        yield work.uncertain() if again else work()

    return worked
