"""Methods that do more than listing, getting, posting, patching or deleting."""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.api import scopes
from clarifai_magic.sandbox import auth, predict, resources, search, seed, signatures
from clarifai_magic.sandbox.auth import RefusedError
from clarifai_magic.sandbox.state import USERS, Path, Store, app_path, user_path

if TYPE_CHECKING:
    from collections.abc import Iterable

# Looks like posting a resource, but requests work that the sandbox does not support.
_WORK = {
    *("PostAppDuplications", "PostEvaluations", "PostModelVersionEvaluations"),
    *("PostWorkflowVersionEvaluations", "PostPipelineVersionRuns", "PostUploads"),
}
_MODEL_TYPES = {
    kind: resources_pb2.ModelType(id=kind, title=kind, input_fields=signatures.media(kind))
    for kind in sorted({kind for models in seed.CATALOGUE.values() for kind in models})
}


def carry_out(
    store: Store, caller: auth.Caller, method: str, request: Any, response: Any
) -> list[Any]:
    """Carry out a method: one response, or those of a streaming method.

    A response without a status is a success; the sandbox refuses what it does not support with
    10040.
    """
    call = _Methods(store, caller, method, request, response)
    if method in _WORK:
        raise auth.unsupported(f"support {method}")
    result = vars(_Methods).get(method, _Call.plainly)(call)
    return result if isinstance(result, list) else [result]


@dataclass
class _Call:
    """An admitted call."""

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

    def give(self, found: Any) -> Any:
        """Answer with a message, or with the requested page of a list, in its field."""
        is_list = isinstance(found, list)
        field = next(
            each
            for each in self.response.DESCRIPTOR.fields
            if each.message_type and each.name != "status" and is_list == scopes.is_repeated(each)
        )
        if is_list:
            getattr(self.response, field.name).extend(resources.paged(found, self.request))
        else:
            getattr(self.response, field.name).CopyFrom(found)
        return self.response

    def items(self, *rest: str) -> list[Any]:
        """List the resources of a kind in the request's app."""
        return self.store.items(self.app(*rest))

    def existing(self, item_id: str, *rest: str) -> Any:
        """Give a resource in the request's app, which must exist."""
        return resources.existing(self.store, self.app(*rest), item_id)

    def add(self, item: Any, *rest: str) -> Any:
        """Add a resource to the request's app."""
        [added] = resources.add(self.store, self.caller, self.app(*rest), [item])
        return added

    def plainly(self) -> Any:
        """Do what the method's shape says."""
        shape = resources.shape(self.method)
        if shape is None:
            raise auth.unsupported(f"support {self.method}")
        return resources.carry_out(self.store, self.caller, shape, self.request, self.response)


