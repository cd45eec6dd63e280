"""Listing, getting, posting, patching and deleting: one rule for every kind of resource.

A method's descriptor says where its resources are, and which fields hold them: a method
whose REST path ends in `/models/{model_id}/versions` works on the collection at that path.
"""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes

from clarifai_magic.api import scopes
from clarifai_magic.sandbox import auth
from clarifai_magic.sandbox.auth import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clarifai_magic.sandbox.state import Path, Store

_PER_PAGE = 20
_MAX_PER_PAGE = 1000
MAX_ITEMS = 128  # in one request that adds or changes

_VERBS = ("List", "Get", "Post", "Patch", "Delete")
_APP = "users/{user_app_id.user_id}/apps/{user_app_id.app_id}"
# Methods whose REST path differs from their resources' place.
_ELSEWHERE = {
    "GetAnnotation": f"{_APP}/annotations/{{annotation_id}}",
    "DeleteAnnotation": f"{_APP}/annotations/{{annotation_id}}",
    "DeleteAnnotations": f"{_APP}/annotations",
    "DeleteAnnotationTracks": f"{_APP}/inputs/{{input_id}}/annotation_tracks",
    "PatchAppsDetails": "users/{user_app_id.user_id}/apps",
}
# Fields of a list's request that do not filter what the sandbox stores.
_NO_FILTER = {
    *("user_app_id", "page", "per_page", "additional_fields", "sort_ascending"),
    *("list_all_annotations", "return_model_output", "dont_fetch_from_main"),
    *("trained_only", "show_replicas", "not_expired", "sort_by_relevance"),
}
_SEARCHED = ("id", "name", "display_name", "description", "notes")


@dataclass(frozen=True)
class Shape:
    """A method's action and collection."""

    verb: str
    template: Path  # the collection's, with {variables}
    variable: str  # the request's field with the one ID; empty for a method on many
    field: str  # the resources' field or, for a deletion of many, that of their IDs


def _has_id(field: Any) -> bool:
    return field.message_type is not None and "id" in field.message_type.fields_by_name


def _is_resource(field: Any) -> bool:
    return _has_id(field) or field.message_type is resources_pb2.DatasetInput.DESCRIPTOR


@cache
def shape(method: str) -> Shape | None:
    """Read a method's action from its descriptor; None if it is not of this kind."""
    descriptor = scopes.methods()[method]
    verb = next((verb for verb in _VERBS if method.startswith(verb)), "")
    path = _ELSEWHERE.get(method) or scopes.routes(method)[0].path.removeprefix("/v2/")
    *parents, last = path.split("/")
    one = last.startswith("{")
    takes, gives = descriptor.input_type.fields, descriptor.output_type.fields_by_name
    both = [f for f in takes if scopes.is_repeated(f) and _has_id(f) and f.name in gives]
    fields = {
        ("List", False): [f for f in gives.values() if scopes.is_repeated(f) and _is_resource(f)],
        ("Get", True): [f for f in gives.values() if not scopes.is_repeated(f) and _is_resource(f)],
        ("Post", False): both,
        ("Patch", False): both,
        ("Delete", False): [f for f in takes if scopes.is_repeated(f) and not f.message_type],
        ("Delete", True): [*takes],
    }.get((verb, one))
    if not fields or descriptor.server_streaming:
        return None
    if one:
        return Shape(verb, tuple(parents), last.strip("{}"), fields[0].name)
    return Shape(verb, (*parents, last), "", fields[0].name)


def carry_out(store: Store, caller: auth.Caller, shape: Shape, request: Any, response: Any) -> Any:
    """Apply a method's action to a collection."""
    path = located(store, shape, request)
    if shape.verb == "List":
        places = {segment.strip("{}") for segment in shape.template if "{" in segment}
        items = chosen(visible(store, caller, path), request, places)
        getattr(response, shape.field).extend(paged(items, request))
    elif shape.verb == "Get":
        item = existing(store, path, attrgetter(shape.variable)(request))
        getattr(response, shape.field).CopyFrom(item)
    elif shape.verb == "Delete":
        _delete(store, path, shape, request)
    elif len(items := getattr(request, shape.field)) > MAX_ITEMS:
        raise invalid(f"{shape.field}: at most {MAX_ITEMS} at a time.")
    elif shape.verb == "Post":
        getattr(response, shape.field).extend(add(store, caller, path, items))
    else:
        getattr(response, shape.field).extend(patch(store, path, items, request.action))
    return response


