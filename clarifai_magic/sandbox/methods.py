"""What the methods do that are more than listing, getting, posting, patching or deleting."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic import scopes
from clarifai_magic.sandbox import auth, predict, resources, search, seed
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.state import USERS, Path, Store, app_path, user_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What looks like posting a resource, but asks for work that the sandbox does not do.
_WORK = frozenset(
    {
        *("PostAppDuplications", "PostEvaluations", "PostModelVersionEvaluations"),
        *("PostWorkflowVersionEvaluations", "PostPipelineVersionRuns", "PostUploads"),
    }
)


class Call(NamedTuple):
    """A call that has been admitted."""

    store: Store
    caller: auth.Caller
    method: str
    request: Any
    response: Any

    def app(self, *rest: str) -> Path:
        """Give the path of something in the app that the request names."""
        ids = self.request.user_app_id
        if not ids.app_id:
            raise resources.invalid("user_app_id.app_id must be set.")
        return app_path(ids.user_id, ids.app_id, *rest)

    def plainly(self) -> Any:
        """Do what the method's shape says."""
        shape = resources.shape(self.method)
        if shape is None:
            raise _not_kept(self.method)
        return resources.carry_out(self.store, self.caller, shape, self.request, self.response)


_HANDLERS: dict[str, Callable[[Call], Any]] = {}


def _handles(*methods: str) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    def register(handler: Callable[[Call], Any]) -> Callable[[Call], Any]:
        _HANDLERS.update(dict.fromkeys(methods, handler))
        return handler

    return register


def carry_out(call: Call) -> list[Any]:
    """Do what a method does: one response, or those of a streaming method.

    A response without a status is a success; what the sandbox does not do is refused with 10040.
    """
    if call.method in _WORK:
        raise _not_kept(call.method)
    result = _HANDLERS.get(call.method, Call.plainly)(call)
    return result if isinstance(result, list) else [result]


def _not_kept(method: str) -> RefusedError:
    return RefusedError(status_code_pb2.NOT_IMPLEMENTED, f"The sandbox does not do {method}.")


# Keys and people


@_handles("MyScopes", "MyScopesUser", "MyScopesRoot")
def _my_scopes(call: Call) -> Any:
    call.response.scopes.extend(call.caller.key.scopes)
    call.response.endpoints.extend(call.caller.key.endpoints)
    if call.caller.app_id:
        path = user_path(call.caller.user_id, "apps")
        call.response.app.CopyFrom(call.store.get(path, call.caller.app_id))
    return call.response


@_handles("PostKeys", "PatchKeys")
def _change_keys(call: Call) -> Any:
    """Add or change keys; none may do what the caller's may not, nor reach others' apps."""
    for key in call.request.keys:
        if beyond := scopes.expand(key.scopes) - scopes.expand(call.caller.key.scopes):
            raise auth.insufficient(beyond)
        for app in key.apps:
            app.user_id = call.request.user_app_id.user_id
            resources.existing(call.store, user_path(app.user_id, "apps"), app.id)
        if call.method == "PostKeys":
            key.id = uuid.uuid4().hex
            key.type = auth.API_KEY if key.apps else auth.PAT
    return call.plainly()


@_handles("ListAppKeys")
def _app_keys(call: Call) -> Any:
    ids = call.request.user_app_id
    keys = call.store.items(user_path(ids.user_id, "keys"))
    own = [key for key in keys if ids.app_id in [app.id for app in key.apps]]
    call.response.keys.extend(resources.paged(own, call.request))
    return call.response


@_handles("ListCollaborators", "PostCollaborators")
def _collaborators(call: Call) -> Any:
    for each in getattr(call.request, "collaborators", ()):
        resources.existing(call.store, USERS, each.user.id)
    owner = call.store.get(USERS, call.request.user_app_id.user_id)
    call.response.app_owner.CopyFrom(owner)
    return call.plainly()


@_handles("ListCollaborations")
def _collaborations(call: Call) -> Any:
    found = []
    for path, items in call.store.collections(app_path("", "", "collaborators")):
        for each in items.values():
            if each.user.id == call.request.user_app_id.user_id:
                app = call.store.get(path[:3], path[3])
                owner = call.store.get(USERS, path[1])
                found.append(resources_pb2.Collaboration(app=app, app_owner=owner))
    call.response.collaborations.extend(resources.paged(found, call.request))
    return call.response


# Facts about the API


