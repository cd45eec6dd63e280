"""%%clarifai_sample: programs in the documentation's style, pasted whole, run with the session."""

from __future__ import annotations

import os
import re

import pytest
from support import CANARY

IMPORTS = """
from clarifai_grpc.channel.clarifai_channel import ClarifaiChannel
from clarifai_grpc.grpc.api import resources_pb2, service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2
"""
PREDICT = """
response = stub.PostModelOutputs(
    service_pb2.PostModelOutputsRequest(
        user_app_id=userDataObject,
        model_id=MODEL_ID,
        inputs=[resources_pb2.Input(data=resources_pb2.Data(DATA))],
    ),
    metadata=metadata,
)
if response.status.code != status_code_pb2.SUCCESS:
    raise Exception("Post model outputs failed, status: " + response.status.description)
print(response.outputs[0].data.concepts[0].name)
"""
TEXT = 'text=resources_pb2.Text(raw="cat cat dog")'
STUB = "stub = service_pb2_grpc.V2Stub(ClarifaiChannel.get_grpc_channel())\n"
PUBLIC = "userDataObject = resources_pb2.UserAppIDSet(user_id='clarifai', app_id='main')\n"
PUBLIC_MODEL = "MODEL_ID = 'general-image-recognition'\n"
OWN = "userDataObject = resources_pb2.UserAppIDSet(user_id=USER_ID, app_id=APP_ID)\n"
OWN_MODEL = "USER_ID = 'YOUR_USER_ID_HERE'\nAPP_ID = 'YOUR_APP_ID_HERE'\nMODEL_ID = 'pets'\n"


def program(key: str, *, data: str = TEXT, ids: str = OWN_MODEL + OWN) -> str:
    return IMPORTS + key + STUB + ids + PREDICT.replace("DATA", data)


KEYS = {
    "concatenated": "PAT = 'YOUR_PAT_HERE'\nmetadata = (('authorization', 'Key ' + PAT),)\n",
    "another name": "secret_thing = '???'\nmetadata = (('authorization', 'Key ' + secret_thing),)\n",
    "f-string": "PAT = '{YOUR_PAT}'\nmetadata = (('authorization', f'Key {PAT}'),)\n",
    "percent": "KEY = '<your key>'\nmetadata = [('authorization', 'Key %s' % KEY)]\n",
    "format": "KEY = ''\nmetadata = (('authorization', 'Key {}'.format(KEY)),)\n",
    "in the header": "metadata = (('authorization', 'Key YOUR_CLARIFAI_API_KEY'),)\n",
    "environment": "import os\nPAT = os.environ['CLARIFAI_PAT']\n"
    "metadata = (('authorization', 'Key ' + PAT),)\n",
    "guarded": "import os\nPAT = os.getenv('CLARIFAI_PAT')\nif not PAT:\n    raise SystemExit('no')\n"
    "metadata = (('authorization', 'Key ' + PAT),)\n",
    "asked": "import getpass\nPAT = getpass.getpass('PAT: ')\n"
    "metadata = (('authorization', 'Key ' + PAT),)\n",
    "colab": "from unittest.mock import Mock; userdata = Mock()\n"
    "metadata = (('authorization', 'Key ' + userdata.get('CLARIFAI_PAT')),)\n",
    "copied": "YOUR = 'YOUR_PAT'\nPAT = YOUR\nmetadata = (('authorization', 'Key ' + PAT),)\n",
    "api key": "api_key_metadata = (('authorization', 'Key YOUR_API_KEY_HERE'),)\n"
    "metadata = api_key_metadata\n",
}


@pytest.fixture(params=["pat", "api_key"])
def signed_in(request, shell, environment, sandbox):
    kind = "PAT" if request.param == "pat" else "API_KEY"
    environment(**{kind: getattr(sandbox.keys, request.param)})
    shell.run("%clarifai_auth" + (" --app-id main" if kind == "PAT" else ""))
    return shell


