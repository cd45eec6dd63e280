"""What the sandbox's models compute: plain facts about the input, the same every time.

They run no model and fetch no URL. An input counts as words: those of its text, those of its
URL's path, or, for bytes, facts about them. From these:

- a classifier gives the most frequent words as concepts, each with its share of all words; bytes
  give their media type (1.0), their size and the share of ASCII letters. A model with concepts
  of its own gives each of them with its likeness to the input.
- a detector or segmenter gives one region, the middle half of the picture, with those concepts
- an embedder gives a 64-dimensional unit vector of letter-triple counts
- a colour model gives one colour, hashed from the input
- a model that returns text gives a sentence that says it is the sandbox's, and the words it found
- a model that returns an image gives a one-pixel PNG

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
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from clarifai_grpc.grpc.api import resources_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2 as codes
from google.protobuf import json_format

from clarifai_magic.sandbox.auth import RefusedError

DESCRIPTION = "Computed by the sandbox from the input alone; no model was run."
DIMENSIONS = 64

_CONCEPTS = 20
_READ = 2**20  # bytes of an input to read as a text
_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"", "application/octet-stream"),
)
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def predict(model: Any, item: Any) -> Any:
    """Compute a model's output for an input."""
    content = content_of(item.data)
    output = resources_pb2.Output(model=model, input=item)
    _drop_bytes(output.input.data)  # not needed in the response
    output.model.model_version.ClearField("method_signatures")
    output.id = hashlib.blake2b(content, digest_size=16).hexdigest()
    output.created_at.GetCurrentTime()
    output.status.code, output.status.description = codes.SUCCESS, "Ok"
    output.model.description = DESCRIPTION
    compute, _ = _kind(model.model_type_id)
    frame = output.data.frames.add(frame_info={}) if item.data.HasField("video") else output
    compute(model, content, frame.data)
    if output.data.text.raw:
        output.prompt_tokens = len(words_of(content))
        output.completion_tokens = len(output.data.text.raw.split())
    return output


def gives(kind: str) -> str:
    """Name a result's type in method signatures; empty if it has none."""
    return _kind(kind)[1]


def _drop_bytes(data: Any) -> None:
    for medium in (data.image, data.video, data.audio):
        if medium.base64:
            medium.base64 = b"true"  # as the live service indicates that there were some
    for part in data.parts:
        _drop_bytes(part.data)


def content_of(data: Any) -> bytes:
    """Give the bytes of an input: its own, its text, or its URL."""
    content = b" ".join(filter(None, contents(data)))
    if not content:
        raise RefusedError(codes.INPUT_UNSUPPORTED_FORMAT, "The input holds no text, URL or bytes.")
    return content


def contents(data: Any) -> Iterator[bytes]:
    """Give each item in an input's data, as bytes."""
    yield data.text.raw.encode()
    yield data.string_value.encode()
    yield data.bytes_value
    for medium in (data.image, data.video, data.audio):
        yield medium.base64
    for medium in (data.image, data.video, data.audio, data.text):
        yield unquote(urlsplit(medium.url).path).encode()
    yield from _said(json_format.MessageToDict(data.struct_value))
    for part in [each for each in data.parts if each.id != "tool_choice"]:  # no words to read
        yield from contents(part.data)


def _said(message: Any) -> Iterator[bytes]:
    """Give the texts of a chat's message: its content, or the texts of that content's parts."""
    if isinstance(message, str):
        yield message.encode()
    for part in message if isinstance(message, list) else []:
        yield from _said(part)
    if isinstance(message, dict):
        yield from _said(message.get("content") or message.get("text"))


def words_of(content: bytes) -> list[str]:
    """List the words of a text, in lower case; bytes that are not text have none."""
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
    return next(kind for start, kind in _SIGNATURES if content.startswith(start))