def invalid(details: str) -> RefusedError:
    """Make the refusal for a nonsensical request."""
    return RefusedError(codes.CONN_INVALID_REQUEST, details)


def located(store: Store, shape: Shape, request: Any) -> Path:
    """Fill in a template, and check that all its resources exist; a list may omit IDs."""
    path: Path = ()
    for segment in shape.template:
        value = attrgetter(segment.strip("{}"))(request) if "{" in segment else segment
        if not value and shape.verb != "List":
            raise invalid(f"{segment.strip('{}')} must be set.")
        if value and "{" in segment:
            existing(store, path, value)
        path = (*path, value)
    return path


def existing(store: Store, path: Path, item_id: str) -> Any:
    """Give an item that must exist; otherwise 11101 or the kind's own code.

    A model has its own code too, but the live service returns 11101.
    """
    for _, items in store.collections(path):
        if item_id in items:
            return items[item_id]
    kind = _kind(path)
    named = codes.StatusCode.DESCRIPTOR.values_by_name
    own = named.get(f"{kind.upper()}_DOES_NOT_EXIST") if kind != "model" else None
    shown = f"{kind}_id '{item_id}'" if kind != "key" else "key_id"  # which is the key itself
    raise auth.absent(shown, own.number if own else codes.CONN_DOES_NOT_EXIST)


def _kind(path: Path) -> str:
    """Name the kind of a collection: `model`, `model_version`."""
    words = [word.removesuffix("s") for word in path[:1] + path[2::2] if word]
    return "_".join(words[-2:]) if words[-1] == "version" else words[-1]


def visible(store: Store, caller: auth.Caller, pattern: Path) -> list[Any]:
    """List a path's items, without the apps that the caller may not see."""
    app_at = 3  # ("users", user, "apps", app, …)
    return [
        item
        for path, items in store.collections(pattern)
        for item_id, item in items.items()
        if path[2:app_at] != ("apps",)
        or auth.may_read(store, caller, path[1], (*path, item_id)[app_at])
    ]


def chosen(items: Iterable[Any], request: Any, places: Iterable[str] = ()) -> list[Any]:
    """Filter and sort a list by its request; refuse unsupported filters.

    Fields that say where the list is (`places`) are not filters.
    """
    kept = list(items)
    for field, value in request.ListFields():
        if field.name in _NO_FILTER.union(places):
            continue
        if field.name.startswith("sort_by_"):
            by = field.name.removeprefix("sort_by_")
            kept.sort(key=lambda item: _comparable(item, by), reverse=not request.sort_ascending)
        else:
            kept = [item for item in kept if _matches(item, field, value)]
    return kept


def _comparable(item: Any, name: str) -> Any:
    if name not in item.DESCRIPTOR.fields_by_name:
        raise auth.unsupported(f"filter by sort_by_{name}")
    value = getattr(item, name)
    return value.ToNanoseconds() if hasattr(value, "ToNanoseconds") else value


def _matches(item: Any, field: Any, value: Any) -> bool:
    name, known = field.name, item.DESCRIPTOR.fields_by_name
    if name in ("search", "query", "search_term"):
        texts = [getattr(item, each) for each in _SEARCHED if each in known]
        return any(value.casefold() in text.casefold() for text in texts)
    if scopes.is_repeated(field) and name.removesuffix("s") in known:
        return getattr(item, name.removesuffix("s")) in value
    if name == "statuses" or name not in known:
        raise auth.unsupported(f"filter by {name}")
    have = getattr(item, name)
    if scopes.is_repeated(field):
        return set(value) <= set(have)
    if isinstance(value, str):
        return fnmatchcase(have.casefold(), value.casefold())
    return bool(have.code == value.code if hasattr(value, "code") else have == value)


def paged(items: list[Any], request: Any) -> list[Any]:
    """Cut one page out of a list: `page` counts from 1, `per_page` is 20 by default."""
    pages = request.pagination if hasattr(request, "pagination") else request
    size = getattr(pages, "per_page", 0) or _PER_PAGE
    if size > _MAX_PER_PAGE:
        raise invalid(f"per_page: at most {_MAX_PER_PAGE}.")
    start = (max(getattr(pages, "page", 1), 1) - 1) * size
    return items[start : start + size]


