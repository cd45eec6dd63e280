"""The words of a line: quotes as in a shell, and refusal of what an action does not take."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threads import in_threads, often_switching

from clarifai_magic.notebook import grammar
from clarifai_magic.notebook.words import split, variable
from clarifai_magic.sandbox import Sandbox


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('--root-certificates "/a b.pem"', ["--root-certificates", "/a b.pem"]),
        ("--root-certificates '/a b.pem'", ["--root-certificates", "/a b.pem"]),
        (r"--root-certificates /a\ b.pem", ["--root-certificates", "/a b.pem"]),
        ('--root-certificates="/a b.pem"', ["--root-certificates=/a b.pem"]),
        ("""audit "it's.ipynb" '"x".ipynb'""", ["audit", "it's.ipynb", '"x".ipynb']),
        ("audit 'a # b.ipynb' ünï.ipynb", ["audit", "a # b.ipynb", "ünï.ipynb"]),
        ("--app-id ''", ["--app-id", ""]),
        ("", []),
    ],
)
def test_quotes_are_those_of_a_shell(line, words):
    assert split(line, windows=False) == words


def test_backslashes_of_windows_paths_stay():
    line = r'--root-certificates "C:\my certs\ca.pem" audit C:\notes\n.ipynb'
    words = ["--root-certificates", r"C:\my certs\ca.pem", "audit", r"C:\notes\n.ipynb"]
    assert split(line, windows=True) == words


@given(st.lists(st.text(st.characters(exclude_characters="'\0", exclude_categories=["Cs"]))))
def test_whatever_stands_in_quotes_is_one_word(words):
    assert split(" ".join(f"'{word}'" for word in words), windows=False) == words


def test_a_certificate_in_a_path_with_spaces_is_read(shell, environment, tmp_path):
    with Sandbox(tls=True) as sandbox:
        path = tmp_path / "my own" / "ca's.pem"
        path.parent.mkdir()
        shutil.copy(sandbox.root_certificates, path)
        environment(PAT=sandbox.keys.pat, APP_ID="main", API_BASE=sandbox.base)
        said = shell.run(f'%clarifai_auth --root-certificates "{path}"')
        assert said.startswith("Signed in as alice")
        shell.run("%clarifai_auth logout")


def test_a_notebook_with_a_space_in_its_name_is_audited(shell, tmp_path):
    path = tmp_path / "my notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    assert "No key was found" in shell.run(f'%clarifai_auth audit "{path}"')
    assert "my notebook.ipynb" not in shell.run(f"%clarifai_auth audit '{path}'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("login foo", "%clarifai_auth login [--from SOURCE[:NAME]]"),
        ("status nonsense", "%clarifai_auth status"),
        ("status login", "%clarifai_auth status"),
        ("status status", "%clarifai_auth status"),
        ("status --save config", "%clarifai_auth status"),
        ("doctor x", "%clarifai_auth doctor [--base URL] [--root-certificates PATH]"),
        ("doctor --user-id alice", "%clarifai_auth doctor [--base URL]"),
        ("use", "%clarifai_auth use NAME"),
        ("use one two", "%clarifai_auth use NAME"),
        ("logout one two", "%clarifai_auth logout [NAME]"),
        ("logout --as work", "%clarifai_auth logout [NAME]"),
        ("audit --save config", "%clarifai_auth audit [PATH …] [--fix]"),
        ("login --fix", "%clarifai_auth login"),
        ("--fix", "%clarifai_auth login"),
        ("help me", "%clarifai_auth help"),
        ("login 'open", "%clarifai_auth"),
    ],
)
def test_words_that_an_action_does_not_take_are_refused_in_one_line(shell, line, usage):
    shell.run("%clarifai_auth --from sandbox")
    error = shell.fail(f"%clarifai_auth {line}")
    assert error.startswith("UsageError: ")
    assert usage in error
    assert len(error.splitlines()) == 1
    assert shell.run("%clarifai_auth status").startswith("* clarifai_session: alice")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("class", "None", "1a", "'a b'", "a-b", "''", "print", "type", "_", "__", "_3", "_ih"),
        *("In", "Out", "stub", "metadata", "USER_ID", "Struct", "get_ipython", "exit"),
    ],
)
def test_names_that_are_no_variables_or_something_elses_are_refused(shell, name):
    error = shell.fail(f"%clarifai_auth --from sandbox --as {name}")
    assert error.strip().startswith("UsageError: --as NAME: ")
    assert len(error.splitlines()) == 1
    assert "USER_ID" not in shell.names


@pytest.mark.parametrize("name", ["work", "match", "ünï", "x1", "clarifai_session"])
def test_other_names_are_bound(shell, name):
    shell.run(f"%clarifai_auth --from sandbox --as {name}")
    assert shell.run(f"print({name}.identity.owner)").strip() == "alice"


def test_a_name_is_what_python_makes_of_it(shell):
    assert variable("ﬁx", ()) == "fix"
    shell.run("%clarifai_auth --from sandbox --as ﬁx")
    assert shell.run("print(ﬁx.identity.owner)").strip() == "alice"


@pytest.mark.parametrize(
    "seconds", ["nan", "inf", "-inf", "-1", "0", "1e400", "soon", "''", "1e99"]
)
@pytest.mark.parametrize("form", ["--timeout {}", "--timeout={}"])
def test_a_time_that_is_none_is_refused_in_one_line(shell, seconds, form):
    error = shell.fail(f"%clarifai_auth --from sandbox {form.format(seconds)}")
    assert error.startswith("UsageError: ")
    assert len(error.splitlines()) == 1
    assert "USER_ID" not in shell.names


@pytest.mark.filterwarnings("ignore:.*Completer.complete:PendingDeprecationWarning")
@pytest.mark.slow
def test_completion_offers_actions_options_sources_and_sessions(shell):
    def offered(line: str) -> list[str]:
        return shell.ip.complete(line.rpartition(" ")[2], line, len(line))[1]

    assert offered("%clarifai_auth st") == ["status"]
    assert offered("%clarifai_auth --fr") == ["--from"]
    assert offered("%clarifai_auth --from s") == ["sandbox"]
    assert offered("%clarifai_auth --no-input --from s") == ["sandbox"]
    assert offered("%clarifai_auth --save k") == ["keyring"]
    shell.run("%clarifai_auth --from sandbox --as play")
    shell.run("%clarifai_auth --from sandbox --as party")
    assert {*offered("%clarifai_auth use p")} == {"play", "party"}
    assert offered("%clarifai_auth logout pl") == ["play"]
    assert offered("clarifai_auth logout pl") == ["play"]
    assert offered("%clarifai_auth doctor --") == ["--base", "--root-certificates"]
    assert "curl" in offered("%clarifai_snippet c")
    assert offered("%clarifai_scopes PostInp")[0].startswith("PostInp")


@pytest.mark.filterwarnings("ignore:.*Completer.complete:PendingDeprecationWarning")
def test_completion_of_paths_is_ipythons(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.ipynb").touch()
    for line in ("%clarifai_auth audit mi", "%clarifai_auth --root-certificates mi"):
        assert "mine.ipynb" in shell.ip.complete("mi", line, len(line))[1]


def test_lines_of_several_threads_are_understood_and_those_after_them_too(shell):
    """As those of a kernel's subshells are."""
    magics = shell.ip.magics_manager.registry["ClarifaiMagics"]

    def parse():
        return {grammar.parse(magics.clarifai_auth, "use NAME").action for _ in range(40)}

    with often_switching():
        assert in_threads(4, parse) == [{"use"}] * 4
    assert parse() == {"use"}


def test_a_line_says_nothing_for_the_next(shell):
    magics = shell.ip.magics_manager.registry["ClarifaiMagics"]
    first = grammar.parse(magics.clarifai_auth, "--app-id main --as other --timeout 3 --no-verify")
    assert (first.app_id, first.bound_name, first.timeout, first.no_verify) == (
        "main",
        "other",
        3,
        True,
    )
    for line in ("login", "--user-id alice"):
        then = grammar.parse(magics.clarifai_auth, line)
        assert (then.app_id, then.bound_name, then.timeout, then.no_verify) == (
            "",
            "clarifai_session",
            10,
            False,
        )