def embed(content: bytes) -> list[float]:
    """Turn bytes into a unit vector: how often each letter triple, hashed to 64 places, occurs."""
    text = b" " + content[: 2**12].lower() + b" "
    triples = Counter(text[i : i + 3] for i in range(len(text) - 2))
    vector = [0.01] * DIMENSIONS  # no likeness is zero
    for triple, count in triples.items():
        vector[zlib.crc32(triple) % DIMENSIONS] += count
    length = math.hypot(*vector)
    return [value / length for value in vector]


def likeness(one: bytes, other: bytes) -> float:
    """Compare two contents: from 0 to 1."""
    return sum(a * b for a, b in zip(embed(one), embed(other), strict=True))


def facts(content: bytes) -> list[tuple[str, float]]:
    """Describe an input's contents: names, and values from 0 to 1, largest first."""
    if words := words_of(content):
        counts = Counter(words)
        return [(word, n / len(words)) for word, n in counts.most_common(_CONCEPTS)]
    others = len(content.translate(None, string.ascii_letters.encode()))
    letters = 1.0 - others / len(content)
    known = [(media_type(content), 1.0), (f"{len(content)} bytes", 1.0), ("ASCII letters", letters)]
    return [(name, value) for name, value in known if value]


def _concepts(model: Any, content: bytes) -> list[Any]:
    info = model.model_version.output_info
    user_id = app_id = "sandbox"
    found = [(f"sandbox-{re.sub(r'[^a-z0-9]+', '-', name)}", name, n) for name, n in facts(content)]
    if own := info.data.concepts or model.output_info.data.concepts:
        user_id, app_id = model.user_id, model.app_id
        named = [(c.id, c.name or c.id) for c in own]
        found = [(each, name, likeness(name.encode(), content)) for each, name in named]
    concepts = [
        resources_pb2.Concept(id=each, name=name, value=value, app_id=app_id, user_id=user_id)
        for each, name, value in found
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


def _classify(model: Any, content: bytes, result: Any) -> None:
    result.concepts.extend(_concepts(model, content))


def _detect(model: Any, content: bytes, result: Any) -> None:
    concepts = _concepts(model, content)
    largest = max((concept.value for concept in concepts), default=0)
    region = result.regions.add(id="sandbox-region", value=largest)
    box = region.region_info.bounding_box
    box.top_row = box.left_col = 0.25
    box.bottom_row = box.right_col = 0.75
    region.data.concepts.extend(concepts)


def _embed(_model: Any, content: bytes, result: Any) -> None:
    result.embeddings.add(vector=embed(content), num_dimensions=DIMENSIONS)


def _colour(_model: Any, content: bytes, result: Any) -> None:
    shade = f"#{zlib.crc32(content) & 0xFFFFFF:06x}"
    named = resources_pb2.W3C(hex=shade, name="hashed from the input")
    result.colors.add(raw_hex=shade, value=1.0, w3c=named)


def _write(_model: Any, content: bytes, result: Any) -> None:
    words = words_of(content)
    found = ", ".join(name for name, _ in facts(content)[:5])
    result.text.text_info.encoding = "UnknownTextEnc"
    measure = f"{len(words)} words" if words else f"{len(content)} bytes"
    result.text.raw = (
        "This is the sandbox, not a language model. "
        f"Your input has {measure}; strongest features: {found}."
    )


def _paint(_model: Any, _content: bytes, result: Any) -> None:
    result.image.base64 = _PIXEL
    result.image.image_info.format = "PNG"
    result.image.image_info.width = result.image.image_info.height = 1


_Compute = Callable[[Any, bytes, Any], None]
# By a part of the model type's ID, first match: the function, and the result's type.
_KINDS: dict[str, tuple[_Compute, str]] = {
    "embed": (_embed, "NDARRAY"),
    "detect": (_detect, "LIST REGION"),
    "segment": (_detect, "LIST REGION"),
    "color": (_colour, ""),
    "to-text": (_write, "STR"),
    "to-image": (_paint, "IMAGE"),
    "": (_classify, "LIST CONCEPT"),
}


def _kind(model_type: str) -> tuple[_Compute, str]:
    return next(kind for part, kind in _KINDS.items() if part in model_type)
