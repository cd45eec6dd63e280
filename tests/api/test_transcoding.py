"""Messages written as REST has them, and filled in from its queries and bodies."""

from __future__ import annotations

import json

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2

from clarifai_magic.api.transcoding import fill, fill_from_json, to_json


def test_fields_are_shown_empty_where_the_descriptors_want_it():
    region = resources_pb2.Region(region_info={"bounding_box": {"top_row": 0.5}})
    region.data.concepts.add(id="dog")
    region.data.metadata["kept"] = 0
    shown = json.loads(to_json(resources_pb2.Data(regions=[region])))["regions"][0]
    box = {"top_row": 0.5, "left_col": 0, "bottom_row": 0, "right_col": 0}
    assert shown["region_info"]["bounding_box"] == box
    assert shown["data"] == {"concepts": [{"id": "dog", "value": 0}], "metadata": {"kept": 0}}


def test_an_empty_list_is_there_and_codes_are_numbers():
    response = service_pb2.MultiModelResponse(status={"code": 10000})
    assert json.loads(to_json(response)) == {"status": {"code": 10000}, "models": []}


def test_whole_numbers_of_64_bits_are_numbers():
    frames = [{"frame_info": {"index": 1, "time": 5000}}, {}]
    shown = json.loads(to_json(resources_pb2.Data(frames=frames)))["frames"]
    assert shown == [{"frame_info": {"index": 1, "time": 5000, "number": 0}}, {}]
    moment = {"created_at": {"seconds": 5}}  # whose fields are none in JSON
    assert json.loads(to_json(resources_pb2.Key(**moment))) == {
        "created_at": "1970-01-01T00:00:05Z"
    }


def test_a_message_that_is_shown_empty_is_an_object():
    assert json.loads(to_json(service_pb2.SingleModelTypeResponse())) == {"model_type": {}}


def test_a_query_and_a_body_fill_a_message():
    request = service_pb2.ListModelsRequest()
    fill_from_json(request, b'{"page": 2}')
    fill(request, {"user_app_id.user_id": ["me"], "trained_only": ["true"], "toolkits": ["a", "b"]})
    fill_from_json(request, b"")
    assert (request.page, request.user_app_id.user_id, request.trained_only) == (2, "me", True)
    assert list(request.toolkits) == ["a", "b"]


@pytest.mark.parametrize("name", ["nothing", "page.nothing", "user_app_id.nothing"])
def test_a_name_that_a_message_has_not_is_an_error(name):
    with pytest.raises(ValueError, match="has no field 'nothing'"):
        fill(service_pb2.ListModelsRequest(), {name: ["1"]})


def test_a_body_that_is_no_object_is_an_error():
    with pytest.raises(ValueError, match="not an object"):
        fill_from_json(service_pb2.ListModelsRequest(), b"[1]")
