"""What Clarifai's documentation shows of answers, beside what the sandbox answers to the same.

    python tests/documented.py FOLDER …

A folder holds a copy of documentation. Markdown shows an answer in JSON after a curl command; a
file of an answer, in JSON or in protobuf's text format, has the request in a `.sh` of its name, or
tells by its model and input what was asked. IDs of the writers' own are put right: the sandbox has
others. Told are the fields that an answer of the sandbox lacks, or has of another type; fields that
today's API does not have are counted apart.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from google.protobuf import text_format

from clarifai_magic.api import scopes
from clarifai_magic.api.addresses import at
from clarifai_magic.api.transcoding import to_json
from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
ADDRESS = re.compile(r"(?:https?://[^/\s\"']+)?(/v2/[^\s\"'\\]+)")
SHOWN = {  # in protobuf's text format, and the field of a response that it is a part of
    resources_pb2.Output: "outputs",
    service_pb2.MultiOutputResponse: "",
    resources_pb2.WorkflowResult: "results",
}
OWN = re.compile(r"[<{$]|YOUR_|^[a-z_]*id$")  # what stands for an ID of the reader's


class Example(NamedTuple):
    """An answer that documentation shows, and the request to which it is one."""

    place: str
    answer: Any
    verb: str
    path: str
    body: Any


def examples(folder: Path) -> Iterator[Example]:
    """Find the answers that are shown; one without a request has no path."""
    commands = {path.stem: path.read_text() for path in folder.rglob("*.sh")}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".md", ".mdx"):
            command = ""
            for block in FENCED.findall(path.read_text(errors="replace")):
                if answer := _shown(block):
                    yield Example(path.name, answer, *_asked(command, answer))
                command = block if "curl" in block else command
        elif path.suffix in (".js", ".json", ".txt") and (answer := _shown(path.read_text())):
            yield Example(path.name, answer, *_asked(commands.get(path.stem, ""), answer))


def _shown(text: str) -> Any:
    """Read an answer, if a text is one."""
    try:
        answer = json.loads(
            re.sub(r",?\s*\.\.\.\s*(?=[\]}])|^ *//.*$", "", text, flags=re.MULTILINE)
        )
    except ValueError:
        answer = _parsed(text)
    return answer if isinstance(answer, dict) and {"status", "choices"} & answer.keys() else None


def _parsed(text: str) -> Any:
    parsed = []
    for kind, field in SHOWN.items():
        with contextlib.suppress(text_format.ParseError):
            message = text_format.Parse(text, kind(), allow_unknown_field=True)
            parsed.append((message.ByteSize(), field, json.loads(to_json(message))))
    size, field, shown = max(parsed, default=(0, "", None), key=itemgetter(0))
    return ({"status": {}, field: [shown]} if field else shown) if size else None


def _asked(command: str, answer: Any) -> tuple[str, str, Any]:
    """Read a curl command, or else what the answer tells of its request."""
    address = ADDRESS.findall(command)
    body = re.search(r"(?:-d|--data(?:-raw)?)\s*'(.*)'", command, re.DOTALL)
    if address:
        verb = re.search(r"-X\s*\"?(\w+)", command)
        try:
            content = json.loads(re.sub(r"'\"\$\(.*?\)\"'", "YQ==", body[1])) if body else None
        except ValueError:
            return "", "", None
        return (verb[1] if verb else "POST" if body else "GET"), address[-1], content
    for output in answer.get("outputs", []):
        if {"model", "input"} <= output.keys():
            model = output["model"]
            path = (
                f"/v2/users/{model['user_id']}/apps/{model['app_id']}/models/{model['id']}/outputs"
            )
            return "POST", path, {"inputs": [{"data": output["input"]["data"]}]}
    for result in answer.get("results", []):
        path = "/v2/users/clarifai/apps/main/workflows/General/results"
        return "POST", path, {"inputs": [{"data": result["input"]["data"]}]}
    return "", "", None


class Asking:
    """Asks a sandbox as documentation does, with IDs that the sandbox has."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._base = sandbox.base
        self._headers = {"Authorization": f"Key {sandbox.keys.pat}"}

    def get(self, path: str) -> Any:
        return requests.get(self._base + path, headers=self._headers, timeout=20).json()

    def answer(self, example: Example) -> Any:
        body = example.body and {"json": self._own(example.body, "")}
        address = self._base + self._placed(example.path)
        answer = requests.request(
            example.verb, address, headers=self._headers, timeout=20, **(body or {})
        )
        return answer.json()

    def _placed(self, path: str) -> str:
        """Have a path name an app, and everything on it be there."""
        path, _, query = path.removeprefix("/v2/").partition("?")
        if at(f"/v2/users/u/apps/a/{path}"):
            public = f"/v2/users/clarifai/apps/main/{'/'.join(path.split('/')[:2])}"
            is_public = self.get(public)["status"]["code"] == 10000 and "models/" in path
            path = f"users/{'clarifai' if is_public else 'alice'}/apps/main/{path}"
        whole = "/v2"
        for segment in path.split("/"):
            whole += f"/{self._own(segment, whole)}"
        return f"{whole}?{query}" if query else whole

    def _own(self, value: Any, place: str) -> Any:
        """Replace the documentation's IDs with the sandbox's."""
        if isinstance(value, list):
            return [self._own(each, place) for each in value]
        if isinstance(value, dict):
            return {
                name: self._own(each, f"/v2/users/alice/apps/main/{name.removesuffix('_id')}s")
                for name, each in value.items()
            }
        if not isinstance(value, str) or not OWN.search(value):
            return value
        fixed = {"/v2/users": "alice", "/v2/users/alice/apps": "main"}
        listed = [each for each in self.get(place).values() if isinstance(each, list)]
        return fixed.get(place) or next((each[0]["id"] for each in listed if each), value)


