"""The sandbox's initial contents: people, apps, keys and a catalogue of public models."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields
from typing import Any

from clarifai_grpc.grpc.api import resources_pb2

from clarifai_magic.sandbox import auth, resources, signatures
from clarifai_magic.sandbox.state import USERS, Path, Store, app_path, user_path

USER_ID = "alice"
APP_ID = "main"
PUBLIC = resources_pb2.Visibility(gettable=resources_pb2.Visibility.PUBLIC)

READING = (
    *("Predict", "Search", "Apps:Get", "Models:Get", "Workflows:Get"),
    *("Concepts:Get", "Inputs:Get", "Annotations:Get", "Datasets:Get"),
)


def _secret() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, repr=False)
class Keys:
    """The keys of a sandbox: 32 hexadecimal digits each, new for every sandbox (see `ABOUT`)."""

    pat: str = field(default_factory=_secret)
    scoped_pat: str = field(default_factory=_secret)
    api_key: str = field(default_factory=_secret)
    scoped_api_key: str = field(default_factory=_secret)
    revoked_key: str = field(default_factory=_secret)
    other_pat: str = field(default_factory=_secret)
    carol_pat: str = field(default_factory=_secret)

    def __repr__(self) -> str:
        return f"Keys({', '.join(f'{each.name}=…' for each in fields(self))})"


ABOUT = {
    "pat": "alice's PAT, with all scopes",
    "scoped_pat": "alice's PAT for reading and predicting; it may not call GetUser",
    "api_key": "API key of alice's app main, with all scopes",
    "scoped_api_key": "API key of alice's app main, for reading and predicting",
    "revoked_key": "a revoked key",
    "other_pat": "bob's PAT",
    "carol_pat": "carol's PAT",
}
PEOPLE = {
    "alice": "apps main, recipes",
    "bob": "app attic, which is private",
    "carol": "300 apps",
    "acme": "an organisation of which alice is a member: apps catalog, press",
    "clarifai": "app main, which is public: models and workflows of the documentation",
}

# Public models that Clarifai's documentation uses: owner and app; type; IDs.
CATALOGUE = {
    "clarifai/main": {
        "visual-classifier": (
            "general-image-recognition aaa03c23b3724a16a56b629203edc62c celebrity-face-recognition "
            "food-item-recognition apparel-recognition travel-recognition moderation-recognition "
            "nsfw-recognition"
        ),
        "visual-detector": (
            "general-image-detection face-detection apparel-detection ocr-scene-english-paddleocr"
        ),
        "visual-embedder": "general-image-embedding image-embedder-clip",
        "visual-color-recognizer": "color-recognition",
        "visual-segmenter": "image-subject-segmentation",
        "text-classifier": "moderation-multilingual-text-classifier sentiment-analysis-distilbert",
        "text-embedder": "text-embedding",
        "audio-to-text": "asr-wav2vec2-base-960h-english",
    },
    "openai/chat-completion": {
        "text-to-text": "GPT-4 gpt-oss-20b gpt-oss-120b",
        "multimodal-to-text": "gpt-4o",
    },
    "openai/embed": {"text-embedder": "text-embedding-ada"},
    "facebook/asr": {"audio-to-text": "asr-wav2vec2-large-robust-ft-swbd-300h-english"},
    "facebook/translation": {"text-to-text": "text-translation-english-spanish"},
    "deepseek-ai/deepseek-chat": {"text-to-text": "DeepSeek-R1-0528-Qwen3-8B"},
    "meta/Llama-3": {"text-to-text": "Llama-3_2-3B-Instruct"},
    "meta/Llama-2": {"text-to-text": "llama2-70b-chat"},
    "mistralai/completion": {"text-to-text": "mistral-7B-Instruct"},
    "cohere/summarize": {"text-to-text": "cohere-summarize"},
    "stability-ai/stable-diffusion-2": {"text-to-image": "stable-diffusion-xl"},
    "salesforce/blip": {"image-to-text": "general-english-image-caption-blip"},
}

# Versions that samples name by ID.
VERSIONS = {"general-image-recognition": "aa7f35c01e0642fda5cf400f543e7c40"}

# Public workflows, and the models that their nodes run.
WORKFLOWS = {
    "General": ("general-image-recognition", "general-image-embedding"),
    "Face-Detection": ("face-detection",),
    "Color": ("color-recognition",),
    "Food": ("food-item-recognition",),
    "Travel": ("travel-recognition",),
    "Moderation": ("moderation-recognition",),
    "Text-Moderation": ("moderation-multilingual-text-classifier",),
}

CONCEPTS = ("people", "dog", "cat", "train", "mountain", "food")
# An input's ID, its URL or text, and its annotated concept.
INPUTS = (
    ("metro-north", "https://samples.clarifai.com/metro-north.jpg", "train"),
    ("family", "https://samples.clarifai.com/family-people.jpg", "people"),
    ("dog", "https://samples.clarifai.com/dog-on-a-mountain.jpg", "dog"),
    ("note", "A dog and a cat on a train to the mountain.", "cat"),
)


def planted() -> tuple[Store, Keys]:
    """Make a new sandbox's contents."""
    store, keys = Store(), Keys()
    store.organizations["acme"] = "Acme Corporation"
    store.members["acme"] = {USER_ID}
    for user_id in PEOPLE:
        _add(store, USERS, resources_pb2.User(id=user_id, first_name=user_id.capitalize()))
    for address in ("alice/main", "alice/recipes", "bob/attic", "acme/catalog", "acme/press"):
        _fill(store, _app(store, *address.split("/")))
    for number in range(300):
        _app(store, "carol", f"app-{number:03}")
    _add_catalogue(store)
    _add_keys(store, keys)
    return store, keys


