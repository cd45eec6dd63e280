"""Programs of other people's that read the environment, each as a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel import LOAD
from kernel import run as run_cells
from support import installed_by_npm

MANIFEST = Path(__file__).with_name("package.json")
SDK = """
from clarifai.client.input import Inputs
from clarifai.client.model import Model
from clarifai.client.user import User

PAT = "YOUR_PAT_HERE"
user = User(user_id="alice", pat=PAT)
print(sorted(app.id for app in user.list_apps()))
model = Model("https://clarifai.com/clarifai/main/models/general-image-recognition", pat=PAT)
output = model.predict_by_url("https://nowhere.invalid/a-red-dog.jpg", input_type="image")
print([concept.name for concept in output.outputs[0].data.concepts])
model = Model("https://clarifai.com/openai/chat-completion/models/gpt-oss-120b", pat=PAT)
print(model.predict(prompt="A red dog"))
print("".join(model.generate(prompt="A red dog")).strip())
inputs = Inputs(user_id="alice", app_id="main", pat=PAT)
inputs.upload_text("from-the-sdk", raw_text="a platypus")
print("from-the-sdk" in [item.id for item in inputs.list_inputs()])
"""
NODE = """
const OpenAI = require("openai");
const client = new OpenAI();
const asked = {
    model: "https://clarifai.com/openai/chat-completion/models/gpt-oss-120b",
    messages: [{ role: "user", content: "A red dog" }],
};
(async () => {
    const answer = await client.chat.completions.create(asked);
    console.log(answer.choices[0].message.content);
    let streamed = "";
    for await (const part of await client.chat.completions.create({ ...asked, stream: true }))
        streamed += part.choices[0].delta.content ?? "";
    console.log(streamed);
})();
"""
REPLY = "This is the sandbox, not a language model. Your input has 2 words; strongest features: red, dog."
SAID = ["['main', 'recipes']", "['red', 'dog', 'jpg']", REPLY, REPLY, "True"]


@pytest.fixture
def output(signed_in, upstream):
    """What a program prints that is started by a shell which exports its session."""
    broker = signed_in.names["clarifai_session"].broker

    def printed(*command, **added):
        environment = {**os.environ, **added}
        assert upstream[1].pat not in f"{environment}{command}"
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        assert broker.carried > 0
        return done.stdout

    return printed


def test_clarifais_sdk_lists_predicts_and_uploads(output):
    program = SDK.replace(", pat=PAT", "")
    assert output(sys.executable, "-c", program).splitlines() == SAID


def test_so_it_does_pasted_as_a_sample():
    *_, said = run_cells(f"{LOAD}\n%clarifai_auth --from sandbox", f"%%clarifai_sample\n{SDK}")
    assert said.splitlines()[-len(SAID) :] == SAID


def test_clarifais_command_line_lists_apps(output):
    clarifai = Path(sys.executable).with_name("clarifai")
    listed = output(str(clarifai), "app", "list")
    assert "main" in listed
    assert "recipes" in listed


def test_openais_package_for_node_waits_and_streams(output, pytestconfig):
    if missing := [tool for tool in ("node", "npm") if shutil.which(tool) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed")
    modules = installed_by_npm(MANIFEST, pytestconfig.cache.mkdir("openai-for-node"))
    said = output("node", "-e", NODE, NODE_PATH=str(modules))
    assert said.splitlines() == [REPLY, REPLY]
