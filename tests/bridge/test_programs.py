"""Other people's programs through the broker: they hold its address and the token, and work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from peers import broker_for

from clarifai_magic.bridge.openai_clients import PATH

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "other-clients.md"

SDK = """
from clarifai.client.model import Model
from clarifai.client.user import User

print(sorted(app.id for app in User().list_apps()))
print(User("alice").list_organizations())
model = Model(user_id="clarifai", app_id="main", model_id="general-image-recognition")
output = model.predict_by_url("https://nowhere.invalid/a-red-dog.jpg", input_type="image")
print([concept.name for concept in output.outputs[0].data.concepts])
"""
NODE = """
const {CLARIFAI_API_BASE: base, CLARIFAI_PAT: token} = process.env;
fetch(`${base}/v2/users/me`, {headers: {Authorization: `Key ${token}`}})
  .then(answer => answer.json()).then(found => console.log(found.user.id));
"""
NODE_HTTP2 = """
const {CLARIFAI_API_BASE: base, CLARIFAI_PAT: token} = process.env;
const session = require("http2").connect(base);
const call = session.request({
  ":method": "POST", ":path": "/clarifai.api.V2/MyScopes", "content-type": "application/grpc",
  te: "trailers", authorization: `Key ${token}`,
});
call.on("trailers", trailers => { console.log(trailers["grpc-status"]); session.close(); });
call.on("data", () => {});
call.end(Buffer.alloc(5));
"""


@pytest.fixture
def run(sandbox):
    """What a program prints that has the broker in its environment; its own has no key."""
    with broker_for(sandbox.base, sandbox.keys.pat) as broker:

        def output(*command):
            if shutil.which(command[0]) is None:
                pytest.skip(f"{command[0]} is not installed")
            environment = {
                **os.environ,
                "CLARIFAI_API_BASE": broker.base,
                "CLARIFAI_PAT": broker.token,
                "CLARIFAI_USER_ID": sandbox.user_id,
                "OPENAI_BASE_URL": broker.base + PATH,
                "OPENAI_API_KEY": broker.token,
            }
            assert sandbox.keys.pat not in f"{environment}{command}"
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=180, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        output.broker = broker
        yield output


@pytest.mark.dev
def test_the_official_sdk(run):
    assert run(sys.executable, "-c", SDK).splitlines() == [
        "['main', 'recipes']",
        "[{'id': 'acme', 'name': 'Acme Corporation'}]",
        "['red', 'dog', 'jpg']",
    ]


def test_curl(run, tmp_path):
    address = "/v2/users/clarifai/apps/main/models/general-image-recognition/outputs"
    body = tmp_path / "body.json"  # large enough for curl to wait for 100 Continue
    image = {"base64": "iVBORw0KGgo" + "A" * 2_000_001}
    body.write_text(json.dumps({"inputs": [{"data": {"image": image}}]}))
    header = f"Authorization: Key {run.broker.token}"
    answer = run("curl", "-sS", "-H", header, "-d", f"@{body}", f"{run.broker.base}{address}")
    assert json.loads(answer)["outputs"][0]["data"]["concepts"][0]["name"] == "image/png"


@pytest.mark.parametrize(("program", "printed"), [(NODE, "alice\n"), (NODE_HTTP2, "0\n")])
def test_node(run, program, printed):
    assert run("node", "-e", program) == printed


@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("sh", ("sh", "-c")),
        ("js", ("node", "-e")),
        ("py", (sys.executable, "-c")),
    ],
)
@pytest.mark.dev
def test_the_programs_in_the_documentation(run, language, command):
    programs = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert programs
    for each in programs:
        assert re.search("recipes|^This is the sandbox", run(*command, each))
