"""The state that the sandbox keeps, as samples use it."""

from __future__ import annotations

import pytest
from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

MAIN = "alice/main"


@pytest.fixture(scope="module")
def carol(sandbox, client):
    return client(sandbox, sandbox.keys.carol_pat)


@pytest.fixture
def app(alice, request) -> str:
    """The address of an empty app of the test's own."""
    name = request.node.name.replace("_", "-")
    assert alice.code("PostApps", "me", apps=[{"id": name}]) == codes.SUCCESS
    return f"alice/{name}"


def ids(items) -> list[str]:
    return [item.id for item in items]


def test_pages_of_apps_come_one_after_the_other(carol):
    pages = [ids(carol("ListApps", "me", page=n, per_page=128).apps) for n in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [128, 128, 44, 0]
    assert len({each for page in pages for each in page}) == 300
    assert len(carol("ListApps", "me").apps) == 20
    assert len(carol("ListApps", "me", per_page=1000).apps) == 300
    assert carol.code("ListApps", "me", per_page=1001) == codes.CONN_INVALID_REQUEST


def test_lists_are_searched_filtered_and_sorted(carol):
    assert ids(carol("ListApps", "me", search="PP-12", per_page=3).apps)[0] == "app-120"
    assert ids(carol("ListApps", "me", id="app-*7", per_page=2).apps) == ["app-007", "app-017"]
    assert ids(carol("ListApps", "me", sort_by_id=True, per_page=1).apps) == ["app-299"]
    ascending = carol("ListApps", "me", sort_by_modified_at=True, sort_ascending=True, per_page=1)
    assert ids(ascending.apps) == ["app-000"]
    found = carol("PostAppsSearches", "me", app_query={"name": "app-29?"})
    assert len(found.apps) == 10


def test_what_a_list_cannot_honour_is_said(alice):
    status = alice("ListModels", MAIN, license="MIT").status
    assert status.code == codes.NOT_IMPLEMENTED
    assert "license" in status.details


def test_apps_are_made_changed_and_deleted(alice, app):
    name = app.removeprefix("alice/")
    changed = resources_pb2.App(id=name, name="New")
    changed.metadata["a"] = 1
    alice("PatchApps", "me", apps=[changed], action="overwrite")
    kept = alice("GetApp", app).app
    assert (kept.name, kept.user_id, kept.metadata["a"]) == ("New", "alice", 1)
    assert kept.modified_at.ToNanoseconds() > kept.created_at.ToNanoseconds()
    assert alice.code("PostApps", "me", apps=[{"id": name}]) == codes.CONN_INVALID_REQUEST
    alice("PostConcepts", app, concepts=[{"id": "x"}])
    assert alice.code("DeleteApp", app) == codes.SUCCESS
    assert alice.code("GetApp", app) == codes.CONN_DOES_NOT_EXIST
    alice("PostApps", "me", apps=[{"id": name}])
    assert not alice("ListConcepts", app).concepts


def test_inputs_are_added_one_by_one_and_say_what_became_of_them(alice, app, text):
    first, anonymous = text("one"), text("two")
    first.id = "first"
    added = alice("PostInputs", app, inputs=[first, anonymous])
    assert [each.status.code for each in added.inputs] == [codes.INPUT_DOWNLOAD_SUCCESS] * 2
    assert ids(alice("ListInputs", app).inputs) == ["first", added.inputs[1].id]
    again = alice("PostInputs", app, inputs=[first, text("three"), text("")])
    assert again.status.code == codes.MIXED_STATUS
    assert [each.status.code for each in again.inputs] == [
        codes.INPUT_DUPLICATE,
        codes.INPUT_DOWNLOAD_SUCCESS,
        codes.INPUT_UNSUPPORTED_FORMAT,
    ]
    assert again.inputs[0].status.details == "Input has a duplicate ID."
    assert alice.code("PostInputs", app, inputs=[first]) == codes.FAILURE
    assert alice("GetInputCount", app).counts.processed == 3


def test_inputs_are_streamed_from_the_last_one_seen(alice):
    first = alice("StreamInputs", MAIN, per_page=2, order_by_id=True).inputs
    rest = alice("StreamInputs", MAIN, last_id=first[-1].id, order_by_id=True).inputs
    assert ids(first) + ids(rest) == ["dog", "family", "metro-north", "note"]


def test_a_patch_merges_overwrites_or_removes(alice, app, text):
    item = text("one")
    item.id = "it"
    alice("PostInputs", app, inputs=[item])

    def concepts_after(action: str, *names: str) -> list[str]:
        change = {"id": "it", "data": {"concepts": [{"id": name} for name in names]}}
        patched = alice("PatchInputs", app, inputs=[change], action=action)
        assert patched.inputs[0].data.text.raw == "one"
        return ids(alice("GetInput", app, input_id="it").input.data.concepts)

    assert concepts_after("merge", "a", "b") == ["a", "b"]
    assert concepts_after("merge", "b", "c") == ["a", "b", "c"]
    assert concepts_after("remove", "b") == ["a", "c"]
    assert concepts_after("overwrite", "d") == ["d"]
    assert alice.code("PatchInputs", app, action="add") == codes.CONN_INVALID_REQUEST
    missing = alice.code("PatchInputs", app, inputs=[{"id": "no"}], action="merge")
    assert missing == codes.INPUT_DOES_NOT_EXIST


def test_annotations_live_as_long_as_their_input(alice, app, text):
    annotation = {"input_id": "it", "data": {"concepts": [{"id": "a", "value": 1}]}}
    refused = alice.code("PostAnnotations", app, annotations=[annotation])
    assert refused == codes.INPUT_DOES_NOT_EXIST
    item = text("one")
    item.id = "it"
    alice("PostInputs", app, inputs=[item])
    [made] = alice("PostAnnotations", app, annotations=[annotation]).annotations
    assert (made.user_id, made.status.code) == ("alice", codes.ANNOTATION_SUCCESS)
    found = alice("GetAnnotation", app, input_id="it", annotation_id=made.id).annotation
    assert found.data.concepts[0].id == "a"
    assert ids(alice("ListAnnotations", app, input_ids=["it"]).annotations) == [made.id]
    assert not alice("ListAnnotations", app, input_ids=["other"]).annotations
    [streamed] = alice.all("StreamAnnotations", app, input_id="it")
    assert streamed.annotation.id == made.id
    alice("DeleteInputs", app, ids=["it"])
    assert not alice("ListAnnotations", app).annotations


def test_a_deletion_of_many_is_all_or_nothing(alice, app):
    alice("PostModels", app, models=[{"id": "a"}])
    refused = alice("DeleteModels", app, ids=["a", "b"]).status
    assert (refused.code, "'b'" in refused.details) == (codes.CONN_DOES_NOT_EXIST, True)
    assert ids(alice("ListModels", app).models) == ["a"]
    assert alice.code("DeleteModels", app, delete_all=True) == codes.SUCCESS
    assert not alice("ListModels", app).models


def test_models_have_versions_that_are_trained_at_once(alice, app):
    concepts = {"output_info": {"data": {"concepts": [{"id": "a"}]}}}
    model = {"id": "m", "model_type_id": "visual-classifier", "model_version": concepts}
    first = alice("PostModels", app, models=[model]).model.model_version
    second = alice("PostModelVersions", app, model_id="m", model_versions=[{}]).model.model_version
    assert second.status.code == codes.MODEL_TRAINED
    versions = ids(alice("ListModelVersions", app, model_id="m").model_versions)
    assert versions == [first.id, second.id]
    assert alice("GetModel", app, model_id="m").model.model_version.id == second.id
    old = alice("GetModel", app, model_id="m", version_id=first.id).model
    assert old.model_version.id == first.id
    assert ids(alice("ListModelConcepts", app, model_id="m").concepts) == ["a"]
    unknown = alice("GetModel", app, model_id="n").status
    assert unknown.code == codes.CONN_DOES_NOT_EXIST
    assert unknown.details.startswith("model_id 'n' not found.")
    found = alice("PostModelsSearches", app, model_query={"name": "*"})
    assert found.status.code == codes.SUCCESS


def test_a_workflow_runs_the_models_of_its_nodes(alice, app, text):
    public = {"user_id": "clarifai", "app_id": "main", "id": "text-embedding"}
    workflow = {"id": "w", "nodes": [{"id": "embed", "model": public}]}
    made = alice("PostWorkflows", app, workflows=[workflow]).workflows[0]
    results = alice("PostWorkflowResults", app, workflow_id="w", inputs=[text("a"), text("b")])
    assert len(results.results) == 2
    assert results.results[0].outputs[0].data.embeddings[0].num_dimensions == 64
    versions = ids(alice("ListWorkflowVersions", app, workflow_id="w").workflow_versions)
    assert versions == [made.version.id]
    out_of_reach = {"user_id": "bob", "app_id": "attic", "id": "pets"}
    workflow = {"id": "v", "nodes": [{"id": "pets", "model": out_of_reach}]}
    assert alice.code("PostWorkflows", app, workflows=[workflow]) == codes.CONN_DOES_NOT_EXIST
    assert alice.code("PostWorkflows", app, workflows=[{"id": "w"}]) == codes.WORKFLOW_DUPLICATE


def test_datasets_hold_inputs_of_the_app(alice, app, text):
    alice("PostDatasets", app, datasets=[{"id": "d"}])
    item = text("one")
    item.id = "it"
    item.dataset_ids.append("d")
    alice("PostInputs", app, inputs=[item])
    members = alice("ListDatasetInputs", app, dataset_id="d").dataset_inputs
    assert [member.input.data.text.raw for member in members] == ["one"]
    member = {"input": {"id": "other"}}
    refused = alice.code("PostDatasetInputs", app, dataset_id="d", dataset_inputs=[member])
    assert refused == codes.INPUT_DOES_NOT_EXIST


def test_a_search_ranks_by_likeness(alice):
    rank = {"annotation": {"data": {"text": {"raw": "a dog and a cat on a train"}}}}
    search = {"query": {"ranks": [rank]}}
    hits = alice("PostInputsSearches", MAIN, searches=[search]).hits
    assert (hits[0].input.id, len(hits)) == ("note", 4)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    page = alice("PostInputsSearches", MAIN, searches=[search], pagination={"per_page": 1})
    assert [hit.input.id for hit in page.hits] == ["note"]


def test_a_search_filters_by_concept(alice):
    def found(name: str, method: str, **more: bool) -> list[str]:
        data = {"concepts": [{"id": name, "value": 1}]}
        query = {"filters": [{"annotation": {"data": data}, **more}]}
        return [hit.input.id for hit in alice(method, MAIN, searches=[{"query": query}]).hits]

    assert found("people", "PostInputsSearches") == ["family"]
    assert found("people", "PostAnnotationsSearches") == ["family"]
    assert "family" not in found("people", "PostInputsSearches", negate=True)
    assert len(found("unheard-of", "PostInputsSearches")) == 4
    older = {"ands": [{"output": {"data": {"concepts": [{"name": "dog"}]}}}]}
    assert alice("PostSearches", MAIN, query=older).hits[0].input.id == "dog"


def test_a_saved_search_is_run_again(alice, app, text):
    alice("PostInputs", app, inputs=[text("one")])
    alice("PostInputsSearches", app, searches=[{"id": "mine", "save": True}])
    assert ids(alice("ListSearches", app).searches) == ["mine"]
    assert len(alice("PostSearchesByID", app, id="mine").hits) == 1


def test_concepts_are_found_and_counted(alice):
    found = alice("PostConceptsSearches", MAIN, concept_query={"name": "Peo*"}).concepts
    assert ids(found) == ["people"]
    counts = {each.id: each.concept_type_count.positive for each in _counts(alice)}
    assert (counts["dog"], counts["mountain"]) == (1, 0)


def _counts(alice):
    return alice("GetConceptCounts", MAIN).concept_counts


def test_compute_lives_below_its_parents(alice):
    nodepool = {"id": "n"}
    refused = alice.code("PostNodepools", "me", compute_cluster_id="c", nodepools=[nodepool])
    assert refused == codes.COMPUTE_CLUSTER_DOES_NOT_EXIST
    alice("PostComputeClusters", "me", compute_clusters=[{"id": "c"}])
    alice("PostNodepools", "me", compute_cluster_id="c", nodepools=[nodepool])
    assert ids(alice("ListNodepools", "me").nodepools) == ["n"]
    alice("DeleteComputeClusters", "me", ids=["c"])
    assert not alice("ListNodepools", "me").nodepools


def test_facts_about_the_api_are_told(with_header, alice):
    assert with_header("")("GetStatusCode", status_code_id="11007").status.code == 11007
    assert len(with_header("")("ListStatusCodes").statuses) > 300
    kinds = ids(alice("ListModelTypes", MAIN).model_types)
    assert {"visual-classifier", "text-to-text"} < set(kinds)
    assert alice("GetModelType", MAIN, model_type_id=kinds[0]).model_type.id == kinds[0]
    assert alice("GetResourceCounts", MAIN).inputs == 4


def test_what_the_sandbox_does_not_do_is_said(alice):
    for method in ("PostEvaluations", "PutModelVersionExports", "PostModelVersionsUpload"):
        status = alice(method, *([] if "Upload" in method else [MAIN])).status
        assert status.code == codes.NOT_IMPLEMENTED
        assert method in status.details
