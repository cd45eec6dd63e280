"""Ray's part in a map: its tasks are handed shares, and never repeats one by itself."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from clarifai_magic.bulk.plaintext import refuse_plaintext
from clarifai_magic.bulk.work import Work
from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from clarifai_magic.bulk.batching import Batch
    from clarifai_magic.bulk.calls import Send
    from clarifai_magic.bulk.work import Worked


class Ray:
    """A `Cluster` behind the module `ray`.

    Parameters
    ----------
    ray : module
        Initialised.
    insecure : bool
        Whether a key may go to the workers unencrypted.

    Raises
    ------
    ItemsError
        If it is not initialised.
    """

    def __init__(self, ray: Any, *, insecure: bool) -> None:
        if not ray.is_initialized():
            raise ItemsError("Ray is not initialised.", "Call ray.init() first.")
        self._ray = ray
        self._insecure = insecure or os.environ.get("RAY_USE_TLS") == "1"
        # What failed here is handed out again by us, who know whether that may be.
        self._worked = ray.remote(num_cpus=1, max_retries=0)(worked)

    def threads(self) -> int:
        """How many CPUs the nodes have; see `Cluster`."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        here = self._ray.util.get_node_ip_address()
        if not self._insecure:
            for node in nodes:
                address = node["NodeManagerAddress"]
                if address != here:
                    refuse_plaintext(address, f"Ray's node at {address}", _TLS)
        return int(sum(node["Resources"].get("CPU", 0) for node in nodes))

    def submit(self, work: Work) -> Future[Worked]:
        """Have a worker do it; see `Cluster`."""
        # One by one, for large arguments go to a store that Ray may write to disk: without the key.
        future: Future[Worked] = self._worked.remote(work.send, work.batches).future()
        return future

    def is_loss(self, error: BaseException) -> bool:
        """Whether Ray lost the worker, or the task; see `Cluster`."""
        errors = self._ray.exceptions
        return isinstance(error, errors.RayError) and not isinstance(error, errors.RayTaskError)

    def at_work(self) -> AbstractContextManager[None]:
        """Nothing in particular; see `Cluster`."""
        return nullcontext()


_TLS = "Set RAY_USE_TLS=1 on every node, with certificates"


def worked(send: Send, batches: Sequence[Batch]) -> Worked:
    """On a worker: make the calls for a share of the batches."""
    return Work(send, batches)()
