"""Other people's clients against the sandbox, each as its own program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SDK = """
from clarifai.client.input import Inputs
from clarifai.client.model import Model
from clarifai.client.search import Search
from clarifai.client.user import User

print(sorted(app.id for app in User().list_apps()))
print(User("alice").list_organizations())
model = Model(user_id="clarifai", app_id="main", model_id="general-image-recognition")
output = model.predict_by_url("https://nowhere.invalid/a-red-dog.jpg", input_type="image")
print([concept.name for concept in output.outputs[0].data.concepts])
inputs = Inputs(user_id="alice", app_id="main")
inputs.upload_text("from-the-sdk", raw_text="a platypus")
print(sorted(item.id for item in inputs.list_inputs()))
pages = Search(user_id="alice", app_id="main", top_k=1).query(ranks=[{"text_raw": "platypus"}])
print(next(iter(pages)).hits[0].input.id)
"""

PREDICTING = """
import asyncio
from clarifai.client.model import Model
from clarifai.runners.utils.data_types import Image

def model(name):
    return Model(url=f"https://clarifai.com/{name}")

async def asked(prompt):
    return await (await chat.async_predict(prompt=prompt))

chat = model("openai/chat-completion/models/gpt-oss-120b")
dog = Image(url="https://nowhere.invalid/a-red-dog.jpg")
print(sorted(chat.available_methods()))
said = chat.predict("one platypus")
print(said)
print("".join(chat.generate(prompt="one platypus", max_tokens=7)).strip() == said)
print(asyncio.run(asked("one platypus")) == said)
print([each[-9:] for each in chat.predict([{"prompt": "a wombat"}, {"prompt": "a quokka"}])])
turns = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in ("a", "wombat")]
print(chat.predict(chat_history=[*turns, {"role": "user", "content": "platypus"}])[-17:])
tools = [{"type": "function", "function": {"name": "weather"}}]
print(chat.predict(prompt="one platypus", tools=tools, tool_choice="auto") == said)
print(model("openai/chat-completion/models/gpt-4o").predict(prompt="what", image=dog)[-20:])
print([c.name for c in model("clarifai/main/models/general-image-recognition").predict(image=dog)])
print(len(model("clarifai/main/models/general-image-detection").predict(image=dog)[0].concepts))
print(model("openai/embed/models/text-embedding-ada").predict(text="platypus").shape)
painted = model("stability-ai/stable-diffusion-2/models/stable-diffusion-xl").predict("a dog")
print(painted.to_pil().size)

old = chat.predict_by_bytes(b"one platypus")
print(old.outputs[0].data.text.raw == said)
pieces = chat.generate_by_bytes(b"one platypus", input_type="text")
print("".join(each.outputs[0].data.text.raw for each in pieces).strip() == said)
colours = model("clarifai/main/models/color-recognition").predict_by_url(dog.url, "image")
print(len(colours.outputs[0].data.colors))
"""

SAID = (
    "This is the sandbox, not a language model. "
    "Your input has 2 words; strongest features: one, platypus."
)


@pytest.fixture
def run(sandbox):
    """What a program prints, given the sandbox in its environment."""

    def output(*command: str) -> str:
        environment = {
            **os.environ,
            "CLARIFAI_API_BASE": sandbox.base,
            "CLARIFAI_PAT": sandbox.keys.pat,
            "CLARIFAI_USER_ID": sandbox.user_id,
        }
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return output


@pytest.mark.dev
def test_the_official_sdk(run):
    assert run(sys.executable, "-c", SDK).splitlines() == [
        "['main', 'recipes']",
        "[{'id': 'acme', 'name': 'Acme Corporation'}]",
        "['red', 'dog', 'jpg']",
        "['dog', 'family', 'from-the-sdk', 'metro-north', 'note']",
        "from-the-sdk",
    ]


@pytest.mark.dev
def test_the_official_sdk_predicts_by_methods_and_by_protos(run):
    assert run(sys.executable, "-c", PREDICTING).splitlines() == [
        "['generate', 'predict']",
        SAID,
        "True",
        "True",
        "[': wombat.', ': quokka.']",
        "wombat, platypus.",
        "True",
        "what, red, dog, jpg.",
        "['red', 'dog', 'jpg']",
        "3",
        "(64,)",
        "(1, 1)",
        "True",
        "True",
        "1",
    ]


@pytest.mark.dev
def test_curl(run, sandbox, tmp_path):
    address = "/v2/users/clarifai/apps/main/models/general-image-recognition/outputs"
    body = tmp_path / "body.json"  # large enough for curl to wait for 100 Continue
    image = {"base64": "iVBORw0KGgo" + "A" * 2_000_001}
    body.write_text(json.dumps({"inputs": [{"data": {"image": image}}]}))
    header = f"Authorization: Key {sandbox.keys.pat}"
    answer = run("curl", "-sS", "-H", header, "-d", f"@{body}", f"{sandbox.base}{address}")
    assert json.loads(answer)["outputs"][0]["data"]["concepts"][0]["name"] == "image/png"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_tells_how_to_reach_it_and_ends_cleanly(sent: signal.Signals):
    command = [sys.executable, "-m", "clarifai_magic.sandbox", "--tls", "--latency", "0.001"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with program:
        lines = [program.stdout.readline() for _ in range(17)]
        exports = dict(line.split(" ", 1)[1].split("=", 1) for line in lines[:5])
        assert exports["CLARIFAI_API_BASE"].startswith("https://localhost:")
        assert exports["CLARIFAI_USER_ID"] == "alice\n"
        assert len(exports["CLARIFAI_PAT"]) == 33
        authority = Path(exports["CLARIFAI_ROOT_CERTIFICATES_PATH"].strip())
        assert authority.exists()
        assert all(line.startswith("# ") for line in lines[5:])
        program.send_signal(sent)
        rest, errors = program.communicate(timeout=180)
    assert (program.returncode, rest, errors) == (0, "", "")
    assert not authority.exists()


def test_the_command_says_why_it_cannot_start():
    command = [sys.executable, "-m", "clarifai_magic.sandbox", "--throttle", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("The sandbox cannot start: latency is in seconds")
