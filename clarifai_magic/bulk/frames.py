"""Columns of data frames as a map's items, and its answers as a data frame."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import resources_pb2
from google.protobuf.message import Message

from clarifai_magic.bulk.batching import type_name
from clarifai_magic.bulk.kinds import is_a
from clarifai_magic.errors import CallError, ItemsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from clarifai_magic.errors import ClarifaiMagicError

COLUMNS = ("index", "concept_id", "name", "score", "text", "error")


class Column:
    """The inputs that a column's values stand for; what is missing stays None.

    A value of which no input can be made stands for the error that tells so.

    Parameters
    ----------
    values : pandas.Series, polars.Series, pyarrow.Array or pyarrow.ChunkedArray
        Of texts, or of images as bytes.
    """

    def __init__(self, values: Any) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return map(_input, _plain(self._values))


def items_of(given: Any) -> tuple[Iterable[Any], str]:
    """What is sent for what `map` was given, and its items' type where that is known.

    Parameters
    ----------
    given : iterable or column
        A column of messages is one of those; of texts and bytes, of inputs.

    Raises
    ------
    ItemsError
        If it is a whole data frame, or a column of something else.
    """
    if is_a(given, "pandas", "DataFrame") or is_a(given, "polars", "DataFrame", "LazyFrame"):
        raise _no_column("a data frame")
    if is_a(given, "pyarrow", "Table", "RecordBatch"):
        raise _no_column("a table")
    column = (
        is_a(given, "pandas", "Series")
        or is_a(given, "polars", "Series")
        or is_a(given, "pyarrow", "Array", "ChunkedArray")
    )
    if not column:
        return given, ""
    first = next((value for value in _plain(given) if not _is_missing(value)), "")
    if isinstance(first, Message):
        return given, type_name(first)
    if not isinstance(first, (str, bytes)):
        raise ItemsError(
            f"The column holds values of type {type(first).__name__}; "
            "map makes inputs of texts, and of images as bytes.",
            "Pass a column of those, or make resources_pb2.Input messages of it.",
        )
    return Column(given), type_name(resources_pb2.Input())


def _plain(values: Any) -> Iterable[Any]:
    """The values of a column as Python's own."""
    return (
        (each.as_py() for each in values)
        if is_a(values, "pyarrow", "Array", "ChunkedArray")
        else values
    )


def _is_missing(value: Any) -> bool:
    # nan is not itself. Of what is no number, such as an array, that may be no question.
    nan = isinstance(value, Number) and value != value  # noqa: PLR0124
    return value is None or nan or is_a(value, "pandas.api.typing", "NAType", "NaTType")


def _input(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return resources_pb2.Input(data={"text": {"raw": str(value)}})
        except ValueError:  # a lone surrogate
            return ItemsError(
                "The text cannot be written as UTF-8.",
                "Replace what is half a character: text.encode(errors='replace').decode().",
            )
    if isinstance(value, bytes):
        return resources_pb2.Input(data={"image": {"base64": bytes(value)}})
    return None if _is_missing(value) else value


def _no_column(what: str) -> ItemsError:
    return ItemsError(
        f"map takes a column, and this is {what}.",
        "Pass one of its columns, such as frame['text'].",
    )


def frame_of(answers: Sequence[Any], failures: Mapping[int, ClarifaiMagicError]) -> Any:
    """The answers of a map as a table: a row for each concept, and one for an item without any.

    Parameters
    ----------
    answers : sequence of message or None
        In the items' order.
    failures : dict of int to ClarifaiMagicError
        By the items' indices.

    Returns
    -------
    pandas.DataFrame
        With the columns `COLUMNS`.

    Raises
    ------
    CallError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise CallError(
            "A table of the answers is a pandas.DataFrame.", "Run %pip install pandas first."
        ) from None
    rows = [
        (index, *row, failures[index].message if index in failures else "")
        for index, answer in enumerate(answers)
        for row in _rows(answer)
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"index": "int64", "score": "float64"})


Row = tuple[str, str, float, str]


def _rows(answer: Any) -> list[Row]:
    """A row for each concept of an answer; one without, if there is none."""
    parts = [answer]
    for name in ("results", "outputs"):  # a workflow's response has results, which have outputs
        parts = [inner for part in parts for inner in getattr(part, name, None) or [part]]
    rows: list[Row] = []
    for data in (getattr(part, "data", None) for part in parts):
        if not isinstance(data, resources_pb2.Data):
            continue
        text = data.text.raw
        concepts = [concept for each in _every(data) for concept in each.concepts]
        rows += [(each.id, each.name, each.value, text) for each in concepts]
        if text and not concepts:
            rows.append(("", "", float("nan"), text))
    return rows or [("", "", float("nan"), "")]


def _every(data: resources_pb2.Data) -> Iterator[resources_pb2.Data]:
    """The data of an answer, of its regions, and of a video's frames with theirs."""
    yield data
    for part in (*data.regions, *data.frames):
        yield from _every(part.data)
