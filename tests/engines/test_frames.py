"""Columns of pandas, polars and Arrow as items, and answers as a data frame."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from conftest import OF_THE_APP
from support import text_input

from clarifai_magic.bulk.frames import frame_of, items_of
from clarifai_magic.errors import CallError, ItemsError

TEXTS = ["a cat", "a dog on https://example.com/train.jpg", "Ünï\ncode"]
FRAME = pd.DataFrame({"text": TEXTS})
COLUMNS = {
    "pandas": pd.Series(TEXTS),
    "pandas, of objects": pd.Series(TEXTS, dtype=object, index=[7, 7, 2]),
    "pandas, of Arrow": pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
    "polars": pl.Series("text", TEXTS),
    "Arrow": pa.array(TEXTS),
    "Arrow, in chunks": pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
}


def mapped(session, column, **options):
    return session.map(
        "PostModelOutputs", column, request=OF_THE_APP, progress=False, **options
    )  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_texts_become_inputs_with_that_text(session, column):
    answers = mapped(session, column, batch=2)
    assert not answers.failures
    assert [answer.input.data.text.raw for answer in answers] == TEXTS


def test_bytes_become_images(session):
    images = [b"\x89PNG one", b"\xff\xd8 two"]
    for column in (pd.Series(images), pl.Series(images), pa.array(images, pa.binary())):
        answers = mapped(session, column)
        assert not answers.failures
        assert len(answers) == 2
        assert [each.data.image.base64 for each in items_of(column)[0]] == images


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([None, "a cat", float("nan"), pd.NA], dtype=object),
        pd.Series([None, "a cat", None, None], dtype="string"),
        pl.Series([None, "a cat", None, None]),
        pa.array([None, "a cat", None, None]),
    ],
    ids=["objects", "strings", "polars", "Arrow"],
)
def test_a_missing_value_fails_for_itself(session, column):
    answers = mapped(session, column)
    assert list(answers.failures) == [0, 2, 3]
    assert answers[1].input.data.text.raw == "a cat"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("half of \ud83d", "cannot be written as UTF-8"),
        (np.array([1.0, 2.0]), "Its type is ndarray"),
        (pl.Series([1, 2]), "Its type is Series"),
        (pd.NaT, "Its type is NoneType"),
    ],
    ids=["surrogate", "array", "series", "NaT"],
)
def test_a_value_of_which_no_input_can_be_made_fails_for_itself(session, value, words):
    column = pd.Series([None] * 3, dtype=object)
    for index, each in enumerate(["a cat", value, "a dog"]):
        column[index] = each
    answers = mapped(session, column)
    assert list(answers.failures) == [1]
    assert words in answers.failures[1].message
    assert answers[2].input.data.text.raw == "a dog"


def test_a_column_of_arrays_is_refused_in_one_line(session):
    column = pd.Series([np.array([1.0, 2.0])])
    with pytest.raises(ItemsError, match="values of type ndarray"):
        mapped(session, column)


def test_a_column_of_messages_is_one_of_those(session):
    answers = mapped(session, pd.Series([text_input(1), text_input(2)]))
    assert [answer.input.id for answer in answers] == ["item-1", "item-2"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (FRAME, r"frame\['text'\]"),
        (pl.DataFrame({"text": TEXTS}), "data frame"),
        (pa.table({"text": TEXTS}), "table"),
        (pd.Series([1, 2]), "values of type int"),
        (pl.Series([1.5]), "values of type float"),
        (pd.Series(pd.to_datetime(["2026-11-30"])), "values of type Timestamp"),
    ],
    ids=str,
)
def test_what_is_no_column_of_texts_or_images_is_refused_in_one_line(session, given, words):
    with pytest.raises(ItemsError, match=words) as refused:
        mapped(session, given)
    assert "\n" not in refused.value.message


def test_an_empty_column_is_done(session):
    for column in (
        pd.Series([], dtype=str),
        pl.Series([], dtype=pl.String),
        pa.array([], pa.string()),
    ):
        answers = mapped(session, column)
        assert list(answers) == []
        assert list(answers.to_frame().columns) == [
            "index", "concept_id", "name", "score", "text", "error",
        ]  # fmt: skip


def test_the_answers_are_a_table_with_a_row_for_each_concept(session):
    answers = mapped(session, pd.Series(["a cat", None, "a dog"]))
    table = answers.to_frame()
    concepts = answers[0].data.concepts
    first = table[table["index"] == 0]
    assert list(first["concept_id"]) == [concept.id for concept in concepts]
    assert list(first["name"]) == [concept.name for concept in concepts]
    assert list(first["score"]) == pytest.approx([concept.value for concept in concepts])
    assert set(first["error"]) == {""}
    [missing] = table[table["index"] == 1].to_dict("records")
    assert missing["error"] == answers.failures[1].message
    assert missing["concept_id"] == ""
    assert pd.isna(missing["score"])
    assert sorted(set(table["index"])) == [0, 1, 2]
    best = table.dropna(subset="score").sort_values("score").groupby("index").last()
    assert list(best["name"]) == [
        max(answers[index].data.concepts, key=lambda concept: concept.value).name
        for index in (0, 2)
    ]


def test_whole_responses_and_texts_are_in_the_table_as_well(session):
    request = service_pb2.PostModelOutputsRequest(
        user_app_id={"user_id": "openai", "app_id": "chat-completion"},
        model_id="gpt-oss-20b",
        inputs=[text_input(1), text_input(2)],
    )
    table = session.map("PostModelOutputs", [request], progress=False).to_frame()
    assert list(table["index"]) == [0, 0]
    assert all(table["text"])
    models = session.map("ListModels", [service_pb2.ListModelsRequest()], progress=False)
    assert list(models.to_frame()["index"]) == [0]


def test_without_pandas_one_line_says_what_to_install(session, monkeypatch):
    answers = session.map("MyScopes", [service_pb2.MyScopesRequest()], progress=False)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CallError, match="pandas") as refused:
        answers.to_frame()
    assert "%pip install pandas" in refused.value.hint


def test_a_saved_map_goes_on_with_the_same_column(session, tmp_path):
    column = pd.Series([None, *TEXTS])
    mapped(session, column, save=tmp_path / "answers")
    answers = session.resume(tmp_path / "answers", column, progress=False)
    assert list(answers.failures) == [0]
    assert [answer.input.data.text.raw for answer in answers[1:]] == TEXTS
    assert isinstance(answers[1], resources_pb2.Output)


def test_concepts_of_workflows_and_of_a_videos_frames_are_in_the_table():
    data = {
        "frames": [
            {"data": {"concepts": [{"id": "frame"}]}},
            {"data": {"regions": [{"data": {"concepts": [{"id": "region"}]}}]}},
        ]
    }
    response = service_pb2.PostWorkflowResultsResponse(
        results=[{"outputs": [{"data": data}, {"data": {"concepts": [{"id": "second"}]}}]}]
    )
    for answer in (response, response.results[0]):
        table = frame_of([answer], {})
        assert list(table["concept_id"]) == ["frame", "region", "second"]
