"""OpenAI's protocol on the sandbox's port: its own clients work, and its own types check the rest."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import os
import subprocess
import sys
from contextlib import closing
from typing import Any, Literal

import openai
import pytest
from openai import types
from openai.types import chat, responses
from pydantic import BaseModel, TypeAdapter

from clarifai_magic import Credentials
from clarifai_magic import connect as sign_in
from clarifai_magic.sandbox import Sandbox

pytestmark = pytest.mark.dev

PATH = "/v2/ext/openai/v1"
MODEL = "https://clarifai.com/openai/chat-completion/models/gpt-oss-120b"
MESSAGES: list[Any] = [{"role": "user", "content": "A red dog, a red cat."}]
SAID = (
    "This is the sandbox, not a language model. "
    "Your input has 4 words; strongest features: red, dog, cat."
)
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 3}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "add_numbers", "parameters": None}},
    {"type": "function", "function": WEATHER},
]
ASKED: list[Any] = [{"role": "user", "content": "What is the weather of this city?"}]
CALLED = {"city": "What is the weather of this city?", "days": 3}


class Animal(BaseModel):
    kind: Literal["cat", "dog"]
    name: str
    legs: int
    young: list[Animal]


@pytest.fixture(params=["directly", "of a session"])
def client(request, sandbox):
    if request.param == "directly":
        yield openai.OpenAI(api_key=sandbox.keys.pat, base_url=sandbox.base + PATH, max_retries=0)
    else:
        with sign_in(Credentials(sandbox.keys.pat, app_id="main", base=sandbox.base)) as session:
            yield session.openai(max_retries=0)


@pytest.fixture
def with_key(sandbox):
    """A client with another key, of a sandbox that may be another one."""

    def made(key, of=sandbox):
        return openai.OpenAI(api_key=key, base_url=of.base + PATH, max_retries=0)

    return made


@pytest.fixture
def ask(sandbox):
    """HTTP status, headers and body of a request."""

    def asked(endpoint, body=None, verb="POST", authorization=f"Bearer {sandbox.keys.pat}"):
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        address = sandbox.base.removeprefix("http://")
        with closing(http.client.HTTPConnection(address, timeout=20)) as connection:
            connection.request(verb, PATH + endpoint, content, {"Authorization": authorization})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    return asked


def exactly(kind, body):
    """What is of a type in every field, and has no others; `kind` is a model or a union."""
    found = TypeAdapter(kind).validate_json(body, strict=True)

    def unknown(part):
        if isinstance(part, BaseModel):
            names = [*(part.model_extra or {})]
            return names + [n for each in part.__dict__.values() for n in unknown(each)]
        return [n for each in part for n in unknown(each)] if isinstance(part, list) else []

    assert unknown(found) == []
    return found


def told(body):
    """The data of a stream's events."""
    events = [part.rpartition("data: ")[2] for part in body.decode().split("\n\n")]
    assert events.pop() == ""
    return events


def test_a_completion(client):
    made = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0.7)
    [choice] = made.choices
    assert (choice.message.content, choice.finish_reason) == (SAID, "stop")
    assert made.model == MODEL
    assert made.usage.prompt_tokens == 4
    assert made.usage.total_tokens == 4 + len(SAID.split())


def test_a_completion_comes_word_by_word(client):
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == SAID
    assert len(pieces) > len(SAID.split())
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (last.choices, last.usage.prompt_tokens) == ([], 4)


@pytest.mark.parametrize("stream", [False, True])
def test_awaited_clients_do_as_well(sandbox, stream):
    async def asked():
        with sign_in(Credentials(sandbox.keys.pat, app_id="main", base=sandbox.base)) as session:
            async with session.async_openai(max_retries=0) as client:
                made = await client.chat.completions.create(
                    model=MODEL, messages=MESSAGES, stream=stream
                )
                if not stream:
                    return made.choices[0].message.content
                return "".join([part.choices[0].delta.content or "" async for part in made])

    assert asyncio.run(asked()) == SAID


@pytest.mark.slow
def test_a_program_has_what_a_session_exports(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth --export-openai")
    program = (
        "import openai\n"
        "c = openai.OpenAI(max_retries=0)\n"
        f"made = c.chat.completions.create(model={MODEL!r}, messages={MESSAGES!r}, stream=True)\n"
        "print(''.join(part.choices[0].delta.content or '' for part in made))\n"
        f"print(c.responses.create(model={MODEL!r}, input='A red dog').output_text)"
    )
    exported = {name: value for name, value in os.environ.items() if name.startswith("OPENAI_")}
    assert sandbox.keys.pat not in exported.values()
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=exported, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.stdout.splitlines()[0] == SAID, done.stderr
    assert "red, dog" in done.stdout.splitlines()[1]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_tool_is_called_for_a_message(client, choice):
    made = client.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, tool_choice=choice
    )
    [call] = made.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", CALLED)
    assert (made.choices[0].finish_reason, made.choices[0].message.content) == ("tool_calls", None)
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "Sunny, sunny, hot"}
    after = client.chat.completions.create(
        model=MODEL, messages=[*ASKED, made.choices[0].message, result], tools=TOOLS
    )
    assert after.choices[0].message.content.endswith("strongest features: sunny, hot.")