def described(example: Example) -> Any:
    """Give the descriptor of what an address answers with; None for other protocols' addresses."""
    found = at(example.path.partition("?")[0]).get(example.verb)
    return found and scopes.methods()[found[0].method].output_type


def differences(shown: Any, have: Any, kind: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Compare an answer that is shown with one that is given: what differs, and where."""
    if isinstance(shown, dict) and isinstance(have, dict):
        if kind and kind.full_name.startswith("google.protobuf"):
            return  # holds what its writer likes
        for name, value in shown.items():
            field = kind.fields_by_name.get(name) if kind else None
            if kind and not field:
                yield "gone", f"{path}.{name}"
            elif name not in have:
                yield "missing", f"{path}.{name}"
            else:
                inner = field.message_type if field else None
                yield from differences(value, have[name], inner, f"{path}.{name}")
    elif isinstance(shown, list) and isinstance(have, list):
        if shown and not have:
            yield "missing", f"{path}[]"
        elif shown:
            yield from differences(_union(shown), _union(have), kind, f"{path}[]")
    elif shown is not None and _sort(shown) is not _sort(have):
        yield "other type", path


def _union(items: list[Any]) -> Any:
    """Make one item with what any of a list's has."""
    merged: Any = {}
    for each in items:
        if not isinstance(each, dict):
            return each
        merged = {
            name: _union([merged[name], each[name]])
            if isinstance(merged.get(name), dict) and isinstance(each.get(name), dict)
            else each.get(name, merged.get(name))
            for name in merged | each
        }
    return merged


def _sort(value: Any) -> type:
    return float if type(value) is int else type(value)


def main(folders: list[str]) -> int:
    """Print the differences; give the number of examples that have some."""
    found = [example for folder in folders for example in examples(Path(folder))]
    asked = [example for example in found if example.path]
    counts: Counter[str] = Counter()
    differing = 0
    for example in asked:
        with Sandbox() as sandbox:
            answer = Asking(sandbox).answer(example)
        told = sorted(set(differences(example.answer, answer, described(example))))
        counts.update(what for what, _ in told)
        differing += any(what != "gone" for what, _ in told)
        code = answer.get("status", {}).get("code")
        print(f"{example.place}: {example.verb} {example.path} → {code}")
        for what, where in told:
            print(f"    {what}: {where}")
    print(f"{len(found)} examples, {len(asked)} with a request; {differing} differ: {dict(counts)}")
    return differing


if __name__ == "__main__":
    main(sys.argv[1:])