def add(store: Store, caller: auth.Caller, path: Path, items: Iterable[Any]) -> list[Any]:
    """Add new items to a collection: all of them, or none."""
    new = [_completed(caller, path, item) for item in items]
    ids = [item.id for item in new]
    for item_id in ids:
        if store.get(path, item_id) is not None or ids.count(item_id) > 1:
            raise _duplicate(_kind(path), item_id)
    for item in new:
        store.put(path, item.id, item)
    return new


def _duplicate(kind: str, item_id: str) -> RefusedError:
    """Make the refusal for an existing ID: the kind's own code, or 11102."""
    own = codes.StatusCode.DESCRIPTOR.values_by_name.get(f"{kind.upper()}_DUPLICATE")
    if own is None:
        return invalid(f"{kind} '{item_id}' exists.")
    return RefusedError(own.number, f"{kind.capitalize()} has a duplicate ID.")


_SUCCESS = {
    "Input": (codes.INPUT_DOWNLOAD_SUCCESS, "Download complete"),
    "Annotation": (codes.ANNOTATION_SUCCESS, "Annotation success"),
    "ModelVersion": (codes.MODEL_TRAINED, "Model is trained and ready"),
    "DatasetVersion": (codes.DATASET_VERSION_READY, "Dataset version is ready"),
}


def _completed(caller: auth.Caller, path: Path, item: Any) -> Any:
    new = copy.deepcopy(item)
    known = item.DESCRIPTOR.fields_by_name
    new.id = new.id or uuid.uuid4().hex
    owners = dict(zip(("user_id", "app_id"), path[1:4:2], strict=False))
    if annotated := item.DESCRIPTOR.name == "Annotation":
        owners["user_id"] = caller.user_id
    for name, value in owners.items():
        if name in known:
            setattr(new, name, value)
    if "visibility" in known and not new.visibility.gettable:
        new.visibility.gettable = resources_pb2.Visibility.PRIVATE
    if item.DESCRIPTOR.name in _SUCCESS and not (annotated and new.status.code):
        new.status.code, new.status.description = _SUCCESS[item.DESCRIPTOR.name]
    for name in ("created_at", "modified_at"):
        if name in known:
            getattr(new, name).GetCurrentTime()
    return new


def patch(store: Store, path: Path, items: Iterable[Any], action: str) -> list[Any]:
    """Change items of a collection, all or none; no action means `overwrite`."""
    if action not in ("", "merge", "remove", "overwrite"):
        raise invalid(f"action '{action}' is none of merge, overwrite, remove.")
    pairs = [(existing(store, path, item.id), item) for item in items]
    for target, change in pairs:
        _apply(target, change, action or "overwrite")
        if "modified_at" in target.DESCRIPTOR.fields_by_name:
            target.modified_at.GetCurrentTime()
    return [target for target, _ in pairs]


def _apply(target: Any, change: Any, action: str) -> None:
    for field, value in change.ListFields():
        have = getattr(target, field.name)
        if scopes.is_repeated(field):
            _apply_list(have, value, action, by_id=_has_id(field))
        elif field.message_type is None:
            if field.name not in ("id", "user_id", "app_id"):
                setattr(target, field.name, value if action != "remove" else field.default_value)
        elif field.message_type.full_name == "google.protobuf.Struct":
            _apply_struct(have, value, action)
        else:
            have.SetInParent()
            _apply(have, value, action)


def _apply_list(have: Any, change: Any, action: str, *, by_id: bool) -> None:
    names = [item.id if by_id else item for item in change]
    kept = [item for item in have if (item.id if by_id else item) not in names]
    new = {"overwrite": [*change], "merge": [*kept, *change], "remove": kept}[action]
    copies = copy.deepcopy(new)
    del have[:]
    have.extend(copies)


def _apply_struct(have: Any, change: Any, action: str) -> None:
    if action == "overwrite":
        have.CopyFrom(change)
    for name, value in change.fields.items():
        if action == "merge":
            have.fields[name].CopyFrom(value)
        elif action == "remove":
            have.fields.pop(name, None)


def _delete(store: Store, path: Path, shape: Shape, request: Any) -> None:
    if shape.variable:
        ids = [attrgetter(shape.variable)(request)]
    elif getattr(request, "delete_all", False):
        ids = [item.id for item in store.items(path)]
    else:
        ids = list(getattr(request, shape.field))
    for item_id in ids:
        existing(store, path, item_id)
    for item_id in ids:
        store.delete(path, item_id)