def test_a_tool_that_is_named_is_called_and_none_if_none_may_be(client):
    named: Any = {"type": "function", "function": {"name": "add_numbers"}}
    made = client.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, tool_choice=named
    )
    [call] = made.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("add_numbers", "{}")
    made = client.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, tool_choice="none"
    )
    assert made.choices[0].message.tool_calls is None
    named["function"]["name"] = "nothing"
    with pytest.raises(openai.BadRequestError, match="names none"):
        client.chat.completions.create(model=MODEL, messages=ASKED, tools=TOOLS, tool_choice=named)


def test_a_tool_is_called_in_pieces_by_a_stream(client):
    with client.chat.completions.stream(model=MODEL, messages=ASKED, tools=TOOLS) as stream:
        made = stream.get_final_completion()
    [call] = made.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == CALLED


def test_structured_output_is_of_the_schema(client):
    made = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Animal)
    assert made.choices[0].message.parsed == Animal(
        kind="cat", name=SAID, legs=16, young=[Animal(kind="cat", name=SAID, legs=16, young=[])]
    )
    answered = client.responses.parse(model=MODEL, input="A red dog", text_format=Animal)
    assert answered.output_parsed.name.startswith("This is the sandbox")
    made = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format={"type": "json_object"}
    )
    assert json.loads(made.choices[0].message.content) == {"answer": SAID}


def test_a_schema_without_end_is_refused(client):
    endless = {"$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}}}
    endless |= {"$ref": "#/$defs/a"}
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": endless}}
    made = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=form)
    assert json.loads(made.choices[0].message.content) == {}
    endless["$defs"]["a"]["required"] = ["a"]
    with pytest.raises(openai.BadRequestError, match="has no end"):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=form)


def test_a_response(client):
    made = client.responses.create(model=MODEL, input=MESSAGES)
    assert (made.output_text, made.status) == (SAID, "completed")
    assert (made.usage.input_tokens, made.usage.total_tokens) == (4, 4 + len(SAID.split()))
    with client.responses.stream(model=MODEL, input=MESSAGES[0]["content"]) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(pieces) == stream.get_final_response().output_text == SAID
    with pytest.raises(openai.NotFoundError, match="keeps no responses"):
        client.responses.create(model=MODEL, input="And?", previous_response_id=made.id)


def test_a_response_calls_a_tool(client):
    tools: Any = [{"type": "function", **WEATHER}]
    made = client.responses.create(model=MODEL, input=ASKED, tools=tools)
    [call] = made.output
    assert (call.name, json.loads(call.arguments)) == ("get_weather", CALLED)
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Hot, hot"}
    after = client.responses.create(model=MODEL, input=[*ASKED, call, result], tools=tools)
    assert after.output_text.endswith("strongest features: hot.")
    with client.responses.stream(model=MODEL, input=ASKED, tools=tools) as stream:
        assert json.loads(stream.get_final_response().output[0].arguments) == CALLED


def test_a_message_may_hold_a_picture(client):
    def asked(*parts):
        content: Any = [{"type": "image_url", "image_url": {"url": part}} for part in parts]
        messages: Any = [{"role": "user", "content": content}]
        made = client.chat.completions.create(model=MODEL, messages=messages)
        return made.choices[0].message.content

    assert "image/png" in asked("data:image/png;base64,iVBORw0KGgo=")
    assert asked("https://nowhere.invalid/a-red-dog.jpg").endswith("red, dog, jpg.")
    with pytest.raises(openai.BadRequestError, match="11100|base64"):
        asked("data:image/png;base64,?")


def test_embeddings(client):
    def vectors(asked, **options):
        made = client.embeddings.create(model="text-embedding-ada", input=asked, **options)
        assert [each.index for each in made.data] == list(range(len(made.data)))
        return [each.embedding for each in made.data]

    dog, again, other = vectors(["a dog", "a dog", "an ocean"])
    assert dog == again != other
    assert len(dog) == 64
    assert vectors("a dog", encoding_format="float")[0] == pytest.approx(dog)
    assert vectors([1, 2])[0] == vectors([[1, 2], [3]])[0]
    with pytest.raises(openai.BadRequestError, match="have 64"):
        vectors("a dog", dimensions=3)


