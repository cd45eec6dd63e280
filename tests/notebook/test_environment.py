"""--export-env and --export-openai: other programs find the broker and a token, until logout."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
import requests
from support import SECRETS

from clarifai_magic.sandbox import Sandbox

NAMES = ("PAT", "API_KEY", "USER_ID", "APP_ID", "API_BASE", "ROOT_CERTIFICATES_PATH")

CURL = """%%bash
curl --silent --header "Authorization: Key $CLARIFAI_PAT" \\
    "$CLARIFAI_API_BASE/v2/users/$CLARIFAI_USER_ID/apps"
"""


def clarifai_variables():
    return {name: os.environ.get(f"CLARIFAI_{name}") for name in NAMES}


def openai_variables():
    return {name: value for name, value in os.environ.items() if name.startswith("OPENAI_")}


def token(session):
    return session.broker.token


def test_the_broker_and_the_token_are_in_the_environment_until_logout(shell, sandbox):
    shell.run("%clarifai_auth --from sandbox --export-env")
    broker = shell.names["clarifai_session"].broker
    assert clarifai_variables() == {
        "PAT": broker.token,
        "API_KEY": broker.token,  # for LiteLLM
        "USER_ID": "alice",
        "APP_ID": "main",
        "API_BASE": broker.base,
        "ROOT_CERTIFICATES_PATH": None,
    }
    assert openai_variables() == {}
    shell.run("%clarifai_auth logout")
    assert set(clarifai_variables().values()) == {None}


def test_clients_of_openais_protocol_find_the_same(shell, sandbox, environment, monkeypatch):
    environment(PAT=sandbox.keys.pat)
    mine = {"OPENAI_API_KEY": "my own", "OPENAI_API_BASE": "https://mine.example.com"}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    before = clarifai_variables()
    shell.run("%clarifai_auth --export-openai")
    broker = shell.names["clarifai_session"].broker
    assert openai_variables() == {
        "OPENAI_BASE_URL": f"{broker.base}/v2/ext/openai/v1",
        "OPENAI_API_BASE": f"{broker.base}/v2/ext/openai/v1",
        "OPENAI_API_KEY": broker.token,
    }
    assert clarifai_variables() == before
    shell.run("%clarifai_auth --export-openai --export-env --as both")
    both = shell.names["both"].broker
    assert os.environ["OPENAI_API_KEY"] == os.environ["CLARIFAI_PAT"] == both.token
    shell.run("%clarifai_auth logout clarifai_session")
    assert os.environ["OPENAI_BASE_URL"].startswith(both.base)
    shell.run("%clarifai_auth logout")
    assert openai_variables() == mine
    assert clarifai_variables() == before


def test_signing_in_with_other_options_exports_what_those_say(shell, sandbox, environment):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    before = clarifai_variables()
    shell.run("%clarifai_auth --export-env")
    shell.run("%clarifai_auth --export-openai")
    assert clarifai_variables() == before
    shell.run("with clarifai_session:\n    %clarifai_auth --export-env")
    assert openai_variables() == {}
    assert clarifai_variables()["PAT"] == token(shell.names["clarifai_session"])
    shell.run("%unload_ext clarifai_magic")
    assert clarifai_variables() == before
    shell.run("%load_ext clarifai_magic")


def test_the_keys_own_variables_have_the_token_and_another_key_is_left_alone(
    shell, sandbox, environment
):
    environment(API_KEY=sandbox.keys.pat)  # as LiteLLM has it
    shell.run("%clarifai_auth --export-env")
    assert clarifai_variables()["API_KEY"] == token(shell.names["clarifai_session"])
    shell.run("%clarifai_auth logout")
    environment(PAT=sandbox.keys.pat, API_KEY=sandbox.keys.api_key)
    before = clarifai_variables()
    shell.run("%clarifai_auth --from env:CLARIFAI_API_KEY --as app --export-env")
    assert clarifai_variables()["PAT"] is None
    assert clarifai_variables()["API_KEY"] == token(shell.names["app"])
    shell.run("%clarifai_auth --export-env")
    assert clarifai_variables()["PAT"] == token(shell.names["clarifai_session"])
    assert clarifai_variables()["API_KEY"] == sandbox.keys.api_key
    shell.run("%clarifai_auth logout app")
    assert clarifai_variables()["API_KEY"] == sandbox.keys.api_key
    shell.run("%clarifai_auth logout")
    assert clarifai_variables() == before


@pytest.mark.parametrize("written", ["{}\n", " {}", "Key {}", "'{}'"])
def test_the_key_in_another_spelling_is_no_other_key(shell, sandbox, environment, written):
    """As a file of variables has it, or a secret that was made by echo."""
    environment(PAT=sandbox.keys.pat, API_KEY=written.format(sandbox.keys.pat))
    before = clarifai_variables()
    shell.run("%clarifai_auth --export-env")
    assert clarifai_variables()["API_KEY"] == token(shell.names["clarifai_session"])
    shell.run("%clarifai_auth logout")
    assert clarifai_variables() == before


def test_a_ca_bundle_is_for_the_deployment_and_not_for_the_broker(shell, monkeypatch):
    with Sandbox(tls=True) as secured:
        SECRETS.update(dataclasses.asdict(secured.keys).values())
        monkeypatch.setenv("CLARIFAI_PAT", secured.keys.pat)
        monkeypatch.setenv("CLARIFAI_API_BASE", secured.base)
        monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", secured.root_certificates)
        before = clarifai_variables()
        shell.run("%clarifai_auth --export-env")
        assert clarifai_variables()["ROOT_CERTIFICATES_PATH"] is None
        key = {"Authorization": f"Key {os.environ['CLARIFAI_PAT']}"}
        base = os.environ["CLARIFAI_API_BASE"]
        found = requests.get(f"{base}/v2/users/me", headers=key, timeout=10)
        assert found.json()["user"]["id"] == "alice"
        shell.run("%clarifai_auth logout")
        assert clarifai_variables() == before


@pytest.fixture
def dead_proxy(monkeypatch):
    """A proxy in the environment, which nothing that is for this machine may ask."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)