class _Methods(_Call):
    """The methods that do more than their shape says, by name."""

    # Keys and people

    def MyScopes(self) -> Any:
        self.response.scopes.extend(self.caller.key.scopes)
        self.response.endpoints.extend(self.caller.key.endpoints)
        if self.caller.app_id:
            path = user_path(self.caller.user_id, "apps")
            self.response.app.CopyFrom(self.store.get(path, self.caller.app_id))
        return self.response

    MyScopesUser = MyScopesRoot = MyScopes

    def PostKeys(self) -> Any:
        """Add or change keys; none may exceed the caller's scopes or reach other users' apps."""
        for key in self.request.keys:
            if beyond := scopes.expand(key.scopes) - scopes.expand(self.caller.key.scopes):
                raise auth.insufficient(beyond)
            for app in key.apps:
                app.user_id = self.request.user_app_id.user_id
                resources.existing(self.store, user_path(app.user_id, "apps"), app.id)
            if self.method == "PostKeys":
                key.id = uuid.uuid4().hex
                key.type = auth.API_KEY if key.apps else auth.PAT
        return self.plainly()

    PatchKeys = PostKeys

    def ListAppKeys(self) -> Any:
        ids = self.request.user_app_id
        keys = self.store.items(user_path(ids.user_id, "keys"))
        return self.give([key for key in keys if ids.app_id in [app.id for app in key.apps]])

    def ListCollaborators(self) -> Any:
        for each in getattr(self.request, "collaborators", ()):
            resources.existing(self.store, USERS, each.user.id)
        self.response.app_owner.CopyFrom(self.store.get(USERS, self.request.user_app_id.user_id))
        return self.plainly()

    PostCollaborators = ListCollaborators

    def ListCollaborations(self) -> Any:
        found = []
        for path, items in self.store.collections(app_path("", "", "collaborators")):
            for each in items.values():
                if each.user.id == self.request.user_app_id.user_id:
                    app = self.store.get(path[:3], path[3])
                    owner = self.store.get(USERS, path[1])
                    found.append(resources_pb2.Collaboration(app=app, app_owner=owner))
        return self.give(found)

    # Facts about the API

    def ListStatusCodes(self) -> Any:
        for number in codes.StatusCode.DESCRIPTOR.values_by_number:
            self.response.statuses.add(code=number)
        return self.response

    def GetStatusCode(self) -> Any:
        number = self.request.status_code_id
        if not number.isdecimal() or int(number) not in codes.StatusCode.values():
            raise auth.absent(f"status_code_id '{number}'")
        self.response.status.code = int(number)
        return self.response

    def ListModelTypes(self) -> Any:
        return self.give(list(_MODEL_TYPES.values()))

    def GetModelType(self) -> Any:
        kind = self.request.model_type_id
        if kind not in _MODEL_TYPES:
            raise auth.absent(f"model_type_id '{kind}'")
        return self.give(_MODEL_TYPES[kind])

    # Apps

    def PatchApp(self) -> Any:
        self.request.app.id = self.request.user_app_id.app_id
        path = user_path(self.request.user_app_id.user_id, "apps")
        changed = resources.patch(self.store, path, [self.request.app], self.request.action)
        return self.give(changed[0])

    def PostModelsSearches(self) -> Any:
        return self.give(resources.chosen(self.items("models"), self.request.model_query))

    def PostAppsSearches(self) -> Any:
        apps = self.store.items(user_path(self.request.user_app_id.user_id, "apps"))
        return self.give(resources.chosen(apps, self.request.app_query))

    def GetResourceCounts(self) -> Any:
        for kind in ("datasets", "models", "workflows", "inputs", "pipelines"):
            setattr(self.response, kind, len(self.items(kind)))
        return self.response

    # Inputs, concepts, annotations, datasets

    def PostInputs(self) -> Any:
        """Add inputs one by one: each has its own status."""
        for item in self.request.inputs:
            try:
                predict.content_of(item.data)
                for concept in item.data.concepts:
                    concept.name = concept.name or concept.id
                    concept.app_id = self.request.user_app_id.app_id
                added = self.add(item, "inputs")
                for dataset_id in item.dataset_ids:
                    self._into_dataset(dataset_id, resources_pb2.DatasetInput(input=added))
            except RefusedError as refusal:
                added = item
                added.status.code, added.status.details = refusal.code, refusal.details
            self.response.inputs.append(added)
        became = {each.status.code for each in self.response.inputs}
        if became - {codes.INPUT_DOWNLOAD_SUCCESS}:
            mixed = codes.INPUT_DOWNLOAD_SUCCESS in became
            self.response.status.code = codes.MIXED_STATUS if mixed else codes.FAILURE
        return self.response

    def _into_dataset(self, dataset_id: str, member: Any) -> None:
        self.existing(dataset_id, "datasets")
        member.input.CopyFrom(self.existing(member.input.id, "inputs"))
        member.created_at.GetCurrentTime()
        self.store.put(self.app("datasets", dataset_id, "inputs"), member.input.id, member)

    def PostDatasetInputs(self) -> Any:
        for member in self.request.dataset_inputs:
            self._into_dataset(self.request.dataset_id, member)
        self.response.dataset_inputs.extend(self.request.dataset_inputs)
        return self.response

    def StreamInputs(self) -> Any:
        items = self.items("inputs")
        if self.request.order_by_id:
            items.sort(key=lambda item: item.id)
        if self.request.descending:
            items.reverse()
        if last := self.request.last_id:
            ids = [item.id for item in items]
            items = items[ids.index(last) + 1 :] if last in ids else []
        return self.give(items)

    def GetInputCount(self) -> Any:
        self.response.counts.processed = len(self.items("inputs"))
        return self.response

    def GetConceptCounts(self) -> Any:
        annotations = self.items("annotations")
        for concept in resources.paged(self.items("concepts"), self.request):
            count = self.response.concept_counts.add(id=concept.id, name=concept.name)
            count.concept_type_count.positive = sum(
                concept.id in [each.id for each in annotation.data.concepts]
                for annotation in annotations
            )
        return self.response

    def PostConceptsSearches(self) -> Any:
        wanted = self.request.concept_query.name.casefold()
        names = [(each.name.casefold(), each) for each in self.items("concepts")]
        return self.give([each for name, each in names if name.startswith(wanted.rstrip("*"))])

    def PostAnnotations(self) -> Any:
        for annotation in self.request.annotations:
            self.existing(annotation.input_id, "inputs")
        return self.plainly()

    def DeleteInput(self) -> Any:
        response = self.plainly()
        for annotation in self.items("annotations"):
            if self.store.get(self.app("inputs"), annotation.input_id) is None:
                self.store.delete(self.app("annotations"), annotation.id)
        return response

    DeleteInputs = DeleteInput

    def StreamAnnotations(self) -> list[Any]:
        self.existing(self.request.input_id, "inputs")
        annotations = self.items("annotations")
        own = [each for each in annotations if each.input_id == self.request.input_id]
        return [type(self.response)(annotation=each) for each in own]

    # Searches

    def PostInputsSearches(self) -> Any:
        searches = list(self.request.searches) or [
            resources_pb2.Search(query=getattr(self.request, "query", None))
        ]
        for each in searches:
            if each.save:
                self.add(each, "searches")
        return self._found(searches, of_annotations=self.method == "PostAnnotationsSearches")

    PostAnnotationsSearches = PostSearches = PostInputsSearches

    def PostSearchesByID(self) -> Any:
        return self._found([self.existing(self.request.id, "searches")], of_annotations=False)

    def _found(self, searches: Iterable[Any], *, of_annotations: bool) -> Any:
        found: list[Any] = []
        for each in searches:
            hits = search.hits(self.store, self.app(), each.query, of_annotations=of_annotations)
            found += [hit for hit in hits if hit.score >= each.min_value]
        self.response.id = uuid.uuid4().hex
        return self.give(found)

    # Models and workflows

    def PostModels(self) -> Any:
        for model in list(self.request.models) or [self.request.model]:
            added = self.add(model, "models")
            self._new_version(added, model.model_version)
            self.response.model.CopyFrom(added)
        return self.response

    def PostModelVersions(self) -> Any:
        model = self.existing(self.request.model_id, "models")
        for version in self.request.model_versions:
            self._new_version(model, version)
        return self.give(model)

    def _new_version(self, model: Any, version: Any) -> None:
        """Add a version, trained at once; missing fields are those of the previous version."""
        if not version.output_info.data.concepts:
            version.output_info.data.concepts.extend(model.model_version.output_info.data.concepts)
        signatures.describe(model, version)
        model.model_version.CopyFrom(self.add(version, "models", model.id, "versions"))

    def GetModel(self) -> Any:
        return self.give(self._model(self.request.model_id, self.request.version_id))

    GetModelOutputInfo = GetModel

    def GetModelVersion(self) -> Any:
        """Give a version, or the latest if none is named, as the SDK expects."""
        return self.give(self._model(self.request.model_id, self.request.version_id).model_version)

    def ListModelConcepts(self) -> Any:
        model = self._model(self.request.model_id, self.request.version_id)
        return self.give(list(model.model_version.output_info.data.concepts))

    def _model(self, model_id: str, version_id: str = "") -> Any:
        """Copy a model, in the requested version or else the latest."""
        model = copy.deepcopy(self.existing(model_id, "models"))
        if version_id := version_id or model.model_version.id:
            version = self.existing(version_id, "models", model_id, "versions")
            model.model_version.CopyFrom(version)
        return model

    def PostModelOutputs(self) -> Any:
        return signatures.typed(self._outputs())

    StreamModelOutputs = PostModelOutputs

    def _outputs(self) -> Any:
        request = self.request
        version_id = request.version_id or request.model.model_version.id
        model = self._model(request.model_id or request.model.id, version_id)
        if request.model.model_version.output_info.HasField("output_config"):
            config = request.model.model_version.output_info.output_config
            model.model_version.output_info.output_config.MergeFrom(config)
        self.response.outputs.extend(signatures.predicted(model, item) for item in self._inputs())
        return self.response

    def GenerateModelOutputs(self) -> list[Any]:
        """Yield a text word by word, and anything else in one piece."""
        whole = self._outputs()
        words = [output.data.text.raw.split() for output in whole.outputs]
        pieces = []
        for number in range(max(map(len, words), default=0)):
            piece = copy.deepcopy(whole)
            for output, own in zip(piece.outputs, words, strict=True):
                output.data.text.raw = "".join(f"{word} " for word in own[number : number + 1])
            pieces.append(piece)
        return [signatures.typed(piece) for piece in pieces or [whole]]

    def _inputs(self) -> list[Any]:
        """List a request's inputs; one with an ID and no data is the app's."""
        inputs = list(self.request.inputs)
        if not 0 < len(inputs) <= resources.MAX_ITEMS:
            raise resources.invalid(f"inputs: from 1 to {resources.MAX_ITEMS} at a time.")
        for item in inputs:
            item.id = item.id or uuid.uuid4().hex
        return [
            item if item.HasField("data") else self.existing(item.id, "inputs") for item in inputs
        ]

    def PostWorkflows(self) -> Any:
        for workflow in self.request.workflows:
            for node in workflow.nodes:
                self._node_model(node)
            workflow.version.id = uuid.uuid4().hex
        response = self.plainly()
        for workflow in response.workflows:
            version = resources_pb2.WorkflowVersion(
                id=workflow.version.id, workflow_id=workflow.id, nodes=workflow.nodes
            )
            self.add(version, "workflows", workflow.id, "versions")
        return response

    def _node_model(self, node: Any) -> Any:
        own = self.request.user_app_id
        user_id, app_id = node.model.user_id or own.user_id, node.model.app_id or own.app_id
        if not auth.may_read(self.store, self.caller, user_id, app_id):
            raise auth.absent(f"model_id '{node.model.id}'")
        return resources.existing(self.store, app_path(user_id, app_id, "models"), node.model.id)

    def PostWorkflowResults(self) -> Any:
        workflow = self.existing(self.request.workflow_id, "workflows")
        if self.request.version_id:
            self.existing(self.request.version_id, "workflows", workflow.id, "versions")
        self.response.workflow.CopyFrom(workflow)
        models = [self._node_model(node) for node in workflow.nodes]
        for item in self._inputs():
            result = self.response.results.add(id=uuid.uuid4().hex, input=item)
            result.status.code, result.status.description = codes.SUCCESS, "Ok"
            result.created_at.GetCurrentTime()
            result.outputs.extend(predict.predict(model, item) for model in models)
        return self.response