def test_images(client):
    model = "stability-ai/stable-diffusion-2/models/stable-diffusion-xl"
    made = client.images.generate(model=model, prompt="a dog", n=2)
    assert len(made.data) == 2
    assert "sandbox" in made.data[0].revised_prompt
    assert made.data[0].b64_json.startswith("iVBOR")
    made = client.images.generate(model=model, prompt="a dog", response_format="url")
    assert made.data[0].url.startswith("data:image/png;base64,iVBOR")
    with pytest.raises(openai.BadRequestError, match="from 1 to 10"):
        client.images.generate(model=model, prompt="a dog", n=11)


def test_models(client):
    listed = [model.id for model in client.models.list()]
    assert "openai/chat-completion/models/gpt-oss-120b" in listed
    assert "clarifai/main/models/general-image-recognition" not in listed  # nothing to ask it here
    assert client.models.retrieve(MODEL).owned_by == "openai"
    assert client.models.retrieve(listed[0]).id == listed[0]
    assert client.models.retrieve("gpt-oss-20b").id == "openai/chat-completion/models/gpt-oss-20b"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/chat-completion/models/nothing")


@pytest.mark.parametrize(
    "name",
    [
        MODEL,
        f"{MODEL}/",
        "openai/chat-completion/models/gpt-oss-120b",
        "gpt-oss-120b",
    ],
)
def test_a_model_has_several_names(client, name):
    made = client.chat.completions.create(model=name, messages=MESSAGES)
    assert (made.choices[0].message.content, made.model) == (SAID, name)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nothing", openai.NotFoundError, "'nothing' not found"),
        ("openai/gpt", openai.NotFoundError, "not found"),
        # A public model is its owner's: with one's own IDs it is not there.
        ("me/main/models/gpt-oss-120b", openai.NotFoundError, "'gpt-oss-120b' not found"),
        ("bob/attic/models/pets", openai.NotFoundError, "app_id 'attic'"),
        (f"{MODEL}/versions/1", openai.NotFoundError, "not found"),
        ("pets", openai.BadRequestError, "one of: alice/main/models/pets, alice/recipes"),
        ("alice/main/models/pets", openai.BadRequestError, "gives no text"),
    ],
)
def test_a_model_that_does_not_do_is_refused(client, name, error, words):
    with pytest.raises(error, match=words):
        client.chat.completions.create(model=name, messages=MESSAGES)


def test_keys_and_scopes_are_as_everywhere(with_key, sandbox):
    def refused(key, model=MODEL):
        with pytest.raises(openai.APIStatusError) as error:
            with_key(key).chat.completions.create(model=model, messages=MESSAGES)
        return type(error.value), error.value.code, error.value.type

    keys = sandbox.keys
    of_key = openai.AuthenticationError, "authentication_error"
    assert refused(keys.revoked_key) == (of_key[0], "11009", of_key[1])
    assert refused("short") == (of_key[0], "11008", of_key[1])
    # An API key is its app's alone; public models want a PAT.
    assert refused(keys.api_key)[:2] == (openai.NotFoundError, "11101")
    assert refused(keys.api_key, "gpt-oss-120b")[:2] == (openai.NotFoundError, "11101")
    assert refused(keys.api_key, "pets")[:2] == (openai.BadRequestError, "11102")
    made = with_key(keys.scoped_pat).chat.completions.create(model=MODEL, messages=MESSAGES)
    assert made.choices[0].message.content == SAID


def test_a_key_that_may_not_predict_is_told_its_scopes(with_key, sandbox, alice):
    reading = ["Apps:Get", "Concepts:Get", "Models:Get"]
    added = alice("PostKeys", "me", keys=[{"scopes": reading}])
    client = with_key(added.keys[0].id)
    assert list(client.models.list())
    with pytest.raises(openai.AuthenticationError, match="Missing scopes: Predict") as error:
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert error.value.code == "11007"


@pytest.mark.parametrize(("word", "status"), [("Bearer", 200), ("Key", 200), ("key", 400)])
def test_a_header_says_bearer_or_key(ask, sandbox, word, status):
    answered, _, body = ask("/models", verb="GET", authorization=f"{word} {sandbox.keys.pat}")
    assert answered == status
    assert status == 200 or json.loads(body)["error"]["code"] == "11102"


@pytest.mark.parametrize(
    ("fault", "error"),
    [("throttle", openai.RateLimitError), ("outage", openai.InternalServerError)],
)
def test_faults_are_the_clients_errors(with_key, fault, error):
    with Sandbox(**{fault: 1.0}) as failing, pytest.raises(error):
        with_key(failing.keys.pat, failing).chat.completions.create(model=MODEL, messages=MESSAGES)


