"""%clarifai_snippet: every language's program is run for real, with its own tools.

The programs for other clients are run in tests/clients.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
from clarifai_grpc.grpc.api import resources_pb2, service_pb2
from kernel import LOAD
from kernel import run as run_cells
from peers import server
from support import CANARY, SECRETS, installed_by_npm

from clarifai_magic import Credentials, connect
from clarifai_magic.client.internals import internals
from clarifai_magic.credentials.secret import Secret
from clarifai_magic.errors import CallError, KeyRejectedError, RefusedConnectionError
from clarifai_magic.notebook.environment import variables
from clarifai_magic.notebook.snippets.languages import CLARIFAI, LANGUAGES, METHODS
from clarifai_magic.notebook.snippets.program import program
from clarifai_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clarifai_magic.client.session import Session

pytestmark = pytest.mark.slow

MANIFEST = Path(__file__).with_name("snippets") / "package.json"
CANNOT_READ_JSON = {"curl", "java"}  # their programs print the answer as it comes
CONCEPTS = ["metro 0.3333", "north 0.3333", "jpg 0.3333"]
REVOKED = "the API does not know this key: it is mistyped, revoked or from another deployment"
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

    def run(self, folder: Path, **added: str) -> subprocess.CompletedProcess[str]:
        """Run the program that is in a folder."""
        return self.command(self.toolchain.run, folder, **added)

    def lines(self, folder: Path, **added: str) -> list[str]:
        """What the program says when all is well: concepts, or models."""
        done = self.run(folder, **added)
        assert done.returncode == 0, done.stderr
        if self.language not in CANNOT_READ_JSON:
            return done.stdout.splitlines()
        answer = json.loads(done.stdout)
        if "models" in answer:
            return [f"{model['id']} {model['model_type_id']}" for model in answer["models"]]
        concepts = answer["outputs"][0]["data"]["concepts"]
        return [f"{concept['name']} {concept['value']:.4f}" for concept in concepts]

    def command(self, line: str, folder: Path, **added: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            env={**self.environment, "HOME": str(folder), **added},
            capture_output=True,
            encoding="utf-8",
            timeout=180,
            check=False,
        )
        shown = done.stdout + done.stderr
        assert not any(secret in shown for secret in SECRETS), f"{line} let a key out"
        return done


@pytest.fixture(scope="module")
def node_modules(pytestconfig: pytest.Config) -> Path:
    """Clarifai's client for Node.js."""
    return installed_by_npm(MANIFEST, pytestconfig.cache.mkdir("clarifai-nodejs-grpc"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(language, marks=[] if language == "python" else pytest.mark.dev)
        for language, about in LANGUAGES.items()
        if about.protocol == CLARIFAI
    ],
)
def runner(request: pytest.FixtureRequest) -> Runner:
    language = request.param
    missing = [tool for tool in TOOLCHAINS[language].tools if not shutil.which(tool)]
    if missing:
        pytest.skip(f"{language}: {', '.join(missing)} not installed (see .ci/packages)")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    if language == "java":  # compiles the program each time, and need not do so thoroughly
        environment["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
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


@pytest.fixture(scope="module")
def with_api_key(
    runner: Runner, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a program that lists the models of an API key's app."""
    with connect(_api_key(sandbox)) as session:
        return runner.written(session, LIST, tmp_path_factory.mktemp(runner.language))


def exports(session: Session) -> dict[str, str]:
    """What ``--export-env`` puts into the environment."""
    return {name: value for name, value in variables(session).items() if value}


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


def test_with_what_a_session_exports_it_predicts_without_the_key(runner, with_pat, tls_sandbox):
    with connect(_pat(tls_sandbox)) as session:
        assert runner.lines(with_pat, **exports(session)) == CONCEPTS
        assert session.broker.carried > 0


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
        internals(session).deployment = internals(session).deployment._replace(
            root_certificates=other.root_certificates
        )
        runner.written(session, PREDICT, tmp_path)
        done = runner.run(tmp_path, CLARIFAI_PAT=Secret(tls_sandbox.keys.pat))
    assert done.returncode != 0
    assert "metro" not in done.stdout


@pytest.mark.parametrize("written", ["", "{}/"])
def test_an_api_key_lists_its_app_though_an_address_may_be_empty_or_end_with_a_slash(
    runner, with_api_key, sandbox, written
):
    base, key = written.format(sandbox.base), Secret(sandbox.keys.api_key)
    lines = runner.lines(with_api_key, CLARIFAI_API_BASE=base, CLARIFAI_API_KEY=key)
    assert lines == ["pets visual-classifier"]


def test_an_address_in_the_environment_is_trusted_no_more_than_another(
    runner, sandbox, tls_sandbox, tmp_path
):
    with connect(_pat(sandbox)) as session:
        runner.written(session, PREDICT, tmp_path)
    key = Secret(tls_sandbox.keys.pat)
    done = runner.run(tmp_path, CLARIFAI_API_BASE=tls_sandbox.base, CLARIFAI_PAT=key)
    assert done.returncode != 0
    assert "metro" not in done.stdout


def test_an_api_key_predicts_with_a_model_of_its_own_app(runner, sandbox, tmp_path):
    with connect(_api_key(sandbox)) as session:
        runner.written(session, PREDICT, tmp_path)
    lines = runner.lines(tmp_path, CLARIFAI_API_KEY=Secret(sandbox.keys.api_key))
    assert sorted(line.split()[0] for line in lines) == ["cat", "dog"]


def test_with_what_an_api_keys_session_exports_it_lists_without_the_key(
    runner, with_api_key, sandbox
):
    with connect(_api_key(sandbox)) as session:
        lines = runner.lines(with_api_key, **exports(session))
    assert lines == ["pets visual-classifier"]


def test_no_id_is_taken_for_code(runner, tmp_path):
    app_id = 'it\'s-"$HOME"-`id`-é😀'
    with (
        Sandbox() as own,
        connect(_pat(own)) as session,
        session.with_ids(app_id=app_id) as odd,
    ):
        session.stub.PostApps(service_pb2.PostAppsRequest(apps=[resources_pb2.App(id=app_id)]))
        model = resources_pb2.Model(id="odd-one", model_type_id="text-classifier")
        odd.stub.PostModels(service_pb2.PostModelsRequest(models=[model]))
        runner.written(odd, LIST, tmp_path)
        lines = runner.lines(tmp_path, CLARIFAI_PAT=Secret(own.keys.pat))
    assert lines == ["odd-one text-classifier"]


def test_no_list_of_processes_shows_the_key_of_a_program(runner, with_pat):
    seen = []

    def serve(heard):
        if not seen:  # Python's and Node.js's clients try again
            with contextlib.suppress(EOFError, ConnectionError):  # or open one more, and leave it
                heard.until(b"\r\n\r\n")
            seen.extend(_arguments())

    with server(serve) as running:
        runner.run(with_pat, CLARIFAI_API_BASE=running.base, CLARIFAI_PAT=Secret(CANARY))
    assert any(runner.toolchain.run in line for line in seen)
    assert not any(CANARY in line for line in seen)


def _arguments() -> list[str]:
    """The command line of every process of this machine."""
    lines = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    return lines


@pytest.mark.dev
def test_in_a_kernel_the_program_runs_as_it_is_after_an_export(tmp_path):
    kept = f"program = %clarifai_snippet curl --method ListModels\nopen('{tmp_path}/it', 'w').write(program)"
    *_, shown, carried = run_cells(
        f"{LOAD}\n%clarifai_auth --from sandbox --export-env",
        kept,
        f"!sh {tmp_path}/it",
        "print(clarifai_session.broker.carried)",
    )
    assert '"pets"' in shown
    assert carried == "1\n"


@pytest.fixture
def signed_in(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


def test_the_magic_shows_the_program_and_gives_it_away(signed_in, sandbox):
    shown = signed_in.run("%clarifai_snippet java --method ListModels")
    assert f'base = "{sandbox.base}"' in shown
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


def test_an_app_without_a_fitting_model_is_told():
    with Sandbox() as own, connect(_api_key(own)) as session:
        with pytest.raises(CallError, match="no model of type text-to-text or multimodal-to-text"):
            program(session, "openai", PREDICT)
        session.stub.DeleteModel(service_pb2.DeleteModelRequest(model_id="pets"))
        with pytest.raises(CallError, match="Use --method ListModels"):
            program(session, "curl", PREDICT)


@pytest.mark.parametrize(
    "client", [name for name, about in LANGUAGES.items() if about.protocol != CLARIFAI]
)
def test_clients_of_other_protocols_list_no_models(client, sandbox):
    with connect(_pat(sandbox)) as session:
        assert f"Then: python {LANGUAGES[client].filename}" in program(session, client, PREDICT)
        with pytest.raises(CallError, match="Omit --method"):
            program(session, client, LIST)


def test_an_app_that_cannot_be_asked_is_told():
    with Sandbox() as own:
        session = connect(_api_key(own), timeout=1)
        key = resources_pb2.Key(id=own.keys.api_key)
        with connect(_pat(own)) as owner:
            owner.stub.DeleteKey(service_pb2.DeleteKeyRequest(key_id=key.id))
        with pytest.raises(KeyRejectedError):
            program(session, "curl", PREDICT)
    with pytest.raises(RefusedConnectionError):
        program(session, "curl", PREDICT)
