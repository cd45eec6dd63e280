"""What the sandbox's models compute: plain facts about the input, the same every time.

No model is run and no URL fetched. An input is taken as words: those of its text, those of its
URL's path, or, for bytes, facts that can be read off them. From these:

- a classifier gives the most frequent words as concepts, each with its share of all words; bytes
  give their media type (1.0), their size and the share of ASCII letters. A model with concepts
  of its own gives each of them with its likeness to the input.
- a detector or segmenter gives one region, the middle half of the picture, with those concepts
- an embedder gives a 64-dimensional unit vector of letter-triple counts
- a colour model gives one colour, hashed from the input
- whatever gives text gives a sentence that says it is the sandbox's, and the words it found
- whatever gives an image gives a PNG of one pixel

Concept IDs begin with `sandbox-`, and each output's model is described as computed here.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import math
import re
import string
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.sandbox.auth import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DESCRIPTION = "Computed by the sandbox from the input alone; no model was run."
DIMENSIONS = 64

_CONCEPTS = 20
_READ = 2**20  # bytes of an input that are read as a text
_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def predict(model: Any, item: Any) -> Any:
    """Compute what a model gives for an input."""
    content = content_of(item.data)
    output = resources_pb2.Output(model=model, input=item)
    for medium in (output.input.data.image, output.input.data.video, output.input.data.audio):
        medium.ClearField("base64")  # nobody wants the bytes back
    output.id = hashlib.blake2b(content, digest_size=16).hexdigest()
    output.created_at.GetCurrentTime()
    output.status.code, output.status.description = status_code_pb2.SUCCESS, "Ok"
    output.model.description = DESCRIPTION
    kind = model.model_type_id
    compute = next((c for part, c in _COMPUTES.items() if part in kind), _classify)
    compute(model, content, output.data)
    if output.data.text.raw:
        output.prompt_tokens = len(words_of(content))
        output.completion_tokens = len(output.data.text.raw.split())
    return output


def content_of(data: Any) -> bytes:
    """Give the bytes that stand for an input: its own, its text, or its URL."""
    content = b"".join(contents(data))
    if not content:
        raise RefusedError(
            status_code_pb2.INPUT_UNSUPPORTED_FORMAT, "The input holds no text, URL or bytes."
        )
    return content


def contents(data: Any) -> Iterator[bytes]:
    """Give each thing that an input's data holds, as bytes."""
    yield data.text.raw.encode()
    yield data.string_value.encode()
    yield data.bytes_value
    for medium in (data.image, data.video, data.audio):
        yield medium.base64
    for medium in (data.image, data.video, data.audio, data.text):
        yield unquote(urlsplit(medium.url).path).encode()
    for part in data.parts:
        yield from contents(part.data)


def words_of(content: bytes) -> list[str]:
    """List the words of a text, in lower case; bytes that are no text have none."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content[:_READ])
    except UnicodeDecodeError:
        return []
    return re.findall(r"\b[^\W\d_]{2,40}\b", text.lower())


def media_type(content: bytes) -> str:
    """Tell a media type from the first bytes."""
    if content[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12], "video/x-msvideo")
    if content[4:8] == b"ftyp":
        return "video/mp4"
    return next(
        (kind for start, kind in _SIGNATURES if content.startswith(start)),
        "application/octet-stream",
    )


def embed(content: bytes) -> list[float]:
    """Turn bytes into a unit vector: how often each letter triple, hashed to 64 places, occurs."""
    text = b" " + content[: 2**12].lower() + b" "
    triples = Counter(text[i : i + 3] for i in range(len(text) - 2))
    vector = [0.01] * DIMENSIONS  # nothing is wholly unlike anything
    for triple, count in triples.items():
        vector[zlib.crc32(triple) % DIMENSIONS] += count
    length = math.hypot(*vector)
    return [value / length for value in vector]


def likeness(one: bytes, other: bytes) -> float:
    """Compare two contents: from 0 to 1."""
    return sum(a * b for a, b in zip(embed(one), embed(other), strict=True))


def facts(content: bytes) -> list[tuple[str, float]]:
    """Say what an input shows at first sight: names, and values from 0 to 1, largest first."""
    if words := words_of(content):
        counts = Counter(words)
        return [(word, n / len(words)) for word, n in counts.most_common(_CONCEPTS)]
    others = len(content.translate(None, string.ascii_letters.encode()))
    letters = 1.0 - others / len(content)
    known = [(media_type(content), 1.0), (f"{len(content)} bytes", 1.0), ("ASCII letters", letters)]
    return [(name, value) for name, value in known if value]


def _concepts(model: Any, content: bytes) -> list[Any]:
    info = model.model_version.output_info
    if own := info.data.concepts or model.output_info.data.concepts:
        concepts = [
            resources_pb2.Concept(
                id=c.id, name=c.name or c.id, app_id=model.app_id, value=_known(c, content)
            )
            for c in own
        ]
    else:
        concepts = [
            resources_pb2.Concept(
                id=f"sandbox-{re.sub(r'[^a-z0-9]+', '-', name)}",
                name=name,
                value=value,
                app_id="sandbox",
            )
            for name, value in facts(content)
        ]
    concepts.sort(key=lambda concept: -concept.value)
    config = info.output_config
    selected = {name for c in config.select_concepts for name in (c.id, c.name) if name}
    return [
        concept
        for concept in concepts
        if concept.value >= config.min_value
        and (not selected or selected & {concept.id, concept.name})
    ][: config.max_concepts or None]


def _known(concept: Any, content: bytes) -> float:
    return likeness((concept.name or concept.id).encode(), content)


def _classify(model: Any, content: bytes, result: Any) -> None:
    result.concepts.extend(_concepts(model, content))


def _detect(model: Any, content: bytes, result: Any) -> None:
    concepts = _concepts(model, content)
    region = result.regions.add(
        id="sandbox-region", value=max((c.value for c in concepts), default=0)
    )
    box = region.region_info.bounding_box
    box.top_row = box.left_col = 0.25
    box.bottom_row = box.right_col = 0.75
    region.data.concepts.extend(concepts)


def _embed(_model: Any, content: bytes, result: Any) -> None:
    result.embeddings.add(vector=embed(content), num_dimensions=DIMENSIONS)


def _colour(_model: Any, content: bytes, result: Any) -> None:
    shade = f"#{zlib.crc32(content) & 0xFFFFFF:06x}"
    result.colors.add(raw_hex=shade, value=1.0).w3c.CopyFrom(
        resources_pb2.W3C(hex=shade, name="hashed from the input")
    )


def _write(_model: Any, content: bytes, result: Any) -> None:
    words = words_of(content)
    found = ", ".join(name for name, _ in facts(content)[:5])
    measure = f"{len(words)} words" if words else f"{len(content)} bytes"
    result.text.raw = (
        "This is the sandbox, not a language model. "
        f"Your input has {measure}; what shows most: {found}."
    )


def _paint(_model: Any, _content: bytes, result: Any) -> None:
    result.image.base64 = _PIXEL
    result.image.image_info.format = "PNG"
    result.image.image_info.width = result.image.image_info.height = 1


# By a part of the model type's ID; the first that fits.
_COMPUTES: dict[str, Callable[[Any, bytes, Any], None]] = {
    "embed": _embed,
    "detect": _detect,
    "segment": _detect,
    "color": _colour,
    "to-text": _write,
    "to-image": _paint,
}
