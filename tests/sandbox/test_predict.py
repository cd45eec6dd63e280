"""What the models compute: the same for the same input, and from it alone."""

from __future__ import annotations

import math
import struct

import pytest
from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

CLASSIFIER = "clarifai/main/general-image-recognition"


@pytest.fixture
def predict(alice):
    """The output of a model, given by its address, for an input."""

    def outputs(address: str, *inputs, method: str = "PostModelOutputs", **fields):
        user_id, app_id, model_id = address.split("/")
        return alice.all(method, f"{user_id}/{app_id}", model_id=model_id, inputs=inputs, **fields)

    return outputs


def image(**source) -> resources_pb2.Input:
    return resources_pb2.Input(data={"image": source})


def concepts(response) -> dict[str, float]:
    return {c.name: round(c.value, 3) for c in response.outputs[0].data.concepts}


def test_a_classifier_counts_the_words_of_a_text(predict, text):
    address = "clarifai/main/moderation-multilingual-text-classifier"
    [response] = predict(address, text("the dog, the cat"))
    assert concepts(response) == {"the": 0.5, "dog": 0.25, "cat": 0.25}
    output = response.outputs[0]
    assert output.data.concepts[0].id == "sandbox-the"
    assert "sandbox" in output.model.description
    assert (output.status.code, output.input.data.text.raw) == (codes.SUCCESS, "the dog, the cat")


def test_a_url_is_read_and_never_fetched(predict):
    [response] = predict(CLASSIFIER, image(url="https://nowhere.invalid/metro-north.jpg"))
    assert set(concepts(response)) == {"metro", "north", "jpg"}


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF" + struct.pack("<I", 4) + b"WAVE", "audio/wav"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\xfe\xed", "application/octet-stream"),
    ],
)
def test_bytes_are_described_by_what_can_be_read_off_them(predict, start: bytes, kind: str):
    content = start + b"\xff" * 100
    [response] = predict(CLASSIFIER, image(base64=content))
    names = list(concepts(response))
    assert names[:2] == [kind, f"{len(content)} bytes"]
    assert response.outputs[0].input.data.image.base64 == b"true"  # that there were some


def test_a_sample_chooses_among_concepts(predict, text):
    def chosen(**config):
        model = {"model_version": {"output_info": {"output_config": config}}}
        [response] = predict(CLASSIFIER, text("a dog the dog the cat"), model=model)
        return list(concepts(response))

    assert chosen() == ["dog", "the", "cat"]
    assert chosen(max_concepts=1) == ["dog"]
    assert chosen(min_value=0.3) == ["dog", "the"]
    assert chosen(select_concepts=[{"name": "cat"}]) == ["cat"]


def test_a_model_of_ones_own_gives_its_own_concepts(predict, text):
    [response] = predict("alice/main/pets", text("the cat sat with a cat"))
    values = concepts(response)
    assert list(values) == ["cat", "dog"]
    assert 1 > values["cat"] > values["dog"] > 0


def test_the_well_known_version_is_there_and_others_are_not(predict, text):
    version = "aa7f35c01e0642fda5cf400f543e7c40"
    [response] = predict(CLASSIFIER, text("x y"), version_id=version)
    assert response.outputs[0].model.model_version.id == version
    [response] = predict(CLASSIFIER, text("x"), version_id="0" * 32)
    assert response.status.code == codes.CONN_DOES_NOT_EXIST


def test_embeddings_are_unit_vectors_and_alike_for_like_inputs(predict, text):
    inputs = [text("a dog on a train"), text("the dog on the train"), text("quarterly figures")]
    [response] = predict("clarifai/main/text-embedding", *inputs)
    one, like, unlike = (output.data.embeddings[0].vector for output in response.outputs)
    assert math.hypot(*one) == pytest.approx(1.0, abs=1e-5)
    assert math.dist(one, like) < math.dist(one, unlike)


def test_each_kind_of_model_fills_its_own_field(predict):
    picture = image(url="https://nowhere.invalid/red-dog.png")
    [faces] = predict("clarifai/main/face-detection", picture)
    region = faces.outputs[0].data.regions[0]
    assert region.region_info.bounding_box.bottom_row == 0.75
    assert region.data.concepts[0].name == "red"
    [colour] = predict("clarifai/main/color-recognition", picture)
    assert len(colour.outputs[0].data.colors[0].raw_hex) == 7
    [painted] = predict("stability-ai/stable-diffusion-2/stable-diffusion-xl", picture)
    assert painted.outputs[0].data.image.base64.startswith(b"\x89PNG")


def test_a_language_model_says_that_it_is_none_and_streams_the_same_words(predict, text):
    prompt = text("Tell me about the dog and the cat")
    [whole] = predict("openai/chat-completion/GPT-4", prompt)
    said = whole.outputs[0].data.text.raw
    assert "sandbox" in said
    assert "8 words" in said
    pieces = predict("openai/chat-completion/GPT-4", prompt, method="GenerateModelOutputs")
    assert len(pieces) > 5
    assert "".join(piece.outputs[0].data.text.raw for piece in pieces).split() == said.split()
    [streamed] = predict("openai/chat-completion/GPT-4", prompt, method="StreamModelOutputs")
    assert streamed.outputs[0].data.text.raw == said


def test_an_input_of_the_app_is_predicted_by_its_id(predict):
    [response] = predict("alice/main/pets", resources_pb2.Input(id="note"))
    assert response.outputs[0].input.data.text.raw.startswith("A dog")


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ([resources_pb2.Input(data={})], codes.INPUT_UNSUPPORTED_FORMAT),
        ([], codes.CONN_INVALID_REQUEST),
        ([resources_pb2.Input(id="note")] * 129, codes.CONN_INVALID_REQUEST),
        ([resources_pb2.Input(id="no")], codes.INPUT_DOES_NOT_EXIST),
    ],
)
def test_inputs_that_make_no_sense_are_refused(predict, inputs, code: int):
    [response] = predict("alice/main/pets", *inputs)
    assert response.status.code == code


def test_a_video_is_predicted_by_frames(predict):
    item = resources_pb2.Input(data={"video": {"url": "https://nowhere.invalid/a-red-dog.mp4"}})
    [response] = predict(CLASSIFIER, item)
    [frame] = response.outputs[0].data.frames
    assert (frame.frame_info.index, frame.data.concepts[1].name) == (0, "dog")
    assert not response.outputs[0].data.concepts
