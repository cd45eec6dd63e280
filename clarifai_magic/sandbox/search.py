"""Searches an app's inputs and annotations: filters by contents, ranks by likeness.

A rank scores an input by its likeness to the requested text, URL, bytes or concept (see
`predict.likeness`; one of the input's own concepts scores 1), several ranks by their mean. A
filter keeps inputs with its concepts, metadata or content. If filters by concept keep nothing,
they rank instead: the live service also indexes inputs by concepts that no user added.
"""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_grpc.grpc.api import resources_pb2
from google.protobuf import json_format

from clarifai_magic.sandbox import auth, predict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.sandbox.state import Path, Store

_UNDERSTOOD = frozenset({"concepts", "metadata", "image", "text", "video", "audio"})


class _Candidate(NamedTuple):
    """An input with the annotations that count for it: all of its own, or one to find."""

    input: Any
    annotations: list[Any]

    def concepts(self) -> set[str]:
        data = [self.input.data, *(annotation.data for annotation in self.annotations)]
        return {name for each in data for c in each.concepts for name in (c.id, c.name)} - {""}


class _Term(NamedTuple):
    """One condition of a query."""

    data: Any
    input_id: str
    negate: bool

    def names(self) -> list[str]:
        return [concept.id or concept.name for concept in self.data.concepts]

    def keeps(self, candidate: _Candidate) -> bool:
        return self._fits(candidate) is not self.negate

    def _fits(self, candidate: _Candidate) -> bool:
        if unknown := {field.name for field, _ in self.data.ListFields()} - _UNDERSTOOD:
            raise auth.unsupported(f"search by {', '.join(sorted(unknown))}")
        content = b"".join(predict.contents(self.data))
        wanted = json_format.MessageToDict(self.data.metadata)
        return (
            self.input_id in ("", candidate.input.id)
            and candidate.concepts().issuperset(self.names())
            and wanted.items() <= json_format.MessageToDict(candidate.input.data.metadata).items()
            and content in (b"", b"".join(predict.contents(candidate.input.data)))
        )

    def score(self, candidate: _Candidate) -> float:
        have = predict.content_of(candidate.input.data)
        wanted = [b"".join(predict.contents(self.data)), *(n.encode() for n in self.names())]
        carried = candidate.concepts()
        scores = [
            1.0 if each.decode(errors="replace") in carried else predict.likeness(each, have)
            for each in wanted
            if each
        ]
        score = mean(scores or [1.0])
        return 1.0 - score if self.negate else score


def hits(store: Store, app: Path, query: Any, *, of_annotations: bool) -> list[Any]:
    """Search an app."""
    everything = list(_candidates(store, app, of_annotations=of_annotations))
    filters, ranks = list(_filters(query)), list(_ranks(query))
    kept = [each for each in everything if all(term.keeps(each) for term in filters)]
    if not kept and filters and all(term.data.concepts for term in filters):
        kept, ranks = everything, filters + ranks
    found = [
        resources_pb2.Hit(
            score=mean([term.score(each) for term in ranks] or [1.0]),
            input=each.input,
            annotation=each.annotations[0] if of_annotations else None,
            user_id=app[1],
            app_id=app[3],
        )
        for each in kept
    ]
    return sorted(found, key=lambda hit: -hit.score)


def _candidates(store: Store, app: Path, *, of_annotations: bool) -> Iterator[_Candidate]:
    annotations = store.items((*app, "annotations"))
    for item in store.items((*app, "inputs")):
        own = [each for each in annotations if each.input_id == item.id]
        if of_annotations:
            yield from (_Candidate(item, [each]) for each in own)
        else:
            yield _Candidate(item, own)


def _filters(query: Any) -> Iterator[_Term]:
    for each in (*query.filters, *query.ands):
        if each.HasField("annotation"):
            yield _Term(each.annotation.data, each.annotation.input_id, each.negate)
        if each.HasField("input"):
            yield _Term(each.input.data, each.input.id, each.negate)


def _ranks(query: Any) -> Iterator[_Term]:
    for rank in query.ranks:
        yield _Term(rank.annotation.data, "", rank.negate)
    for each in query.ands:
        if each.HasField("output"):
            yield _Term(each.output.data, "", each.negate)
            yield _Term(each.output.input.data, "", each.negate)
