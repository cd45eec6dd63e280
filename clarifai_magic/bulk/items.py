"""The items of a map, taken as they come: it keeps only those without an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any

from clarifai_magic.bulk.batching import type_name
from clarifai_magic.errors import ItemsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.bulk.saved import About


class Items:
    """An iterable of any length, numbered; taken items without an answer can be taken again.

    An interrupt may come between any two Python steps. So an item goes from the iterable into
    storage in atomic C steps, or in steps that may run twice.

    Parameters
    ----------
    items : iterable
        Read once, in the caller's thread, only on demand.
    given : bool
        Whether there may be any; not so if a map is only read from its file.

    Raises
    ------
    ItemsError
        If it is none.

    Attributes
    ----------
    taken : int
        The number of items so far.
    broken : BaseException or None
        What the iterable raised instead of its next item; none is taken after that.
    """

    def __init__(self, items: Iterable[Any], *, given: bool = True) -> None:
        self.given = given
        if not isinstance(items, Iterable) and not hasattr(items, "__getitem__"):
            raise _not_iterable(items)
        self._total = _length(items)
        self._coming = enumerate(items)
        self._arrived: deque[tuple[int, Any]] = deque()
        self._kept: dict[int, Any] = {}
        self.taken = 0
        self.broken: BaseException | None = None

    def __len__(self) -> int:
        """The number of items, or of those so far if the iterable does not say."""
        return max(self._total or 0, self.taken + bool(self.broken))

    @property
    def total(self) -> int | None:
        """The final number of items; None if not yet known."""
        return None if self._total is None or self.broken else len(self)

    def first(self) -> list[Any]:
        """The first item, which can still be taken; none if there is none."""
        try:
            self._receive()
        except Exception:
            if not self.broken:  # which is told in the item's place
                raise
        return [item for _, item in self._arrived]

    def check(self, about: About, kind: str, name: str) -> None:
        """Check whether they may be the items of a saved map, as far as that shows at once.

        Parameters
        ----------
        about : About
            The map.
        kind : str
            Full name of their type if it is known; otherwise the first item shows it.
        name : str
            Of the map's file.

        Raises
        ------
        ItemsError
            If they are not.
        """
        if about.total is not None and self._total not in {None, about.total}:
            raise other_length(len(self), about.total)
        kinds = [kind] if kind else [type_name(item) for item in self.first()]
        if kinds not in ([], [about.kind]):
            raise ItemsError(
                f"The type of these items differs from those in {name}.",
                "Pass the same items in the same order.",
            )

    def every(self) -> Iterator[tuple[int, Any]]:
        """All remaining items with their indices: first those taken before, then the rest.

        The iterable's exceptions pass through.
        """
        self._keep()  # or what an interrupt left half kept would come twice
        for index in sorted(self._kept):
            if index in self._kept:
                yield index, self._kept[index]
        while self._receive():
            [(index, item)] = self._keep()
            yield index, item
        if not self.broken:  # or a generator that has raised ends here, without its further items
            self._total = self.taken

    def _keep(self) -> list[tuple[int, Any]]:
        """Keep what has arrived: one item at most."""
        arrived = list(self._arrived)
        for index, item in arrived:
            self._kept[index] = item
            self.taken = index + 1
        self._arrived.clear()
        return arrived

    def _receive(self) -> bool:
        if self._arrived or self.broken:  # what has raised may have skipped an item
            return bool(self._arrived)
        try:
            self._arrived.extend(islice(self._coming, 1))
        except BaseException as error:
            # An interrupt ends a generator only if it comes in the generator's own frame.
            own = error.__traceback__ and error.__traceback__.tb_next
            if own or isinstance(error, Exception):
                self.broken = error
            raise
        return bool(self._arrived)

    def kept(self, index: int) -> Any:
        """A taken item without an answer."""
        return self._kept[index]

    def unanswered(self) -> dict[int, Any]:
        """All taken items without an answer, by their indices."""
        return dict(self._kept)

    def answered(self, index: int) -> None:
        """Release an item."""
        self._kept.pop(index, None)

    @property
    def over(self) -> bool:
        """Whether all have been taken."""
        return not self.broken and self.taken == self._total and not self._arrived


def _length(items: Iterable[Any]) -> int | None:
    try:
        return len(items) if isinstance(items, Sized) else None
    except TypeError:  # what shows progress, such as tqdm, may wrap what has no length
        return None


def _not_iterable(items: Any) -> ItemsError:
    return ItemsError(
        f"map takes a list of items or a generator, and this is of type {type_name(items)}.",
        "Pass [item] for one item, and [each async for each in items] for an async generator.",
    )


def other_length(count: int, total: int) -> ItemsError:
    """The error for continuing a map with more or fewer items than it has."""
    return ItemsError(
        f"These are {count:,} items, and the map is of {total:,}.",
        "Pass the same items in the same order.",
    )
