"""%clarifai_snippet: every language's program is run for real, with its own tools."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from support import CANARY, SECRETS

from clarifai_magic import Credentials, connect
from clarifai_magic.errors import CallError, KeyRejectedError, RefusedConnectionError
from clarifai_magic.sandbox import Sandbox
from clarifai_magic.secret import Secret
from clarifai_magic.snippets.languages import LANGUAGES, METHODS
from clarifai_magic.snippets.program import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.session import Session

MANIFEST = Path(__file__).with_name("snippets") / "package.json"
CANNOT_READ_JSON = {"curl", "java"}  # their programs print the answer as it comes
CONCEPTS = ["metro 0.3333", "north 0.3333", "jpg 0.3333"]
REVOKED = "the API knows no such key: mistyped, revoked or of another deployment"
PREDICT, LIST = METHODS


class Toolchain(NamedTuple):
    """Commands that must be there, and the lines of a program's head that say how to run it."""

    tools: list[str]
    run: str
    build: str = ""


TOOLCHAINS = {
    "curl": Toolchain(["curl"], "sh snippet.sh"),
    "python": Toolchain(["python"], "python snippet.py"),
    "nodejs": Toolchain(["node", "npm"], "node snippet.js"),
    "java": Toolchain(["java"], "java Snippet.java"),
    "php": Toolchain(["php"], "php snippet.php"),
    "csharp": Toolchain(
        ["mcs", "mono", "cert-sync"],
        "mono Snippet.exe",
        "mcs -r:System.Net.Http,System.Runtime.Serialization,System.Xml.Linq Snippet.cs",
    ),
    "objc": Toolchain(
        ["gcc", "gnustep-config"],
        "./snippet",
        "gcc $(gnustep-config --objc-flags) snippet.m $(gnustep-config --base-libs) -o snippet",
    ),
}


def unavailable(words: str) -> None:
    """Skip a test, but not where nothing may be left out."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(words)


class Runner:
    """Runs a language's programs, each in a folder of its own."""

    def __init__(self, language: str, environment: dict[str, str]) -> None:
        self.language = language
        self.toolchain = TOOLCHAINS[language]
        self.environment = environment

    def written(self, session: Session, method: str, folder: Path) -> Path:
        """The folder with a session's program, built where it must be."""
        text = program(session, self.language, method)
        assert self.toolchain.run in text
        assert self.toolchain.build in text
        (folder / LANGUAGES[self.language].filename).write_text(text, encoding="utf-8")
        if self.toolchain.build:
            done = self.command(self.toolchain.build, folder)
            assert (done.returncode, done.stderr) == (0, "")
        return folder

    def run(self, folder: Path, **keys: Secret) -> subprocess.CompletedProcess[str]:
        """Run the program that is in a folder."""
        return self.command(self.toolchain.run, folder, **keys)

    def lines(self, folder: Path, **keys: Secret) -> list[str]:
        """What the program says when all is well: concepts, or models."""
        done = self.run(folder, **keys)
        assert done.returncode == 0, done.stderr
        if self.language not in CANNOT_READ_JSON:
            return done.stdout.splitlines()
        answer = json.loads(done.stdout)
        if "models" in answer:
            return [f"{model['id']} {model['model_type_id']}" for model in answer["models"]]
        concepts = answer["outputs"][0]["data"]["concepts"]
        return [f"{concept['name']} {concept['value']:.4f}" for concept in concepts]

    def command(self, line: str, folder: Path, **keys: Secret) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            env={**self.environment, "HOME": str(folder), **keys},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        shown = done.stdout + done.stderr
        assert not any(secret in shown for secret in SECRETS), f"{line} let a key out"
        return done


@pytest.fixture(scope="module")
def node_modules(pytestconfig: pytest.Config) -> Path:
    """Clarifai's client for Node.js, in pytest's cache."""
    folder = pytestconfig.cache.mkdir("clarifai-nodejs-grpc")
    shutil.copy(MANIFEST, folder)
    options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        ["npm", "install", *options], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        unavailable(f"npm could not install clarifai-nodejs-grpc: {done.stderr}")
    return folder / "node_modules"