@pytest.mark.parametrize(
    ("endpoint", "kind", "body"),
    [
        ("/chat/completions", chat.ChatCompletion, {"messages": MESSAGES}),
        ("/chat/completions", chat.ChatCompletion, {"messages": ASKED, "tools": TOOLS}),
        ("/responses", responses.Response, {"input": "a dog", "instructions": "Bark."}),
        (
            "/responses",
            responses.Response,
            {"input": ASKED, "tools": [{"type": "function", "strict": True, **WEATHER}]},
        ),
        (
            "/embeddings",
            types.CreateEmbeddingResponse,
            {"model": "text-embedding-ada", "input": ["a", "b c"]},
        ),
        (
            "/images/generations",
            types.ImagesResponse,
            {"model": "stable-diffusion-xl", "prompt": "a dog"},
        ),
    ],
)
def test_answers_are_what_openai_says_they_are(ask, endpoint, kind, body):
    status, headers, answered = ask(endpoint, {"model": MODEL, **body})
    assert (status, headers["content-type"]) == (200, "application/json")
    exactly(kind, answered)


def test_models_are_what_openai_says_they_are(ask):
    for each in json.loads(ask("/models", verb="GET")[2])["data"]:
        exactly(types.Model, json.dumps(each))
        assert ask(f"/models/{each['id']}", verb="GET")[0] == 200


@pytest.mark.parametrize(
    "body", [{"messages": MESSAGES}, {"messages": ASKED, "tools": TOOLS}], ids=["text", "tool"]
)
def test_chunks_are_what_openai_says_they_are(ask, body):
    wanted = {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}, **body}
    status, headers, answered = ask("/chat/completions", wanted)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert headers["transfer-encoding"] == "chunked"
    *chunks, end = told(answered)
    assert end == "[DONE]"
    assert len({exactly(chat.ChatCompletionChunk, each).id for each in chunks}) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [{"input": "a dog"}, {"input": ASKED, "tools": [{"type": "function", **WEATHER}]}],
    ids=["text", "tool"],
)
def test_events_are_what_openai_says_they_are(ask, body):
    _, _, answered = ask("/responses", {"model": MODEL, "stream": True, **body})
    events = [exactly(responses.ResponseStreamEvent, each) for each in told(answered)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].response.output == []
    assert events[-1].response.output == [events[-2].item]
    for event, line in zip(events, answered.decode().split("\n\n"), strict=False):
        assert line.startswith(f"event: {event.type}\n")


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("GET /chat/completions", None, 405),
        ("POST /models", {}, 405),
        ("POST /nothing", {}, 404),
        ("GET /modelsandmore", None, 404),
        ("POST /chat/completions", b"", 400),
        ("POST /chat/completions", b"[" * 100_000, 400),
        ("POST /chat/completions", [1], 400),
        ("POST /chat/completions", {}, 400),
        ("POST /chat/completions", {"model": 5, "messages": MESSAGES}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": []}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": [None]}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": [{"content": ""}]}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": [{"content": 5}]}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": [{"content": "\ud800"}]}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": MESSAGES, "n": 2}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": MESSAGES, "tools": [1]}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": MESSAGES, "stream": "no"}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": MESSAGES, "n": True}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": MESSAGES, "seed": math.nan}, 400),
        ("POST /chat/completions", {"model": MODEL, "messages": MESSAGES, "tools": {}}, 400),
        ("POST /responses", {"model": MODEL, "input": 5}, 400),
        ("POST /responses", {"model": MODEL, "input": []}, 400),
        ("POST /responses", {"model": MODEL, "input": "a", "instructions": 5}, 400),
        ("POST /responses", {"model": MODEL, "input": "a", "text": {"format": 5}}, 400),
        ("POST /embeddings", {"model": "text-embedding-ada", "input": []}, 400),
        ("POST /embeddings", {"model": "text-embedding-ada", "input": ["a", 1]}, 400),
        ("POST /embeddings", {"model": "text-embedding-ada", "input": ["a"] * 129}, 400),
        ("POST /images/generations", {"model": "stable-diffusion-xl", "prompt": None}, 400),
        ("POST /images/generations", {"model": "stable-diffusion-xl", "prompt": "a", "n": 0}, 400),
    ],
)
def test_what_is_no_request_gets_openais_error(ask, line, body, status):
    verb, endpoint = line.split()
    answered, _, content = ask(endpoint, body, verb)
    error = json.loads(content)["error"]
    assert answered == status, error
    assert error["type"] == "invalid_request_error"
    assert int(error["code"]) > 10000
    assert "Error(" not in error["message"]
    assert ask("/models", verb="GET")[0] == 200