GRPC = f"""!{sys.executable} -c "import os, grpc; \
grpc.channel_ready_future(grpc.insecure_channel(os.environ['CLARIFAI_API_BASE'][7:])).result(20); \
print('recipes')"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", [pytest.param(CURL, marks=pytest.mark.dev), GRPC], ids=["curl", "gRPC"]
)
@pytest.mark.parametrize(
    ("present", "exported"),
    [
        ({}, {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}),
        ({"NO_PROXY": "a.b"}, {"no_proxy": "a.b,127.0.0.1", "NO_PROXY": "a.b,127.0.0.1"}),
        (
            {"no_grpc_proxy": "a.b", "no_proxy": "*"},
            {"no_grpc_proxy": "a.b,127.0.0.1", "no_proxy": "*", "NO_PROXY": "*"},
        ),
        ({"NO_PROXY": "*"}, {"no_grpc_proxy": "127.0.0.1", "no_proxy": "*", "NO_PROXY": "*"}),
        ({"no_grpc_proxy": ""}, {"no_grpc_proxy": "127.0.0.1"}),
        ({"no_grpc_proxy": "*"}, {"no_grpc_proxy": "*,127.0.0.1"}),
    ],
    ids=["none", "upper", "gRPC's", "star", "gRPC's empty", "gRPC's star"],
)
def test_programs_reach_the_broker_past_a_proxy(
    shell, monkeypatch, dead_proxy, cell, present, exported
):
    for name, value in present.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    shell.run("%clarifai_auth --from sandbox --export-env --export-openai")
    assert "recipes" in shell.run(cell)
    assert exported.items() <= os.environ.items()
    shell.run("%clarifai_auth logout")
    assert dict(os.environ) == before


def test_status_says_for_whom_the_broker_is_open_and_what_it_carried(shell, sandbox, environment):
    environment(PAT=sandbox.keys.pat)

    def told():
        [line] = [
            line for line in shell.run("%clarifai_auth status").splitlines() if "broker" in line
        ]
        return line.strip()

    shell.run("%clarifai_auth")
    assert told() == "broker not open"
    broker = shell.names["clarifai_session"].broker
    requests.get(broker.base, headers={"Authorization": f"Key {broker.token}"}, timeout=10)
    requests.get(broker.base, headers={"Authorization": "Key wrong"}, timeout=10)
    assert told() == (
        f"broker {broker.base} for clients that have its token, requests forwarded: 1"
    )
    shell.run("%clarifai_auth --export-env --export-openai")
    broker = shell.names["clarifai_session"].broker
    assert told() == (
        f"broker {broker.base} for the environment "
        "(CLARIFAI_API_KEY, CLARIFAI_PAT, OPENAI_API_KEY), requests forwarded: 0"
    )


def test_the_doctor_tells_what_is_exported(shell, sandbox, environment):
    environment(PAT=sandbox.keys.pat)
    shell.run("%clarifai_auth --export-openai")
    told = shell.run("%clarifai_auth doctor")
    exported = "OPENAI_API_BASE, OPENAI_API_KEY, OPENAI_BASE_URL"
    assert exported in re.search("variables +set: (.*)", told)[1]
    assert f"of these exported by a session: {exported}\n" in told


def test_what_was_there_comes_back_and_what_the_user_set_since_stays(
    shell, sandbox, environment, monkeypatch
):
    environment(PAT="0" * 32, USER_ID="somebody")
    shell.names["app_key"] = sandbox.keys.api_key
    before = clarifai_variables()
    shell.run("%clarifai_auth --from var:app_key --export-env")
    shell.run("%clarifai_auth --from var:app_key --export-env")
    assert clarifai_variables()["PAT"] is None
    assert clarifai_variables()["API_KEY"] == token(shell.names["clarifai_session"])
    monkeypatch.setenv("CLARIFAI_APP_ID", "mine")
    shell.run("%clarifai_auth logout")
    assert clarifai_variables() == {**before, "APP_ID": "mine"}


EXPORT = "--export-env --export-openai"
ORDERS = list(permutations(["one", "two", "three"]))


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS, ids=map("-".join, ORDERS))
def test_several_exports_undone_in_any_order_leave_what_was_there_before(
    shell, sandbox, environment, order
):
    environment(PAT="0" * 32, USER_ID="somebody")
    shell.names.update(a=sandbox.keys.pat, b=sandbox.keys.other_pat, c=sandbox.keys.api_key)
    before = clarifai_variables()
    for variable, name in (("a", "one"), ("b", "two"), ("c", "three")):
        shell.run(f"%clarifai_auth --from var:{variable} --as {name} --app-id '' {EXPORT}")
    assert clarifai_variables()["API_KEY"] == token(shell.names["three"])
    for name in order:
        shell.run(f"%clarifai_auth logout {name}")
    assert clarifai_variables() == before
    assert openai_variables() == {}


def test_the_export_that_is_left_is_the_one_that_shows(shell, sandbox, environment):
    environment()
    shell.names.update(a=sandbox.keys.pat, b=sandbox.keys.other_pat)
    shell.run("%clarifai_auth --from var:a --app-id main --export-env")
    shell.run("%clarifai_auth --from var:b --as bob --export-env")
    assert clarifai_variables()["USER_ID"] == "bob"
    shell.run("%clarifai_auth logout bob")
    assert clarifai_variables()["PAT"] == token(shell.names["clarifai_session"])
    assert clarifai_variables()["USER_ID"] == "alice"
    shell.run("%clarifai_auth logout")
    assert clarifai_variables()["PAT"] is None


def test_a_variable_that_the_user_changed_or_took_away_between_exports_is_left_alone(
    shell, sandbox, environment, monkeypatch
):
    environment()
    shell.names.update(a=sandbox.keys.pat, b=sandbox.keys.other_pat)
    shell.run("%clarifai_auth --from var:a --app-id main --export-env")
    monkeypatch.setenv("CLARIFAI_APP_ID", "mine")
    monkeypatch.delenv("CLARIFAI_USER_ID")
    shell.run("%clarifai_auth --from var:b --as bob --app-id attic --export-env")
    shell.run("%clarifai_auth logout clarifai_session")
    assert clarifai_variables()["APP_ID"] == "attic"
    shell.run("%clarifai_auth logout")
    assert clarifai_variables()["APP_ID"] == "mine"
    assert clarifai_variables()["USER_ID"] is None


def test_a_sample_that_exports_or_signs_out_leaves_what_was_there_before(
    shell, sandbox, environment
):
    environment(PAT="0" * 32)
    before = clarifai_variables()
    shell.names.update(a=sandbox.keys.pat, b=sandbox.keys.other_pat)
    shell.run("%clarifai_auth --from var:a --app-id main --export-env")
    shell.run(
        "%%clarifai_sample\n%clarifai_auth --from var:b --as bob --export-env\n"
        "%clarifai_auth logout clarifai_session"
    )
    assert clarifai_variables()["USER_ID"] == "bob"
    shell.run("%clarifai_auth logout")
    assert clarifai_variables() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [
        "from clarifai.client.user import User\nprint([a.id for a in User().list_apps()])",
        CURL,
        f"!{Path(sys.executable).parent}/clarifai app list",
    ],
    ids=["SDK", "curl", "CLI"],
)
@pytest.mark.dev
def test_other_clients_find_it(cell):
    from kernel import LOAD, run

    *_, shown = run(f"{LOAD}\n%clarifai_auth --from sandbox --export-env", cell)
    assert "main" in shown
    assert "recipes" in shown


def test_an_exported_session_is_no_source_of_another_sign_in(
    shell, environment, sandbox, monkeypatch
):
    environment(PAT=sandbox.keys.pat)
    monkeypatch.setenv("BOBS", sandbox.keys.other_pat)
    shell.names["mine"] = sandbox.keys.pat
    shell.run("%clarifai_auth --from sandbox --as demo --export-env")
    # Neither the other session's deployment, nor its key, nor its IDs.
    for line in ("--from var:mine --app-id main --as work", "", "--from env:BOBS --as bob"):
        shell.run(f"%clarifai_auth {line}")
    names = shell.names
    assert {names[name].base for name in ("work", "clarifai_session", "bob")} == {sandbox.base}
    assert names["demo"].base != sandbox.base
    assert names["clarifai_session"].source == "CLARIFAI_PAT in the environment"
    assert names["bob"].identity.owner == "bob"


def test_signing_in_again_keeps_the_address_which_clients_may_have_read_once(
    shell, sandbox, environment
):
    environment(PAT=sandbox.keys.pat)
    bases = []
    for _ in range(2):  # Run All, twice
        shell.run("%clarifai_auth --export-env")
        shell.run("%clarifai_auth --export-env --as second")
        bases.append([shell.names[name].broker.base for name in ("clarifai_session", "second")])
    shell.run("%clarifai_auth logout")
    shell.run("%clarifai_auth --export-env")
    assert bases[0] == bases[1]
    assert len({*bases[0]}) == 2
    assert clarifai_variables()["API_BASE"] == bases[0][0]


@pytest.mark.slow
@pytest.mark.dev
def test_the_sdk_that_keeps_an_address_is_told_of(environment, sandbox):
    from kernel import LOAD, run

    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="main")
    imports = "from clarifai.client.user import User"
    _, _, early, listed, left = run(
        LOAD,
        imports,
        "%clarifai_auth --export-env",
        "import os\nuser = User(base_url=os.environ['CLARIFAI_API_BASE'])\n"
        "print([app.id for app in user.list_apps()])",
        "%clarifai_auth logout",
    )
    assert "the Clarifai SDK was imported before" in early
    assert listed == "['main', 'recipes']\n"
    assert "SDK" not in left
    _, in_time, *again, left = run(
        LOAD,
        "%clarifai_auth --export-env",
        f"{imports}\nprint(len([*User().list_apps()]))",
        "%clarifai_auth --export-env",
        "print(len([*User().list_apps()]))",
        "%clarifai_auth logout",
    )
    assert "SDK" not in in_time
    assert again[::2] == ["2\n", "2\n"]
    assert "SDK" not in again[1]
    assert "The Clarifai SDK was imported during the session" in left


CHILD = """
import os
import clarifai_magic, requests
from clarifai_grpc.grpc.api import service_pb2