def _add(store: Store, path: Path, *items: Any) -> list[Any]:
    return resources.add(store, auth.Caller(path[1] if path[1:] else "", None), path, items)


def _app(store: Store, user_id: str, app_id: str, visibility: Any = None) -> Path:
    app = resources_pb2.App(
        id=app_id, name=app_id, default_workflow_id="General", visibility=visibility
    )
    _add(store, user_path(user_id, "apps"), app)
    return app_path(user_id, app_id)


def _fill(store: Store, app: Path) -> None:
    """Put concepts, annotated inputs, a model and a workflow into an app."""
    concepts = [resources_pb2.Concept(id=name, name=name, language="en") for name in CONCEPTS]
    _add(store, (*app, "concepts"), *concepts)
    for input_id, content, concept in INPUTS:
        is_url = content.startswith("https:")
        data = {"image": {"url": content}} if is_url else {"text": {"raw": content}}
        item = resources_pb2.Input(id=input_id, data=data)
        annotation = resources_pb2.Annotation(id=f"{input_id}-{concept}", input_id=input_id)
        annotation.data.concepts.add(id=concept, name=concept, value=1.0)
        _add(store, (*app, "inputs"), item)
        _add(store, (*app, "annotations"), annotation)
    pets = [concept for concept in concepts if concept.id in ("dog", "cat")]
    _add_model(store, app, "pets", "visual-classifier", pets)
    _add_workflow(store, app, "pets-workflow", "pets")


def _add_model(store: Store, app: Path, model_id: str, kind: str, concepts: Any = ()) -> None:
    visibility = store.get(app[:3], app[3]).visibility
    model = resources_pb2.Model(
        id=model_id, name=model_id, model_type_id=kind, visibility=visibility
    )
    version = resources_pb2.ModelVersion(id=VERSIONS.get(model_id, ""), visibility=visibility)
    version.output_info.data.concepts.extend(concepts)
    signatures.describe(model, version)
    [added] = _add(store, (*app, "models", model_id, "versions"), version)
    model.model_version.CopyFrom(added)
    _add(store, (*app, "models"), model)


def _add_workflow(store: Store, app: Path, workflow_id: str, *models: str) -> None:
    visibility = store.get(app[:3], app[3]).visibility
    workflow = resources_pb2.Workflow(id=workflow_id, visibility=visibility)
    for model_id in models:
        workflow.nodes.add(id=model_id).model.CopyFrom(store.get((*app, "models"), model_id))
    version = resources_pb2.WorkflowVersion(workflow_id=workflow_id)
    [added] = _add(store, (*app, "workflows", workflow_id, "versions"), version)
    workflow.version.CopyFrom(added)
    _add(store, (*app, "workflows"), workflow)


def _add_catalogue(store: Store) -> None:
    for place, models in CATALOGUE.items():
        user_id, app_id = place.split("/")
        if store.get(USERS, user_id) is None:
            _add(store, USERS, resources_pb2.User(id=user_id, first_name=user_id.capitalize()))
        app = _app(store, user_id, app_id, PUBLIC)
        for kind, model_ids in models.items():
            for model_id in model_ids.split():
                _add_model(store, app, model_id, kind)
    for workflow_id, models_of_nodes in WORKFLOWS.items():
        _add_workflow(store, app_path("clarifai", "main"), workflow_id, *models_of_nodes)


def _add_keys(store: Store, keys: Keys) -> None:
    for user_id, secret, scopes, app_id in (
        (USER_ID, keys.pat, ("All",), ""),
        (USER_ID, keys.scoped_pat, READING, ""),
        (USER_ID, keys.api_key, ("All",), APP_ID),
        (USER_ID, keys.scoped_api_key, READING, APP_ID),
        ("bob", keys.other_pat, ("All",), ""),
        ("carol", keys.carol_pat, ("All",), ""),
    ):
        kind = auth.API_KEY if app_id else auth.PAT
        key = resources_pb2.Key(id=secret, type=kind, scopes=scopes)
        if app_id:
            key.apps.add(id=app_id, user_id=user_id)
        _add(store, user_path(user_id, "keys"), key)