@_handles("ListStatusCodes")
def _status_codes(call: Call) -> Any:
    for number in status_code_pb2.StatusCode.DESCRIPTOR.values_by_number:
        call.response.statuses.add(code=number)
    return call.response


@_handles("GetStatusCode")
def _status_code(call: Call) -> Any:
    number = call.request.status_code_id
    if not number.isdecimal() or int(number) not in status_code_pb2.StatusCode.values():
        raise RefusedError(
            status_code_pb2.CONN_DOES_NOT_EXIST, f"status_code_id '{number}' not found."
        )
    call.response.status.code = int(number)
    return call.response


@_handles("ListModelTypes")
def _model_types(call: Call) -> Any:
    kinds = sorted({kind for _, kind in seed.CATALOGUE})
    types = [resources_pb2.ModelType(id=kind, title=kind) for kind in kinds]
    call.response.model_types.extend(resources.paged(types, call.request))
    return call.response


@_handles("GetModelType")
def _model_type(call: Call) -> Any:
    kind = call.request.model_type_id
    if kind not in {kind for _, kind in seed.CATALOGUE}:
        raise RefusedError(
            status_code_pb2.CONN_DOES_NOT_EXIST, f"model_type_id '{kind}' not found."
        )
    call.response.model_type.id = call.response.model_type.title = kind
    return call.response


# Apps


@_handles("PatchApp")
def _patch_app(call: Call) -> Any:
    call.request.app.id = call.request.user_app_id.app_id
    path = user_path(call.request.user_app_id.user_id, "apps")
    changed = resources.patch(call.store, path, [call.request.app], call.request.action)
    call.response.app.CopyFrom(changed[0])
    return call.response


@_handles("PostModelsSearches")
def _search_models(call: Call) -> Any:
    found = resources.chosen(call.store.items(call.app("models")), call.request.model_query)
    call.response.models.extend(resources.paged(found, call.request))
    return call.response


@_handles("PostAppsSearches")
def _search_apps(call: Call) -> Any:
    path = user_path(call.request.user_app_id.user_id, "apps")
    found = resources.chosen(call.store.items(path), call.request.app_query)
    call.response.apps.extend(resources.paged(found, call.request))
    return call.response


@_handles("GetResourceCounts")
def _resource_counts(call: Call) -> Any:
    for kind in ("datasets", "models", "workflows", "inputs", "pipelines"):
        setattr(call.response, kind, len(call.store.items(call.app(kind))))
    return call.response


# Inputs, concepts, annotations, datasets


@_handles("PostInputs")
def _post_inputs(call: Call) -> Any:
    """Add inputs one by one: each says in its status what became of it."""
    codes = set()
    for item in call.request.inputs:
        try:
            predict.content_of(item.data)
            [added] = resources.add(call.store, call.caller, call.app("inputs"), [item])
            _into_datasets(call, added)
        except RefusedError as refusal:
            added = item
            added.status.code, added.status.details = refusal.code, refusal.details
        codes.add(added.status.code)
        call.response.inputs.append(added)
    if codes - {status_code_pb2.INPUT_DOWNLOAD_SUCCESS}:
        mixed = len(codes) > 1 and status_code_pb2.INPUT_DOWNLOAD_SUCCESS in codes
        call.response.status.code = (
            status_code_pb2.MIXED_STATUS if mixed else status_code_pb2.FAILURE
        )
    return call.response


def _into_datasets(call: Call, item: Any) -> None:
    for dataset_id in item.dataset_ids:
        _into_dataset(call, dataset_id, resources_pb2.DatasetInput(input=item))


def _into_dataset(call: Call, dataset_id: str, member: Any) -> Any:
    resources.existing(call.store, call.app("datasets"), dataset_id)
    member.input.CopyFrom(resources.existing(call.store, call.app("inputs"), member.input.id))
    member.created_at.GetCurrentTime()
    call.store.put(call.app("datasets", dataset_id, "inputs"), member.input.id, member)
    return member


@_handles("PostDatasetInputs")
def _post_dataset_inputs(call: Call) -> Any:
    for member in call.request.dataset_inputs:
        added = _into_dataset(call, call.request.dataset_id, member)
        call.response.dataset_inputs.append(added)
    return call.response


@_handles("ListDatasetInputs")
def _list_dataset_inputs(call: Call) -> Any:
    resources.existing(call.store, call.app("datasets"), call.request.dataset_id)
    members = call.store.items(call.app("datasets", call.request.dataset_id, "inputs"))
    call.response.dataset_inputs.extend(resources.paged(members, call.request))
    return call.response


