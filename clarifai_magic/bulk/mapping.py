"""One method called for many items at once: `Session.map` and `Session.amap`."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from clarifai_magic.bulk import engines
from clarifai_magic.bulk.awaiting import Repeatable
from clarifai_magic.bulk.batching import Plan, type_name
from clarifai_magic.bulk.calls import MapSession, Send, Tally
from clarifai_magic.bulk.ending import (
    broken_off,
    ended,
    perhaps_done,
    running_already,
    warn,
    without_items,
)
from clarifai_magic.bulk.frames import frame_of, items_of
from clarifai_magic.bulk.in_process import TICK
from clarifai_magic.bulk.items import Items, other_length
from clarifai_magic.bulk.progress import Look, bar
from clarifai_magic.bulk.saved import SavedMap
from clarifai_magic.bulk.store import Store
from clarifai_magic.client.internals import internals
from clarifai_magic.credentials.secret import Unpicklable
from clarifai_magic.errors import (
    ClarifaiMagicError,
    ItemsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from google.protobuf.message import Message

    from clarifai_magic.bulk.batching import Batch
    from clarifai_magic.bulk.calls import Engine

_log = logging.getLogger(__name__)

_MANY = 8  # requests whose answers wait to be stored: more are memory that items at this pace take


def begun(  # noqa: PLR0913 - one map's parts
    session: MapSession,
    method: str,
    items: Iterable[Any],
    *,
    request: Message | None,
    batch: int,
    save: str | Path | None,
    **limits: Any,
) -> Answers:
    """The Answers of a new map, all still missing; see `Session.map`."""
    internals(session).require_open()
    items, kind = items_of(items)
    coming = Items(items)
    kind = kind or next(map(type_name, coming.first()), "")
    answers = Answers(session, Plan(method, kind, request, batch), coming, **limits)
    return answers if save is None else answers.save(save)


def resumed(
    session: MapSession, path: str | Path, items: Iterable[Any] | None, **limits: Any
) -> Answers:
    """The Answers of a saved map; see `Session.resume`."""
    internals(session).require_open()
    file = SavedMap(Path(path))
    try:
        plan = Plan.of(file.about)
    except DecodeError:
        raise file.damaged() from None
    items_now, kind = ((), "") if items is None else items_of(items)
    coming = Items(items_now, given=items is not None)
    if coming.given:
        coming.check(file.about, kind, file.path.name)
    answers = Answers(session, plan, coming, **limits)
    answers.attach(file)
    return answers


class Answers(Unpicklable, Sequence[Any], Repeatable["Answers"]):
    """A method's answers to many items, in the items' order.

    An item without an answer has None. ``resume()``, or awaiting it again, continues with those.

    Parameters
    ----------
    session : Session
        The session of the calls.
    plan : Plan
        How items become requests.
    items : Items
        Taken as they come.
    in_flight : int
        The most concurrent calls.
    timeout : float or None
        Seconds for each call, its retries included.
    progress : bool
        Whether to show a progress bar.
    client : distributed.Client, pyspark.sql.SparkSession or module ray, optional
        The cluster that makes the calls.
    insecure : bool
        Whether a key may go to it unencrypted.
    scopes, expires
        Of the API key that is made for its workers.

    Attributes
    ----------
    retried : int
        Calls that were retried after throttling or an outage.
    """

    def __init__(  # noqa: PLR0913 - one map's parts
        self,
        session: MapSession,
        plan: Plan,
        items: Items,
        *,
        in_flight: int,
        timeout: float | None,
        progress: bool,
        client: Any = None,
        insecure: bool = False,
        scopes: Iterable[str] | None = None,
        expires: float | None = None,
    ) -> None:
        super().__init__()
        self.plan = plan
        self._items = items
        self._send = Send(session, self.plan.method, in_flight, timeout)
        self._send.check()
        self._progress = progress
        if scopes is not None and not isinstance(scopes, str):  # which is told as it is
            scopes = tuple(scopes)
        terms = engines.Terms(insecure, scopes, expires)
        terms.check(client, plan.method, plan.request, session)
        self._engine = partial(engines.engine_for, client, session, terms)
        self._by = ""
        key = internals(session).found.credentials.key
        self._store = Store(self.plan.answer_class.FromString, key)
        self._begun: set[int] = set()  # by an ended process, which may have carried it out
        self._length = 0  # of a map that another process started
        self._ends_at: int | None = None  # one that has taken all its items
        self._arrived: deque[tuple[Batch, Any]] = deque()
        self._taker = 0  # the thread of the last run
        self._settling = False
        self._running = False
        self._loop: asyncio.AbstractEventLoop | None = None  # of the run, if it is awaited
        self._failures: dict[int, ClarifaiMagicError] = {}
        self.retried = 0

    def save(self, path: str | Path) -> Answers:
        """Write the answers to a file: the current ones, and from then on new ones as they arrive.

        `Session.resume` continues from it, even in another process. Only its owner can read the
        file; it has the answers, what all requests have in common, and hashes of the items: no
        items, and never the key.

        Parameters
        ----------
        path : str or Path
            Of a new file.

        Returns
        -------
        Answers
            These.

        Raises
        ------
        ItemsError
            If the file exists, or the answers are keys.
        CallError
            If it cannot be written.
        """
        if self.plan.answers_with_keys:
            raise ItemsError(
                f"{self.plan.method} returns keys, which are not written to a file.",
                "Omit save=.",
            )
        if self._store.has_key(self.plan.request.SerializeToString()):
            raise ItemsError(
                "request= has the session's key, which is not written to a file.",
                "Omit save=, or the key.",
            )
        if self._store.file is not None:
            raise ItemsError(f"These are saved in {self._store.file.path}.", "Copy that file.")
        self._settle_the_rest()
        self._store.save(SavedMap(Path(path), self.plan.about(self._items.total)))
        if not self._send.safe:
            self._store.begin(self._perhaps_done())
        if self._running and self._store.file:
            self._store.file.lock()
        else:
            self._finish_file()
        return self

    def _perhaps_done(self) -> dict[int, Any]:
        """The items without an answer whose calls may have been, or be, carried out."""
        return {
            index: item
            for index, item in self._items.unanswered().items()
            if (self._failures[index].maybe_done if index in self._failures else self._running)
        }

    def attach(self, file: SavedMap) -> None:
        """Read the answers in an existing file, and write new ones to it."""
        self._store.save(file)
        self._look_into(file)
        self._ends_at = file.about.total
        file.unlock()

    def _look_into(self, file: SavedMap) -> None:
        """Learn what the calls of others have come to."""
        told = {index for index, error in self._failures.items() if error.maybe_done}
        self._begun |= set(file.numbers(answered=False)) - told
        self._length = file.length()

    def _finish_file(self) -> None:
        """Leave the file complete and unlocked until there is more to write."""
        file = self._store.file
        if file is not None:
            total = len(self._items)
            if self._items.over and total >= self._length and file.about.total != total:
                file.end(total)
            file.unlock()
            file.refuse_gone()

    def __len__(self) -> int:
        return max(len(self._items), self._length)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        self._settle_the_rest()
        return self._store.get(range(len(self))[index])

    @property
    def left(self) -> list[int]:
        """The indices of the items without an answer, including failed ones."""
        self._settle_the_rest()
        return [index for index in range(len(self)) if index not in self._store]

    @property
    def failures(self) -> dict[int, ClarifaiMagicError]:
        """The error of each item that was refused or got no answer, by its index."""
        self._settle_the_rest()
        return self._failures

    def to_frame(self) -> Any:
        """The answers as a table, with a row for each concept of an item.

        An item without one has a row, too, with its text or its error. The columns are ``index``,
        ``concept_id``, ``name``, ``score``, ``text`` and ``error``.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        CallError
            If pandas is not installed.
        """
        return frame_of(self, self.failures)

    def resume(self) -> Answers:
        """Call for the remaining items, and wait; an interrupt ends that without an error.

        Raises
        ------
        CallError
            If that is being done already: in another thread or task, or further up in this one.
        """
        self._give_up_lost()
        if self._running:
            raise running_already()
        try:  # no other thread comes between, for Python changes threads at calls
            self._running = True
            self._make_ready()
            engine = self._made_engine()
            self._by = engine.tally.by
            with self._told(), self._shown(engine.tally) as tick:
                engine.run(self._batches(), self._send, self._deliver, tick)
        except KeyboardInterrupt:
            pass
        finally:
            self._running = False
        return self

    def _give_up_lost(self) -> None:
        """Count a run as over that nobody can end: its loop was closed in the middle."""
        if self._loop and self._loop.is_closed():
            self._loop = None
            self._running = False

    def _make_ready(self) -> None:
        """Refuse what cannot begin, before it does; what has arrived is not called for again."""
        internals(self._send.session).require_open()
        if self._store.file and not self._items.given and self.left:
            raise without_items(self._store.file.path.name)
        self._settle()
        self._taker = threading.get_ident()
        if self._store.file and self._store.lock():
            self._look_into(self._store.file)

    def _made_engine(self) -> Engine:
        """An engine, which may have made a key for its workers; or the file is unlocked."""
        try:
            return self._engine()
        except BaseException:
            if self._store.file:
                self._store.file.unlock()
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An early end of a map becomes the failure of all remaining items.

        Items that do not fit the file are refused, as the call is that brings them.
        """
        try:
            yield
        except ItemsError:
            raise
        except ClarifaiMagicError as reason:
            self._stop(reason)
            if not self.left:  # all answers came, and map gives them even if the file is full
                warn(reason)

    def _stop(self, reason: ClarifaiMagicError) -> None:
        """Tell every item without an answer why there is none."""
        for index in self.left:
            if index not in self._failures or not self._failures[index].maybe_done:
                self._failures[index] = perhaps_done() if index in self._begun else reason

    async def _awaited(self) -> Answers:
        self._give_up_lost()
        if self._running:
            raise running_already()
        try:
            self._running = True
            self._loop = asyncio.get_running_loop()
            await self._call_awaiting()
        finally:
            self._loop = None
            self._running = False
        return self

    async def _call_awaiting(self) -> None:
        tally, batches = Tally(), self._batches()

        async def following() -> Batch | None:
            return next(batches, None)

        self._make_ready()
        with self._told(), self._shown(tally) as tick:
            sending = asyncio.ensure_future(self._send.sending(following, self._deliver, tally))
            try:
                while not sending.done():
                    await asyncio.wait([sending], timeout=TICK)
                    tick()
            finally:
                await ended(sending)
            sending.result()

    def _batches(self) -> Iterator[Batch]:
        """Requests for the remaining items, made on demand."""
        try:
            for batch in self.plan.batches(self._unanswered(), self._refuse):
                if not self._send.safe:  # otherwise it would be lost if this process is killed
                    self._store.begin({each: self._items.kept(each) for each in batch.indices})
                yield batch
                if self._store.file is not None and len(self._arrived) > _MANY:
                    self._settle()
                    self._store.write(due=False)
        except Exception:
            if not self._items.broken:  # by any exception from the iterable
                raise

    def _unanswered(self) -> Iterator[tuple[int, Any]]:
        """The items that are left; of those that a file has an answer to, it is checked."""
        for index, item in self._items.every():
            if self._ends_at is not None and index >= self._ends_at:
                raise other_length(index + 1, self._ends_at)
            if index in self._store:
                self._store.check(index, item)
                self._items.answered(index)
                self._failures.pop(index, None)
            elif index in self._begun:
                self._refuse(index, perhaps_done())
            else:
                yield index, item
        if self._items.given and self._items.over and len(self._items) < self._length:
            raise other_length(len(self._items), self._length)

    def _refuse(self, index: int, error: ClarifaiMagicError) -> None:
        self._failures[index] = error

    def _deliver(self, batch: Batch, outcome: Any) -> None:
        """Receive a request's outcome, in any thread: an atomic step."""
        self._arrived.append((batch, outcome))

    def _settle(self) -> None:
        """Store what has arrived. An interrupt in the middle loses nothing: it runs again."""
        self._settling = True
        try:
            while self._arrived:
                self.take(*self._arrived[0])
                self._arrived.popleft()
        finally:
            self._settling = False

    def _settle_the_rest(self) -> None:
        """Store what interrupts have kept the last run from storing.

        Other threads leave that to the thread of the run, which may be in the middle of it.
        """
        if self._taker == threading.get_ident() and not self._settling:
            self._settle()

    def take(self, batch: Batch, outcome: Any) -> None:
        """Store a request's outcome: a response, or the error instead."""
        for index, answer in self.plan.answers(batch, outcome):
            if isinstance(answer, ClarifaiMagicError):
                self._failures[index] = answer
                if not answer.maybe_done:
                    self._store.refuse(index)
                continue
            if index not in self._store:  # or it is delivered for the second time
                self._store.put(index, answer, self._items.kept(index))
            self._items.answered(index)
            self._failures.pop(index, None)

    @contextmanager
    def _shown(self, tally: Tally) -> Iterator[Callable[[], None]]:
        """Store outcomes and show progress for the block; yields the function for one step."""
        _log.debug("map of %s: %d items answered", self.plan.method, len(self._store))
        before = self.retried

        def look() -> Look:
            counts = {
                "in flight": tally.in_flight,
                "retried": self.retried,
                "failed": len(self._failures),
                "waiting": tally.waiting_for,
            }
            return Look(len(self._store), self._items.total, counts)

        def settle() -> None:
            self._settle()
            self.retried = before + tally.retried

        # All forks share tqdm's lock, and an ended one may hold it.
        by = f" by an {tally.by}" if tally.by else ""
        shown = bar(self.plan.method + by, look) if self._progress else nullcontext(lambda: None)
        try:
            with shown as show:

                def tick() -> None:
                    settle()
                    self._store.write(due=False)
                    show()

                try:
                    yield tick
                finally:
                    settle()  # for the bar's last look
        finally:
            interrupt, finished = None, False
            while not finished:
                # Python looks for interrupts at calls: here is none but inside the inner block.
                try:
                    settle()
                    self._finish()
                    finished = True
                except KeyboardInterrupt as error:
                    interrupt = error
            if interrupt:
                raise interrupt

    def _finish(self) -> None:
        """End a run, all of whose outcomes are stored; it may be done twice."""
        if broken := self._items.broken:
            self._refuse(self._items.taken, broken_off(broken))
        self._begun -= self._failures.keys()  # of those that were told
        failure = None
        try:
            self._forget_unsent()
            self._store.write()
        except ClarifaiMagicError as error:
            failure = error
        self._finish_file()
        if failure:
            raise failure

    def _forget_unsent(self) -> None:
        """Note that nothing was done for items which did not get as far as a call."""
        if self._send.safe:
            return
        for index in self._items.unanswered():
            perhaps = index in self._failures and self._failures[index].maybe_done
            if not (perhaps or index in self._begun):
                self._store.refuse(index)

    def __repr__(self) -> str:
        failures, done = self.failures, len(self._store)
        words = [f"{done:,} of {len(self):,} answered by {self.plan.method}"]
        if self._by:
            words.append(f"called with an {self._by}")
        if failures:
            index = min(failures)
            words.append(f"{len(failures):,} failed (item {index}: {failures[index].message})")
        if untried := len(self) - done - len(failures):
            words.append(f"{untried:,} not tried")
        if self.retried:
            words.append(f"{self.retried:,} calls retried")
        if self._store.file and not self._items.given and done < len(self):
            words.append(f".resume({self._store.file.path.name!r}, items) continues")
        elif done < len(self) or not self._items.over:
            words.append(".resume() continues")
        return f"<{'; '.join(words)}>"