with clarifai_magic.connect() as session:
    print(session.identity.kind, "from", session.source)
    assert session.base == os.environ["CLARIFAI_API_BASE"]
    print(session.stub.GetApp(service_pb2.GetAppRequest()).app.id)
    # And to programs of its own, by one broker after the other.
    broker = session.broker
    assert broker.token not in os.environ.values()
    key = {"Authorization": f"Key {broker.token}"}
    print(requests.get(f"{broker.base}/v2/users/alice/apps/main", headers=key).json()["app"]["id"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "variable", "told"),
    [
        ("pat", "CLARIFAI_PAT", "PAT from CLARIFAI_PAT in the environment"),
        ("api_key", "CLARIFAI_API_KEY", "API key from CLARIFAI_API_KEY in the environment"),
    ],
)
def test_a_program_that_is_started_with_it_may_sign_in_until_logout(
    shell, environment, sandbox, kind, variable, told
):
    environment()
    shell.names["mine"] = getattr(sandbox.keys, kind)
    shell.run("%clarifai_auth --from var:mine --app-id main --export-env")
    theirs = dict(os.environ)
    assert theirs[variable] == token(shell.names["clarifai_session"])

    def started():
        return subprocess.run(
            [sys.executable, "-c", CHILD],
            env=theirs,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    done = started()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [told, "main", "main"]
    shell.run("%clarifai_auth logout")
    done = started()
    assert done.returncode == 1
    assert "Nothing answers at" in done.stderr