@_handles("GetDatasetInput")
def _get_dataset_input(call: Call) -> Any:
    path = call.app("datasets", call.request.dataset_id, "inputs")
    call.response.dataset_input.CopyFrom(
        resources.existing(call.store, path, call.request.input_id)
    )
    return call.response


@_handles("StreamInputs")
def _stream_inputs(call: Call) -> Any:
    items = call.store.items(call.app("inputs"))
    if call.request.order_by_id:
        items.sort(key=lambda item: item.id)
    if call.request.descending:
        items.reverse()
    if last := call.request.last_id:
        ids = [item.id for item in items]
        items = items[ids.index(last) + 1 :] if last in ids else []
    call.response.inputs.extend(resources.paged(items, call.request))
    return call.response


@_handles("GetInputCount")
def _input_count(call: Call) -> Any:
    call.response.counts.processed = len(call.store.items(call.app("inputs")))
    return call.response


@_handles("GetConceptCounts")
def _concept_counts(call: Call) -> Any:
    annotations = call.store.items(call.app("annotations"))
    for concept in resources.paged(call.store.items(call.app("concepts")), call.request):
        count = call.response.concept_counts.add(id=concept.id, name=concept.name)
        count.concept_type_count.positive = sum(
            concept.id in [each.id for each in annotation.data.concepts]
            for annotation in annotations
        )
    return call.response


@_handles("PostConceptsSearches")
def _search_concepts(call: Call) -> Any:
    wanted = call.request.concept_query.name.casefold()
    concepts = call.store.items(call.app("concepts"))
    found = [each for each in concepts if each.name.casefold().startswith(wanted.rstrip("*"))]
    call.response.concepts.extend(resources.paged(found, call.request))
    return call.response


@_handles("PostAnnotations")
def _post_annotations(call: Call) -> Any:
    for annotation in call.request.annotations:
        resources.existing(call.store, call.app("inputs"), annotation.input_id)
    return call.plainly()


@_handles("DeleteInput", "DeleteInputs")
def _delete_inputs(call: Call) -> Any:
    response = call.plainly()
    for annotation in call.store.items(call.app("annotations")):
        if call.store.get(call.app("inputs"), annotation.input_id) is None:
            call.store.delete(call.app("annotations"), annotation.id)
    return response


@_handles("StreamAnnotations")
def _stream_annotations(call: Call) -> list[Any]:
    resources.existing(call.store, call.app("inputs"), call.request.input_id)
    return [
        type(call.response)(annotation=annotation)
        for annotation in call.store.items(call.app("annotations"))
        if annotation.input_id == call.request.input_id
    ]


# Searches


@_handles("PostInputsSearches", "PostAnnotationsSearches", "PostSearches")
def _search(call: Call) -> Any:
    searches = list(call.request.searches)
    if not searches:
        searches = [resources_pb2.Search(query=getattr(call.request, "query", None))]
    for each in searches:
        if each.save:
            resources.add(call.store, call.caller, call.app("searches"), [each])
    return _found(call, searches, of_annotations=call.method == "PostAnnotationsSearches")


@_handles("PostSearchesByID")
def _search_again(call: Call) -> Any:
    saved = resources.existing(call.store, call.app("searches"), call.request.id)
    return _found(call, [saved], of_annotations=False)


def _found(call: Call, searches: Iterable[Any], *, of_annotations: bool) -> Any:
    found = [
        hit
        for each in searches
        for hit in search.hits(call.store, call.app(), each.query, of_annotations=of_annotations)
        if hit.score >= each.min_value
    ]
    call.response.id = uuid.uuid4().hex
    call.response.hits.extend(resources.paged(found, call.request))
    return call.response


# Models and workflows


@_handles("PostModels")
def _post_models(call: Call) -> Any:
    for model in list(call.request.models) or [call.request.model]:
        [added] = resources.add(call.store, call.caller, call.app("models"), [model])
        _new_version(call, added, model.model_version)
        call.response.model.CopyFrom(added)
    return call.response


@_handles("PostModelVersions")
def _post_model_versions(call: Call) -> Any:
    model = resources.existing(call.store, call.app("models"), call.request.model_id)
    for version in call.request.model_versions:
        _new_version(call, model, version)
    call.response.model.CopyFrom(model)
    return call.response


def _new_version(call: Call, model: Any, version: Any) -> None:
    """Add a version, which is trained at once; what it does not say is as in the one before."""
    if not version.output_info.data.concepts:
        version.output_info.data.concepts.extend(model.model_version.output_info.data.concepts)
    path = call.app("models", model.id, "versions")
    [added] = resources.add(call.store, call.caller, path, [version])
    model.model_version.CopyFrom(added)


