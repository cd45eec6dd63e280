"""Many items cut into requests of one method, and its responses put back into items' answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api.status import status_code_pb2
from google.protobuf import message_factory
from google.protobuf.message import Message

from clarifai_magic.errors import CallError, ClarifaiMagicError, ItemsError
from clarifai_magic.scopes import descriptor_of, is_repeated
from clarifai_magic.statuses import refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_INPUTS = 128
"""Inputs in one call, at most (https://docs.clarifai.com/create-manage/inputs/upload)."""

_DONE = {status_code_pb2.SUCCESS, status_code_pb2.MIXED_STATUS}
# The status of an input that was taken in, whose data may still be on its way.
_TAKEN = {
    status_code_pb2.SUCCESS,
    status_code_pb2.INPUT_DOWNLOAD_SUCCESS,
    status_code_pb2.INPUT_DOWNLOAD_PENDING,
    status_code_pb2.INPUT_DOWNLOAD_IN_PROGRESS,
}


@dataclass(frozen=True)
class Part:
    """One request, and which items it is about.

    Parameters
    ----------
    request : message
        Of the method's request type.
    indices : tuple of int
        Of the items, in the order in which the request has them.
    """

    request: Any
    indices: tuple[int, ...]


class Plan:
    """How the items of one `Session.map` become requests.

    Parameters
    ----------
    method : str
        Bare name of a method with one request and one response.
    items : list of message
        Requests of the method, or what one of its requests takes many of, such as Inputs.
    request : message, optional
        What all requests have in common; only for items that are no requests themselves.
    batch : int
        Items in one request, at most.

    Raises
    ------
    UnknownMethodError
        If the API has no such method.
    ItemsError
        If the method streams, or cannot take the items.
    """

    def __init__(self, method: str, items: list[Any], request: Message | None, batch: int) -> None:
        described = descriptor_of(method)
        self.method = described.name
        self.items = items
        self._described = described
        if described.client_streaming or described.server_streaming:
            raise ItemsError(
                f"{self.method} streams, and map makes calls with one response.",
                f"Call stub.{self.method} itself.",
            )
        takes = described.input_type.full_name
        if request is not None and _name(request) != takes:
            raise ItemsError(
                f"request= is {_kind(request)}, and {self.method} takes a {_short(takes)}.",
                f"Pass request=service_pb2.{_short(takes)}(…).",
            )
        kinds = {_name(item) for item in items}
        self._field = "" if kinds <= {takes} else self._field_for(kinds)
        if not self._field and request is not None and items:
            raise ItemsError(
                "The items are whole requests already, so that request= has no place.",
                "Leave request= away, or pass what the requests have many of, such as Inputs.",
            )
        self._common = request or message_factory.GetMessageClass(described.input_type)()
        self._batch = max(1, min(batch, MOST_INPUTS))

    def _field_for(self, kinds: set[str]) -> str:
        """The field of the request that takes many of such items."""
        fields: list[Any] = [
            each
            for each in self._described.input_type.fields
            if each.message_type and {each.message_type.full_name} == kinds and _many(each)
        ]
        if not fields:
            given = ", ".join(sorted(map(_short, kinds)))
            takes = _short(self._described.input_type.full_name)
            raise ItemsError(
                f"{self.method} does not take items of type {given}.",
                f"Pass {takes} messages, or messages of which a {takes} takes many.",
            )
        return str(fields[0].name)

    def parts(self, indices: Sequence[int]) -> Iterator[Part]:
        """Requests for the items at these indices, made one by one."""
        if not self._field:
            for index in indices:
                yield Part(self.items[index], (index,))
            return
        for start in range(0, len(indices), self._batch):
            some = tuple(indices[start : start + self._batch])
            request = type(self._common)()
            request.CopyFrom(self._common)
            getattr(request, self._field).extend(self.items[index] for index in some)
            yield Part(request, some)

    def answers(self, part: Part, outcome: Any) -> Iterator[tuple[int, Any]]:
        """What a response, or the failure in its place, means for each item of its request.

        Yields
        ------
        index : int
            Of the item.
        answer : message or ClarifaiMagicError
            The response, or the item's own part of it; the error if there is none.
        """
        if isinstance(outcome, ClarifaiMagicError):
            yield from ((index, outcome) for index in part.indices)
        elif not self._field:
            fine = outcome.status.code in _DONE
            yield part.indices[0], outcome if fine else refused(outcome.status, self.method)
        else:
            yield from zip(part.indices, self._pieces(outcome, len(part.indices)), strict=True)

    def _pieces(self, response: Any, wanted: int) -> list[Any]:
        lists = [each for each in self._described.output_type.fields if _many(each)]
        pieces = list(getattr(response, lists[0].name)) if len(lists) == 1 else []
        if len(pieces) != wanted:
            error = (
                CallError(
                    f"{self.method} answered {len(pieces)} of {wanted} items.",
                    "Pass whole requests instead, to get the responses as they are.",
                )
                if response.status.code in _DONE
                else refused(response.status, self.method)
            )
            return [error] * wanted
        if response.status.code == status_code_pb2.SUCCESS:
            return pieces
        return [
            piece if piece.status.code in _TAKEN else refused(piece.status, self.method)
            for piece in pieces
        ]


def _many(field: Any) -> bool:
    return bool(field.message_type and is_repeated(field))


def _name(item: Any) -> str:
    return str(item.DESCRIPTOR.full_name) if isinstance(item, Message) else type(item).__name__


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _kind(item: Any) -> str:
    return f"a {_short(_name(item))}"