@pytest.fixture(scope="module", params=LANGUAGES)
def runner(request: pytest.FixtureRequest) -> Runner:
    language = request.param
    missing = [tool for tool in TOOLCHAINS[language].tools if not shutil.which(tool)]
    if missing:
        unavailable(f"{language}: {', '.join(missing)} not installed (see .ci/packages)")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    if language == "nodejs":
        environment["NODE_PATH"] = str(request.getfixturevalue("node_modules"))
    return Runner(language, environment)


@pytest.fixture(scope="module")
def tls_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose CA bundle has a name that every language must write down with care."""
    with Sandbox(tls=True) as running:
        SECRETS.update(dataclasses.asdict(running.keys).values())
        bundle = tmp_path_factory.mktemp('it\'s a "$HOME"') / "`ça`.pem"
        shutil.copy(running.root_certificates, bundle)
        running.root_certificates = str(bundle)
        yield running


@pytest.fixture(scope="module")
def with_pat(
    runner: Runner, tls_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a program that predicts over TLS."""
    folder = tmp_path_factory.mktemp(runner.language)
    with connect(_pat(tls_sandbox)) as session:
        runner.written(session, PREDICT, folder)
    if runner.language == "csharp":  # trusts what the platform trusts, as its head says
        assert "cert-sync --user" in (folder / "Snippet.cs").read_text(encoding="utf-8")
        bundle = folder / "authority.pem"
        shutil.copy(tls_sandbox.root_certificates, bundle)
        assert runner.command(f"cert-sync --user {bundle}", folder).returncode == 0
    return folder


def _pat(sandbox: Sandbox) -> Credentials:
    return Credentials(
        sandbox.keys.pat,
        app_id="main",
        base=sandbox.base,
        root_certificates=sandbox.root_certificates or "",
    )


def _api_key(sandbox: Sandbox) -> Credentials:
    return Credentials(sandbox.keys.api_key, base=sandbox.base)


def test_a_pat_predicts_over_tls(runner, with_pat, tls_sandbox):
    assert runner.lines(with_pat, CLARIFAI_PAT=Secret(tls_sandbox.keys.pat)) == CONCEPTS


def test_a_refusal_is_told_with_its_meaning_and_fails(runner, with_pat, tls_sandbox):
    done = runner.run(with_pat, CLARIFAI_PAT=Secret(tls_sandbox.keys.revoked_key))
    assert done.returncode != 0
    for words in ("11009", "API key not found", "invalid key", REVOKED):
        assert words in done.stdout + done.stderr


def test_without_a_key_the_variable_is_named(runner, with_pat):
    done = runner.run(with_pat)
    assert done.returncode != 0
    assert "Set CLARIFAI_PAT to your PAT first." in done.stderr


def test_a_server_that_is_not_trusted_is_not_spoken_to(runner, tls_sandbox, tmp_path):
    with connect(_pat(tls_sandbox)) as session, Sandbox(tls=True) as other:
        session.deployment = session.deployment._replace(root_certificates=other.root_certificates)
        runner.written(session, PREDICT, tmp_path)
        done = runner.run(tmp_path, CLARIFAI_PAT=Secret(tls_sandbox.keys.pat))
    assert done.returncode != 0
    assert "metro" not in done.stdout


def test_an_api_key_predicts_with_a_model_of_its_own_app(runner, sandbox, tmp_path):
    with connect(_api_key(sandbox)) as session:
        runner.written(session, PREDICT, tmp_path)
    lines = runner.lines(tmp_path, CLARIFAI_API_KEY=Secret(sandbox.keys.api_key))
    assert sorted(line.split()[0] for line in lines) == ["cat", "dog"]


def test_an_api_key_lists_the_models_of_its_app(runner, sandbox, tmp_path):
    with connect(_api_key(sandbox)) as session:
        runner.written(session, LIST, tmp_path)
    lines = runner.lines(tmp_path, CLARIFAI_API_KEY=Secret(sandbox.keys.api_key))
    assert lines == ["pets visual-classifier"]