@_handles("GetModel", "GetModelOutputInfo")
def _get_model(call: Call) -> Any:
    call.response.model.CopyFrom(_model(call, call.request.model_id, call.request.version_id))
    return call.response


@_handles("ListModelConcepts")
def _model_concepts(call: Call) -> Any:
    model = _model(call, call.request.model_id, call.request.version_id)
    concepts = list(model.model_version.output_info.data.concepts)
    call.response.concepts.extend(resources.paged(concepts, call.request))
    return call.response


def _model(call: Call, model_id: str, version_id: str = "") -> Any:
    """Make a copy of a model, in the version that is wanted or else the latest."""
    model = resources_pb2.Model()
    model.CopyFrom(resources.existing(call.store, call.app("models"), model_id))
    path = call.app("models", model_id, "versions")
    if version_id:
        model.model_version.CopyFrom(resources.existing(call.store, path, version_id))
    elif latest := call.store.get(path, model.model_version.id):
        model.model_version.CopyFrom(latest)
    return model


@_handles("PostModelOutputs", "StreamModelOutputs")
def _model_outputs(call: Call) -> Any:
    request = call.request
    model = _model(
        call,
        request.model_id or request.model.id,
        request.version_id or request.model.model_version.id,
    )
    if request.model.model_version.output_info.HasField("output_config"):
        config = request.model.model_version.output_info.output_config
        model.model_version.output_info.output_config.MergeFrom(config)
    call.response.outputs.extend(predict.predict(model, item) for item in _inputs(call))
    return call.response


@_handles("GenerateModelOutputs")
def _generated_outputs(call: Call) -> list[Any]:
    """Give a text word by word, and anything else in one piece."""
    whole = _model_outputs(call)
    words = [output.data.text.raw.split() for output in whole.outputs]
    pieces = []
    for number in range(max(map(len, words), default=0)):
        piece = type(whole)()
        piece.CopyFrom(whole)
        for output, own in zip(piece.outputs, words, strict=True):
            output.data.text.raw = "".join(f"{word} " for word in own[number : number + 1])
        pieces.append(piece)
    return pieces or [whole]


def _inputs(call: Call) -> list[Any]:
    """List a request's inputs; one that has an ID and no data is the app's."""
    inputs = list(call.request.inputs)
    if not 0 < len(inputs) <= resources.MAX_ITEMS:
        raise resources.invalid(f"inputs: from 1 to {resources.MAX_ITEMS} at a time.")
    return [
        item
        if item.HasField("data") or not item.id
        else resources.existing(call.store, call.app("inputs"), item.id)
        for item in inputs
    ]


@_handles("PostWorkflows")
def _post_workflows(call: Call) -> Any:
    for workflow in call.request.workflows:
        for node in workflow.nodes:
            _node_model(call, node)
        workflow.version.id = uuid.uuid4().hex
    response = call.plainly()
    for workflow in response.workflows:
        path = call.app("workflows", workflow.id, "versions")
        version = resources_pb2.WorkflowVersion(
            id=workflow.version.id, workflow_id=workflow.id, nodes=workflow.nodes
        )
        resources.add(call.store, call.caller, path, [version])
    return response


def _node_model(call: Call, node: Any) -> Any:
    own = call.request.user_app_id
    user_id, app_id = node.model.user_id or own.user_id, node.model.app_id or own.app_id
    if not auth.may_read(call.store, call.caller, user_id, app_id):
        raise auth.absent(f"model_id '{node.model.id}'")
    return resources.existing(call.store, app_path(user_id, app_id, "models"), node.model.id)


@_handles("PostWorkflowResults")
def _workflow_results(call: Call) -> Any:
    workflow = resources.existing(call.store, call.app("workflows"), call.request.workflow_id)
    if call.request.version_id:
        path = call.app("workflows", workflow.id, "versions")
        resources.existing(call.store, path, call.request.version_id)
    call.response.workflow.CopyFrom(workflow)
    for item in _inputs(call):
        result = call.response.results.add(id=uuid.uuid4().hex, input=item)
        result.status.code, result.status.description = status_code_pb2.SUCCESS, "Ok"
        result.created_at.GetCurrentTime()
        result.outputs.extend(
            predict.predict(_node_model(call, node), item) for node in workflow.nodes
        )
    return call.response