@pytest.fixture
def with_pat(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


def sample(shell, text: str, line: str = "") -> list[str]:
    return shell.run(f"%%clarifai_sample {line}\n{text}").splitlines()


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_whole_program_runs_whatever_its_preamble(signed_in, key):
    told, shown = sample(signed_in, program(key))
    assert told.startswith("Sample: this session stands for ")
    assert shown == "cat"


DATA = {
    "text": (TEXT, "cat"),
    "URL": ("image=resources_pb2.Image(url='https://samples.clarifai.com/puppy.jpeg')", "puppy"),
    "bytes": ("image=resources_pb2.Image(base64=b'\\x89PNG\\r\\n\\x1a\\n' + b'x' * 90)", "png"),
}


@pytest.mark.parametrize(("data", "concept"), DATA.values(), ids=DATA)
def test_real_ids_of_public_models_are_honoured(with_pat, data, concept):
    text = program(KEYS["concatenated"], data=data, ids=PUBLIC_MODEL + PUBLIC)
    assert concept in sample(with_pat, text)[-1]


def test_streams_and_fragments_run(signed_in):
    fragment = """
request = service_pb2.PostModelOutputsRequest(
    model_id="pets", inputs=[resources_pb2.Input(data={"text": {"raw": "a cat"}})]
)
for response in stub.GenerateModelOutputs(request, metadata=metadata):
    print(response.outputs[0].data.concepts[0].name)
"""
    assert sample(signed_in, fragment) == ["cat"]


def test_metadata_that_another_sample_made_is_the_sessions(signed_in):
    fragment = (
        "print(len(stub.ListModels(service_pb2.ListModelsRequest(), metadata=pat_metadata).models))"
    )
    assert sample(signed_in, fragment) == ["Sample: this session stands for pat_metadata.", "1"]


def test_what_a_key_is_taken_from_is_left_alone(with_pat):
    text = """
from argparse import Namespace
args = Namespace(api_key="YOUR_KEY", size=3)
metadata = (("authorization", "Key " + args.api_key),)
print(args.size, len(stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata).models))
"""
    assert sample(with_pat, text)[-1] == "3 1"


REST = {
    "requests": """
import requests
headers = {"Authorization": "Key " + PAT}
url = f"https://api.clarifai.com/v2/users/{USER_ID}/apps/{APP_ID}/models"
found = requests.get(url, headers=headers).json()
""",
    "placeholders in the URL": """
import requests
found = requests.get(
    "https://api.clarifai.com/v2/users/YOUR_USER_ID_HERE/apps/{YOUR_APP_ID}/models",
    headers={"Authorization": "Key YOUR_PAT_HERE"},
).json()
""",
    "urllib": """
import json
from urllib.request import Request, urlopen
url = "https://api.clarifai.com/v2/users/" + USER_ID + "/apps/" + APP_ID + "/models"
found = json.load(urlopen(Request(url, headers={"Authorization": f"Key {PAT}"})))
""",
}


@pytest.mark.parametrize("call", REST.values(), ids=REST)
def test_rest_samples_reach_the_sessions_deployment(signed_in, call):
    ids = "PAT = 'YOUR_PAT_HERE'\nUSER_ID = 'YOUR_USER_ID_HERE'\nAPP_ID = 'YOUR_APP_ID_HERE'\n"
    shown = sample(signed_in, ids + call + "print(found['models'][0]['id'])")
    assert shown[-1] == "pets"
    assert "base URL" in shown[0]


SDK = {
    "keyword": "print([app.id for app in User(user_id='YOUR_USER_ID', pat='YOUR_PAT').list_apps()])",
    "variable": "PAT = 'YOUR_PAT'\nprint([a.id for a in User(user_id='alice', pat=PAT).list_apps()])",
    "environment": "import os\nos.environ['CLARIFAI_PAT'] = 'YOUR_PAT_HERE'\n"
    "print([app.id for app in User(user_id='alice').list_apps()])",
}


@pytest.mark.parametrize("call", SDK.values(), ids=SDK)
def test_samples_of_the_sdk_run(with_pat, call):
    pytest.importorskip("clarifai", reason="the SDK is not part of this environment")
    before = dict(os.environ)
    shown = sample(with_pat, f"from clarifai.client.user import User\n{call}")
    assert shown[-1] == "['main', 'recipes']"
    assert {k: v for k, v in os.environ.items() if k.startswith("CLARIFAI_")} == {
        k: v for k, v in before.items() if k.startswith("CLARIFAI_")
    }


def test_the_sessions_names_hold_the_session_again_and_results_stay(with_pat):
    sample(with_pat, program(KEYS["concatenated"], ids=PUBLIC_MODEL + PUBLIC) + "result = 7\n")
    shown = with_pat.run(
        "print(result, MODEL_ID, userDataObject.user_id, PAT, len(response.outputs))"
    )
    assert shown.split() == ["7", "general-image-recognition", "alice", "[clarifai", "key]", "1"]
    assert with_pat.run("print(stub is clarifai_session.stub)").strip() == "True"


def test_a_function_of_a_sample_can_be_called_later_and_goes_dark_at_logout(with_pat):
    text = (
        "PAT = 'YOUR_PAT'\ndef header():\n    return {'Authorization': 'Key ' + PAT}\nh = header()"
    )
    sample(with_pat, text)
    assert with_pat.run("header()").strip().endswith(": {'Authorization': [clarifai key]}")
    with_pat.run("%clarifai_auth logout")
    assert not {"PAT", "h"} & set(with_pat.names)
    assert not any(name.startswith("_clarifai") for name in with_pat.names)
    assert with_pat.names["Out"] is with_pat.names["_oh"]


def test_a_real_key_in_a_sample_is_never_used_and_is_reported(with_pat):
    with_pat.ip.run_cell(
        f"%%clarifai_sample\nPAT = '{CANARY}'\nmetadata = (('authorization', 'Key ' + PAT),)\n"
        "response = stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata)",
        store_history=True,
    )
    said = with_pat.run("print(len(response.models))")
    assert "a real key, which was not used" in said
    assert "revoke it at" in said
    assert said.splitlines()[-1] == "1"
    assert CANARY not in repr((with_pat.names["In"], with_pat.names["_i"], with_pat.names["PAT"]))


def test_show_prints_a_program_that_reads_the_environment(with_pat):
    shown = "\n".join(sample(with_pat, program(KEYS["concatenated"]), "--show"))
    assert "PAT = os.environ['CLARIFAI_PAT']" in shown
    assert "USER_ID = 'alice'\nAPP_ID = 'main'\n" in shown
    assert "('authorization', 'Key ' + os.environ['CLARIFAI_PAT'])" in shown
    compile(shown, "shown", "exec")


def test_tracebacks_and_errors_have_the_cells_own_lines(with_pat):
    shown = with_pat.fail("%%clarifai_sample\n\nx = 1\n\n1 / 0")
    assert "----> 5 1 / 0" in re.sub(r"\x1b\[[\d;]*m", "", shown)
    error = with_pat.fail("%%clarifai_sample\nx = 1\ny = (\n")
    assert "Line 3 of the cell is no Python" in error
    assert len(error.splitlines()) == 2


def test_shell_lines_magics_and_the_last_value_survive(with_pat):
    text = "!echo from the shell\n%env --help\nfound = !echo captured\nfound[0] + '!'"
    shown = sample(with_pat, text.replace("%env --help\n", "%precision 3\n"))
    assert shown[-1].endswith("'captured!'")


def test_without_a_session_it_says_what_to_do(shell):
    assert "Run %clarifai_auth first." in shell.fail("%%clarifai_sample\n1")


def test_what_only_looks_like_a_preamble_is_left_alone(with_pat):
    text = "greeting = 'Key West'\nKEY = 'sort'\nd = {KEY: 1}\nprint(greeting, d)"
    assert sample(with_pat, text) == ["Key West {'sort': 1}"]