def test_no_id_is_taken_for_code(runner, sandbox, tmp_path):
    app_id = 'it\'s-"$HOME"-`id`-é😀'
    with connect(_pat(sandbox)) as session, session.with_ids(app_id=app_id) as odd:
        session.stub.PostApps(service_pb2.PostAppsRequest(apps=[resources_pb2.App(id=app_id)]))
        model = resources_pb2.Model(id="odd-one", model_type_id="text-classifier")
        odd.stub.PostModels(service_pb2.PostModelsRequest(models=[model]))
        runner.written(odd, LIST, tmp_path)
    assert runner.lines(tmp_path, CLARIFAI_PAT=Secret(sandbox.keys.pat)) == [
        "odd-one text-classifier"
    ]


@pytest.fixture
def signed_in(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


def test_the_magic_shows_the_program_and_gives_it_away(signed_in, sandbox):
    shown = signed_in.run("%clarifai_snippet java --method ListModels")
    assert f'BASE = "{sandbox.base}"' in shown
    assert '"/v2/users/alice/apps/main/models"' in shown
    signed_in.run("code = %clarifai_snippet java --method ListModels")
    assert signed_in.names["code"] in shown
    formats, _ = signed_in.ip.display_formatter.format(signed_in.names["code"])
    assert formats["text/plain"] == signed_in.names["code"]
    assert formats["text/markdown"].startswith("```java\n")


def test_the_magic_takes_the_session_in_use(signed_in, environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    signed_in.run("%clarifai_auth --from env:CLARIFAI_API_KEY --as key")
    assert "CLARIFAI_PAT" in signed_in.run("%clarifai_snippet php")
    signed_in.run("%clarifai_auth use key")
    assert "CLARIFAI_API_KEY" in signed_in.run("%clarifai_snippet php")


def test_the_magic_before_any_sign_in_and_with_a_wrong_line(shell):
    assert "Run %clarifai_auth first." in shell.fail("%clarifai_snippet php")
    assert "%clarifai_snippet curl|python|" in shell.fail("%clarifai_snippet cobol")
    assert "It was not used." in shell.fail(f"%clarifai_snippet php --key {CANARY}")


@pytest.mark.filterwarnings("ignore:.*Completer.complete:PendingDeprecationWarning")
@pytest.mark.parametrize(("line", "offered"), [("cs", "csharp"), ("php --method L", "ListModels")])
def test_completion_offers_languages_and_methods(shell, line, offered):
    text = f"%clarifai_snippet {line}"
    assert shell.ip.complete(line.rpartition(" ")[2], text, len(text))[1] == [offered]


def test_a_pat_without_an_app_is_told_how_to_choose_one(sandbox):
    with connect(Credentials(sandbox.keys.pat, base=sandbox.base)) as session:
        assert "apps/main/models/general-image-recognition" in program(session, "curl", PREDICT)
        with pytest.raises(CallError, match="Run %clarifai_auth --app-id ID"):
            program(session, "curl", LIST)


def test_an_app_without_a_classifier_is_told():
    with Sandbox() as own, connect(_api_key(own)) as session:
        session.stub.DeleteModel(service_pb2.DeleteModelRequest(model_id="pets"))
        with pytest.raises(CallError, match="Take --method ListModels"):
            program(session, "curl", PREDICT)


def test_an_app_that_cannot_be_asked_is_told():
    with Sandbox() as own:
        session = connect(_api_key(own))
        key = resources_pb2.Key(id=own.keys.api_key)
        with connect(_pat(own)) as owner:
            owner.stub.DeleteKey(service_pb2.DeleteKeyRequest(key_id=key.id))
        with pytest.raises(KeyRejectedError):
            program(session, "curl", PREDICT)
    with pytest.raises(RefusedConnectionError):
        program(session, "curl", PREDICT)
