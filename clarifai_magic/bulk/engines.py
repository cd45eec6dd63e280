"""Which engine makes the calls of a map: told by what `client=` is, not by what it is called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic.bulk.in_process import InProcess
from clarifai_magic.bulk.kinds import is_a
from clarifai_magic.bulk.workers import expires_alone
from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clarifai_magic.bulk.calls import Engine, MapSession
    from clarifai_magic.bulk.cluster import Cluster


class Terms(NamedTuple):
    """On what terms a map gives its workers a key.

    Parameters
    ----------
    insecure : bool
        Whether the key may go to them unencrypted.
    scopes : iterable of str or None
        Of an API key that is made for them; None to give them the session's own key.
    expires : float or None
        Seconds until that ends.
    """

    insecure: bool
    scopes: Iterable[str] | None
    expires: float | None

    def check(self, client: Any, method: str, request: Any, session: MapSession) -> None:
        """Refuse what cannot be, before anything is done.

        Raises
        ------
        ItemsError
            If there are no workers that could get a key.
        CallError
            If they must not have one, or cannot be reached; if `expires` cannot be.
        ScopeError
            If no such key can be made, or the calls would all be refused with it.
        """
        if client is not None:
            _ready(client, insecure=self.insecure)
        if self.scopes is None:
            if self.expires is not None:
                raise expires_alone()
            return
        if client is None:
            raise ItemsError(
                "scopes= are those of a key for workers, and without client= there are none.",
                "Pass client=, or omit scopes=.",
            )
        from clarifai_magic.bulk.worker_keys import refuse_unfit

        refuse_unfit(method, request, self.scopes, self.expires, session.identity)


def engine_for(client: Any, session: MapSession, terms: Terms) -> Engine:
    """What makes the calls of a map, once.

    Parameters
    ----------
    client : distributed.Client, pyspark.sql.SparkSession, module ray, or None
        None for this process.
    session : Session
        Whose calls they are.
    terms : Terms
        On which a cluster's workers get a key.

    Raises
    ------
    ItemsError
        If the client is none of these, or not ready.
    ClarifaiMagicError
        If its workers must not, or cannot, have a key.
    """
    if client is None:
        return InProcess()
    from clarifai_magic.bulk.cluster import OnCluster

    cluster = _ready(client, insecure=terms.insecure)
    return OnCluster(cluster, session.for_workers(scopes=terms.scopes, expires=terms.expires))


def _ready(client: Any, *, insecure: bool) -> Cluster:
    from clarifai_magic.bulk.cluster import reached

    cluster = _cluster(client, insecure=insecure)
    with reached():
        cluster.threads()  # which refuses to send a key in plaintext, before one is created
    return cluster


def _cluster(client: Any, *, insecure: bool) -> Cluster:
    # Whoever has such an object has imported its module.
    if client is sys.modules.get("ray"):
        from clarifai_magic.bulk.ray import Ray

        return Ray(client, insecure=insecure)
    if is_a(client, "distributed", "Client"):
        from clarifai_magic.bulk.dask import Dask

        return Dask(client, insecure=insecure)
    if is_a(client, "pyspark.sql", "SparkSession") or is_a(
        client, "pyspark.sql.connect.session", "SparkSession"
    ):
        from clarifai_magic.bulk.spark import Spark

        return Spark(client, insecure=insecure)
    raise ItemsError(
        f"client= is a {type(client).__name__}, which map does not know.",
        "Pass a distributed.Client, a SparkSession, or the module ray; for others, for_workers().",
    )
