"""%%clarifai_sample --show: the program that runs, for a Python without this package."""

from __future__ import annotations

import ast
import difflib
import os
import re
import subprocess
import sys

import pytest
from support import CANARY
from test_samples import IMPORTS, KEYS, REST, STUB, program

IDS = "PAT = 'YOUR_PAT_HERE'\nUSER_ID = 'YOUR_USER_ID_HERE'\nAPP_ID = 'YOUR_APP_ID_HERE'\n"


@pytest.fixture
def signed_in(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


def show(shell, text: str) -> str:
    return shell.run(f"%%clarifai_sample --show\n{text}")


def changed(before: str, after: str) -> list[str]:
    """The lines that are new."""
    lines = difflib.ndiff(before.strip().splitlines(), after.strip().splitlines())
    return [line[2:] for line in lines if line.startswith("+ ")]


PROGRAMS = {
    **{
        name: program(KEYS[name]) + "print('pets')"
        for name in ("concatenated", "format", "in the header", "guarded", "class", "mapping")
    },
    **{name: IDS + call + "print(found['models'][0]['id'])" for name, call in REST.items()},
    "a shell line": "!echo pets",
    "os is another": "os = 'linux'\nimport requests\nfound = requests.get('https://api.clarifai.com"
    "/v2/users/YOUR_USER_ID/apps/YOUR_APP_ID/models', headers={'Authorization': 'Key YOUR_PAT'})\n"
    "print(found.json()['models'][0]['id'])",
    "a docstring and the future": "'''What it does.'''\nfrom __future__ import annotations\n"
    + IDS
    + REST["requests"]
    + "print(found['models'][0]['id'])",
    "quotes": IDS
    + "import requests\nfound = requests.get(f'https://api.clarifai.com/v2/users/{USER_ID}/apps/'\n"
    "    f\"{APP_ID}/models?per_page={len('ab')}\", headers={'Authorization': f'''Key {PAT}'''}).json()\n"
    "print(found['models'][0]['id'])",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_shown_runs_by_itself_and_does_the_same(signed_in, sandbox, text):
    shown = show(signed_in, text)
    ast.parse(shown, feature_version=(3, 10))
    environment = {
        **os.environ,
        "CLARIFAI_API_BASE": sandbox.base,
        "CLARIFAI_PAT": sandbox.keys.pat,
        "CLARIFAI_USER_ID": "alice",
        "CLARIFAI_APP_ID": "main",
    }
    done = subprocess.run(
        [sys.executable, "-c", shown],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "pets"


def test_only_what_is_replaced_is_written_anew(signed_in):
    text = (
        "# -*- the sample -*-\n"
        "PAT   =  'YOUR_PAT_HERE'   # yours\n"
        "prompt = \"it's 'fine'\" ; n = 0x_ff\n\n\n"
        "metadata=((  'authorization' ,'Key '+PAT ) , )\n"
        "if True :\n\tx = ( 1,\n\t\t  2 )\n"
    )
    shown = show(signed_in, text)
    assert changed(text, shown) == ["import os", "PAT   =  os.environ['CLARIFAI_PAT']   # yours"]


def test_characters_that_end_no_line_for_python_are_none(signed_in):
    text = "x = 'a\x0cb\u2028c\x85'\nprompt = 'ü€😀' ; PAT = 'YOUR_PAT'\nmetadata = [('authorization', 'Key ' + PAT)]"
    assert "prompt = 'ü€😀' ; PAT = os.environ['CLARIFAI_PAT']\n" in show(signed_in, text)


def test_an_api_keys_session_reads_the_api_key(shell, environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    shell.run("%clarifai_auth")
    assert "PAT = os.environ['CLARIFAI_API_KEY']" in show(shell, KEYS["concatenated"] + STUB)


def test_with_clarifais_own_deployment_a_channel_stays_as_it_is(shell, monkeypatch):
    monkeypatch.setenv("CLARIFAI_PAT", CANARY)
    shell.run("%clarifai_auth --no-verify")
    text = IMPORTS + KEYS["concatenated"] + STUB
    assert changed(text, show(shell, text)) == ["import os", "PAT = os.environ['CLARIFAI_PAT']"]


def test_real_keys_are_not_shown(signed_in):
    text = f"# {CANARY}\nh = {{'Authorization': 'Key {CANARY}'}}\n"
    assert "YOUR_PAT_HERE" in show(signed_in, text)
    assert CANARY not in repr(signed_in.names["In"])


def test_it_shows_and_runs_nothing(signed_in):
    show(signed_in, "ran = True")
    assert "ran" not in signed_in.names


@pytest.mark.slow
@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_shown_is_what_runs(signed_in, text):
    """Both replace at the same lines, and the same things."""
    said = signed_in.run(f"%%clarifai_sample\n{text}")
    lines = {int(number) - 1 for number in re.findall(r"^line (\d+):", said, re.MULTILINE)}
    before, after = text.splitlines(), show(signed_in, text)
    differ = {
        number
        for number, line in enumerate(before, start=1)
        if line.strip() and line not in after.splitlines() and not line.startswith("!")
    }
    assert differ <= lines | {n for n, line in enumerate(before, 1) if 'f"{APP_ID}' in line}


STRAYING = {
    "an f-string": "f'Key {PAT}'",
    "an f-string in quotes that repeat": 'f"Key {PAT}"',
    "a literal within an f-string": "f'Key {\"YOUR_PAT\"}'",
    "several lines": 'f"""Key {PAT}"""',
    "beside a text": "'Key ' f'{PAT}'",
    "a format": "'Key {}'.format(PAT)",
    "a text within a call": "f'Key {str(PAT)}'",
    "another value": "f'{\"Key\"} {PAT}'",
    "an f-string in another": "f\"{f'Key {PAT}'}\"",
    "an f-string in another, the other way": "f'{f\"Key {PAT}\"}'",
    "a literal in an f-string in another": "f\"{f'Key YOUR_PAT'}\"",
    "an f-string in another of several lines": 'f"""{f\'Key {PAT}\'}"""',
}


@pytest.mark.parametrize("header", STRAYING.values(), ids=STRAYING)
def test_a_placeholder_that_is_also_printed_is_read_where_it_is_a_key(signed_in, header):
    text = f"PAT = 'YOUR_PAT'\nprint(PAT)\nh = {{'Authorization': {header}}}\n"
    text += "import requests\nrequests.get('https://api.clarifai.com/v2/models', headers=h)"
    shown = show(signed_in, text)
    ast.parse(shown, feature_version=(3, 10))
    assert "PAT = 'YOUR_PAT'\nprint(PAT)\n" in shown
    names = {}
    code = shown.partition("import requests")[0]
    exec(code, names)
    assert names["h"] == {"Authorization": f"Key {os.environ['CLARIFAI_PAT']}"}
