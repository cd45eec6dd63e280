"""Models called by the methods that they name, as Clarifai's SDK calls them."""

from __future__ import annotations

import json

import pytest
from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

CHAT = ("openai/chat-completion", "gpt-oss-20b")
COLOURS = ("clarifai/main", "color-recognition")


def called(method: str, **parts: str) -> resources_pb2.Input:
    """An input that calls a method with texts."""
    item = resources_pb2.Input()
    item.data.metadata["_method_name"] = method
    for name, text in parts.items():
        item.data.parts.add(id=name, data={"string_value": text})
    return item


@pytest.fixture
def predict(alice):
    def response(model: tuple[str, str], item: resources_pb2.Input):
        return alice("PostModelOutputs", model[0], model_id=model[1], inputs=[item])

    return response


def test_the_result_is_a_part(predict):
    data = predict(CHAT, called("predict", prompt="a platypus")).outputs[0].data
    assert [(part.id, part.data.string_value[-9:]) for part in data.parts] == [
        ("return", "platypus.")
    ]
    assert not data.text.raw


def test_the_latest_version_tells_the_methods_as_the_model_does(alice, predict):
    version = alice("GetModelVersion", CHAT[0], model_id=CHAT[1]).model_version
    assert version.id == alice("GetModel", CHAT[0], model_id=CHAT[1]).model.model_version.id
    listed = json.loads(predict(CHAT, called("_GET_SIGNATURES", ask="")).outputs[0].data.text.raw)
    assert [method.name for method in version.method_signatures] == list(listed)
    assert alice.code("GetModelVersion", CHAT[0], model_id=CHAT[1], version_id="none") == (
        codes.CONN_DOES_NOT_EXIST
    )


@pytest.mark.parametrize("model", [CHAT, COLOURS])
def test_a_method_that_a_model_has_not_is_refused(predict, model):
    assert predict(model, called("transmogrify", prompt="a platypus")).status.code == (
        codes.MODEL_PREDICTION_FAILED
    )


def test_a_model_whose_result_has_no_type_has_no_methods(alice, predict):
    version = alice("GetModelVersion", COLOURS[0], model_id=COLOURS[1]).model_version
    assert not version.method_signatures
    assert predict(COLOURS, called("_GET_SIGNATURES", ask="")).status.code == (
        codes.INPUT_UNSUPPORTED_FORMAT
    )


def test_a_model_of_ones_own_has_methods(alice):
    model = {"id": "own", "model_type_id": "text-classifier"}
    assert alice.code("PostModels", "alice/main", models=[model]) == codes.SUCCESS
    version = alice("GetModelVersion", "alice/main", model_id="own").model_version
    [method] = version.method_signatures
    assert (method.name, method.input_fields[0].name) == ("predict", "text")
