"""Many items cut into requests of one method, and its responses put back into items' answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf import message_factory
from google.protobuf.message import EncodeError, Message

from clarifai_magic.api.scopes import descriptor_of, is_repeated, is_safe, request_class
from clarifai_magic.api.statuses import error_from_status
from clarifai_magic.bulk.saved import About
from clarifai_magic.errors import CallError, ClarifaiMagicError, ItemsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Refuse = Callable[[int, ClarifaiMagicError], None]

E = TypeVar("E", bound=ClarifaiMagicError)

MOST_INPUTS = 128
"""Inputs in one call, at most (https://docs.clarifai.com/create-manage/inputs/upload)."""
_MOST_BYTES = 2**25  # of several in one call: the API takes 128 MB, but these go side by side

_KEY = "clarifai.api.Key"
_DONE = {status_code_pb2.SUCCESS, status_code_pb2.MIXED_STATUS}
# The status of an input that was taken in, whose data may still be on its way.
_TAKEN = {
    status_code_pb2.SUCCESS,
    status_code_pb2.INPUT_DOWNLOAD_SUCCESS,
    status_code_pb2.INPUT_DOWNLOAD_PENDING,
    status_code_pb2.INPUT_DOWNLOAD_IN_PROGRESS,
}


@dataclass(frozen=True)
class Batch:
    """One request, and which items it is about.

    Parameters
    ----------
    request : message
        Of the method's request type.
    indices : tuple of int
        Of the items, in the order in which the request has them.
    field : str
        The request's field that has the items; empty if the request is the one item.
    size : int
        The bytes of the items.
    """

    request: Any
    indices: tuple[int, ...]
    field: str = ""
    size: int = 0

    def halves(self) -> tuple[Batch, Batch]:
        """Two requests, each about half of the items; of several items only."""
        middle = len(self.indices) // 2
        first, second = type(self.request)(), type(self.request)()
        first.CopyFrom(self.request)
        second.CopyFrom(self.request)
        del getattr(first, self.field)[middle:]
        del getattr(second, self.field)[:middle]
        return (
            Batch(first, self.indices[:middle], self.field),
            Batch(second, self.indices[middle:], self.field),
        )


class Plan:
    """How the items of one `Session.map` become requests, and responses their answers.

    Parameters
    ----------
    method : str
        Bare name of a method with one request and one response.
    kind : str
        Full name of the items' type: a request of the method, or what one of its requests takes
        many of, such as Inputs. Empty if there are no items.
    request : message, optional
        What all requests have in common; only for items that are no requests themselves.
    batch : int
        Items in one request, at most.

    Raises
    ------
    UnknownMethodError
        If the API has no such method.
    ItemsError
        If the method streams, or cannot take the item.
    """

    def __init__(self, method: str, kind: str, request: Message | None, batch: int) -> None:
        described = descriptor_of(method)
        self.method = described.name
        self._described = described
        if described.client_streaming or described.server_streaming:
            raise ItemsError(
                f"{self.method} streams, but map makes calls with one response.",
                f"Call stub.{self.method} itself.",
            )
        takes = described.input_type.full_name
        if request is not None and type_name(request) != takes:
            raise ItemsError(
                f"request= is {_kind(request)}, but {self.method} takes a {_short(takes)}.",
                f"Pass request=service_pb2.{_short(takes)}(…).",
            )
        self.kind: str = kind or takes
        self._field = "" if self.kind == takes else self._field_for(self.kind)
        if not self._field and request is not None and kind:
            raise ItemsError(
                "The items are whole requests already, so that request= has no place.",
                "Omit request=, or pass what the requests have many of, such as Inputs.",
            )
        if self._field and request is not None and getattr(request, self._field):
            raise ItemsError(
                f"request= has {self._field} already, and those of the items go there.",
                f"Pass all {self._field} as items.",
            )
        self.request = message_factory.GetMessageClass(described.input_type)()
        if request is not None:
            self.request.CopyFrom(request)  # the caller may change it for the next map
        if not isinstance(batch, int) or not 1 <= batch <= MOST_INPUTS:
            raise ItemsError(
                "batch= is the number of items in one request.",
                f"Pass one from 1 to {MOST_INPUTS}.",
            )
        self.batch = batch

    @classmethod
    def of(cls, about: About) -> Plan:
        """The plan of a map that was saved.

        Raises
        ------
        UnknownMethodError
            If this version of clarifai-grpc does not have its method.
        DecodeError
            If the request cannot be parsed.
        """
        request = request_class(descriptor_of(about.method).name).FromString(about.request)
        whole = about.kind == type_name(request)
        return cls(about.method, about.kind, None if whole else request, about.batch)

    def about(self, total: int | None) -> About:
        """What is saved of it, with the number of items if that is known."""
        return About(self.method, self.kind, self.request.SerializeToString(), self.batch, total)

    def _field_for(self, kind: str) -> str:
        """The field of the request that takes many of such items."""
        for each in self._described.input_type.fields:
            if _many(each) and each.message_type.full_name == kind:
                return str(each.name)
        takes = _short(self._described.input_type.full_name)
        raise ItemsError(
            f"{self.method} does not take items of type {_short(kind)}.",
            f"Pass {takes} messages, or messages of which a {takes} takes many.",
        )

    def batches(self, items: Iterable[tuple[int, Any]], refuse: Refuse) -> Iterator[Batch]:
        """Requests for items, made one by one as they are wanted.

        Parameters
        ----------
        items : iterable of (int, message or ClarifaiMagicError)
            With their indices; the error in place of an item that could not be made.
        refuse : callable
            Told of an item that is not like the first: its index, and the error.
        """
        some: dict[int, Any] = {}
        held = 0
        for index, item in items:
            if isinstance(item, ClarifaiMagicError):  # told by what made it
                refuse(index, item)
                continue
            if type_name(item) != self.kind:
                refuse(index, self._unlike(item))
                continue
            size = _size(item)
            if not self._field:
                yield Batch(item, (index,), size=size)
                continue
            if some and held + size > _MOST_BYTES:
                yield self._batch_of(some, held)
                some, held = {}, 0
            some[index] = item
            held += size
            if len(some) == self.batch:
                yield self._batch_of(some, held)
                some, held = {}, 0
        if some:
            yield self._batch_of(some, held)

    def _batch_of(self, some: dict[int, Any], size: int) -> Batch:
        request = type(self.request)()
        request.CopyFrom(self.request)
        getattr(request, self._field).extend(some.values())
        return Batch(request, tuple(some), self._field, size)

    def _unlike(self, item: Any) -> ItemsError:
        return ItemsError(
            f"Its type is {_short(type_name(item))}, and the first item's was {_short(self.kind)}.",
            "Pass items of one type to a map.",
        )

    @property
    def answer_class(self) -> Any:
        """The type of the answers: the response, or an item's part of it."""
        described = self._described.output_type if not self._field else self._pieces_field()
        return message_factory.GetMessageClass(getattr(described, "message_type", described))

    @property
    def answers_with_keys(self) -> bool:
        """Whether keys are what the method answers with."""
        fields = self._described.output_type.fields
        return any(each.message_type and each.message_type.full_name == _KEY for each in fields)

    def _pieces_field(self) -> Any:
        """The one list of messages that a response has; None if there are none or several."""
        lists = [each for each in self._described.output_type.fields if _many(each)]
        return lists[0] if len(lists) == 1 else None

    def answers(self, batch: Batch, outcome: Any) -> Iterator[tuple[int, Any]]:
        """What a response, or the failure in its place, means for each item of its request.

        Yields
        ------
        index : int
            Of the item.
        answer : message or ClarifaiMagicError
            The response, or the item's own part of it; the error if there is none.
        """
        if isinstance(outcome, ClarifaiMagicError):
            yield from ((index, outcome) for index in batch.indices)
        elif not self._field:
            fine = outcome.status.code in _DONE
            answer = outcome if fine else error_from_status(outcome.status, self.method)
            yield batch.indices[0], answer
        else:
            yield from zip(batch.indices, self._pieces(outcome, len(batch.indices)), strict=True)

    def _pieces(self, response: Any, wanted: int) -> list[Any]:
        """What a response says to each item of its request: its part of it, or the error."""
        field = self._pieces_field()
        pieces = list(getattr(response, field.name)) if field else []
        code = response.status.code
        if code == status_code_pb2.SUCCESS and len(pieces) == wanted:
            return pieces
        if len(pieces) == wanted and "status" in field.message_type.fields_by_name:
            return [
                piece
                if piece.status.code in _TAKEN
                else error_from_status(piece.status, self.method)
                for piece in pieces
            ]
        if code not in _DONE:
            return [error_from_status(response.status, self.method)] * wanted
        error = CallError(
            f"{self.method} answered {len(pieces)} of {wanted} items."
            if len(pieces) != wanted
            else f"{self.method} failed for some of {wanted} items, and does not say for which.",
            "Pass whole requests instead, to get the responses as they are.",
        )
        return [self.uncertain(error)] * wanted

    def uncertain(self, error: E) -> E:
        """An error that came when the call may have been carried out, marked if that matters."""
        error.maybe_done = not is_safe(self.method)
        return error


def _many(field: Any) -> bool:
    return bool(field.message_type and is_repeated(field))


def _size(item: Message) -> int:
    try:
        return int(item.ByteSize())
    except (EncodeError, ValueError):  # more than 2 GB: told when it is sent
        return _MOST_BYTES


def type_name(item: Any) -> str:
    """Full name of a message's type; of anything else, Python's name of its type."""
    return str(item.DESCRIPTOR.full_name) if isinstance(item, Message) else type(item).__name__


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _kind(item: Any) -> str:
    return f"a {_short(type_name(item))}"
