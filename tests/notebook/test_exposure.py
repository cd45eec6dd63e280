"""A key typed where it is saved and shared: refused, forgotten, and repeated nowhere."""

from __future__ import annotations

import gc
import linecache
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from support import CANARY, IPYTHON
from terminal import PROMPT, with_the_magics

from clarifai_magic.errors import ExposedKeyError

HALF, REST = CANARY[:16], CANARY[16:]
LINES = {
    "alone": f"%clarifai_auth {CANARY}",
    "in quotes": f"%clarifai_auth '{CANARY}'",
    "as a header": f'%clarifai_auth "Key {CANARY}"',
    "upper case": f"%clarifai_auth {CANARY.upper()}",
    "an option": f"%clarifai_auth --pat {CANARY}",
    "an option with =": f"%clarifai_auth --api-key={CANARY}",
    "after options": f"%clarifai_auth login --user-id alice Key {CANARY}",
    "a wrong option": f"%clarifai_auth --timeout {CANARY}",
    "a source": f"%clarifai_auth --from {CANARY}",
    "a source's name": f"%clarifai_auth --from env:{CANARY}",
    "status": f"%clarifai_auth status {CANARY}",
    "behind a session's name": f"%clarifai_auth use work {CANARY}",
    "behind the name of one to log out": f"%clarifai_auth logout work {HALF} {REST}",
    "without the space": f"%clarifai_auth Key{CANARY}",
    "at the end of a word": f"%clarifai_auth login{CANARY}",
    "in two words": f"%clarifai_auth {HALF} {REST}",
    "around an option": f"%clarifai_auth {HALF} --no-input {REST}",
    "in pieces in quotes": f"%clarifai_auth '{HALF}, {REST[:8]}' {REST[8:]}",
    "on two lines": f"%clarifai_auth --pat \\\n    {CANARY}",
    "no hexadecimal": "%clarifai_auth --pat ca9-not-even-hex",
    "half a key, open quote": "%clarifai_auth --token 'ca9-half a key",
    "an option of one letter": "%clarifai_auth -kca9-not-even-hex=1",
    "a password": "%clarifai_auth --password ca9-secret",
    "among others": f"x = 1\n%clarifai_auth {CANARY}\ny = '{CANARY}'  # again",
    "indented": f"if True:\n    %clarifai_auth {CANARY}",
    "assigned": f"x = %clarifai_auth {CANARY}",
    "a cell": f"%%clarifai_auth\n{CANARY}",
    "a cell of two lines": f"%%clarifai_auth\n{HALF}\n{REST}",
    "a cell's line": f"%%clarifai_auth {CANARY}\n1",
    "a cell with a word": "%%clarifai_auth\nca9-secret",
    "a cell's line alone": f"%%clarifai_auth {CANARY}",
    "scopes, a cell's line alone": f"%%clarifai_scopes {CANARY}",
    "sample, a cell's line alone": "%%clarifai_sample --pat ca9-secret",
    "login": f"%clarifai_login {CANARY}",
    "login behind a word": f"%clarifai_login use {CANARY}",
    "login in pieces": f"%clarifai_login {HALF} {REST}",
    "login, a cell": f"%%clarifai_login\n{CANARY}",
    "scopes": f"%clarifai_scopes {CANARY}",
    "scopes, an option": "%clarifai_scopes --pat ca9-secret",
    "scopes, a cell": f"%%clarifai_scopes\n{CANARY}",
    "snippet": f"%clarifai_snippet curl --pat {CANARY}",
    "snippet, a cell": f"%%clarifai_snippet curl\n{CANARY}",
    "sample": f"%%clarifai_sample {CANARY}\n1",
    "sample, an option": f"%%clarifai_sample --pat {CANARY}\n1",
    "sample, one percent sign": f"%clarifai_sample {CANARY}",
}
TYPED = (CANARY, CANARY.upper(), HALF, REST, "ca9-")


@pytest.fixture(autouse=True)
def no_lines_of_other_tests():
    for cache in (linecache.cache, getattr(linecache, "_ipython_cache", {})):
        cache.clear()


def remembered(shell):
    """What IPython keeps of cells, in memory and on disk, that has what was typed."""
    manager = shell.ip.history_manager
    shell.run("pass")
    manager.writeout_cache()
    inputs = {name: value for name, value in shell.names.items() if name.startswith(("_i", "In"))}
    caches = [entry[2] for entry in linecache.cache.values() if len(entry) == 4]
    caches += [entry[2] for entry in getattr(linecache, "_ipython_cache", {}).values()]
    kept = [
        inputs,
        manager.input_hist_raw,
        manager.input_hist_parsed,
        vars(manager)["_trait_values"],
    ]
    kept += [line for lines in caches for line in lines if "clarifai" in line]
    on_disk = shell.history_file.read_bytes().decode("latin-1")
    return [text for text in TYPED if text in repr(kept) + on_disk]


CASES = [(cell, "Verbose") for cell in LINES.values()]
CASES += [(LINES["alone"], xmode) for xmode in ("Plain", "Context", "Minimal")]


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "xmode"), CASES, ids=[*LINES, "Plain", "Context", "Minimal"])
def test_it_is_refused_and_forgotten(shell, cell, xmode):
    shell.run(f"%xmode {xmode}")
    error = shell.fail(cell)
    assert not [text for text in TYPED if text in error]
    assert len(error.splitlines()) <= 3
    again = shell.ip.run_cell("%tb", store_history=True)
    assert again.error_in_exec is None
    assert not remembered(shell)
    if cell != LINES["a cell with a word"]:
        assert "It was not used." in error
        assert "revoke it at https://clarifai.com/me/settings/secrets" in error
    else:
        assert error.startswith("UsageError: ")


@pytest.mark.parametrize(
    "cell", [f"%%capture\n%clarifai_auth {CANARY}", f"%time %clarifai_auth {CANARY}"]
)
def test_within_another_magic_it_is_forgotten_as_well(shell, cell):
    result = shell.ip.run_cell(cell, store_history=True)
    assert CANARY not in "".join(shell._capsys.readouterr()) + repr(vars(result.info))
    assert not remembered(shell)


def test_no_frame_of_the_error_is_left_in_which_the_line_stands(shell):
    shell.fail(LINES["alone"])
    shell.run("%tb")
    gc.collect()
    frames = [each for each in gc.get_objects() if isinstance(each, type(sys._getframe()))]
    assert not [
        frame
        for frame in frames
        if f"{CANARY}" in map(str, frame.f_locals.values())
        and frame.f_code.co_name != "test_no_frame_of_the_error_is_left_in_which_the_line_stands"
    ]
    result = shell.ip.run_cell(LINES["alone"], store_history=True)
    assert isinstance(result.error_in_exec, ExposedKeyError)
    assert result.error_in_exec.__traceback__ is None
    assert CANARY not in repr(result)
    shell._capsys.readouterr()


@pytest.mark.parametrize(
    "line", ["--app-id {}", "--user-id 'Key {}'", "--app-id={} --from env", "--as {}", "--base {}"]
)
def test_the_key_that_was_found_is_no_id_no_name_and_no_host(shell, environment, line):
    environment(PAT=CANARY)
    assert "It was not used." in shell.fail(f"%clarifai_auth {line.format(CANARY)}")
    assert not remembered(shell)


def test_the_cell_that_has_the_line_is_named_if_it_is_another_one(shell):
    shell.run(f"def sign_in():\n    %clarifai_auth {CANARY}")
    assert "It is also in cell In[2]." in shell.fail("sign_in()")


HARMLESS = [
    f"--app-id {CANARY}",
    f"--app-id={CANARY}",
    f"--user-id '{CANARY}'",
    f"--root-certificates /tmp/{CANARY}/ca.pem",
    f"--base http://127.0.0.1:9/{CANARY}",
    f"--base http://{CANARY}.localhost:9",
    f"--as a{CANARY}x",
    f"use {CANARY}",
    f"logout {CANARY}",
    f"audit /tmp/{CANARY}.ipynb",
    f"audit {HALF}/{REST}",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", HARMLESS)
def test_where_an_id_a_name_or_a_path_stands_is_no_key(shell, environment, sandbox, line):
    environment(PAT=sandbox.keys.pat)
    shell.ip.run_cell(f"%clarifai_auth {line}", store_history=True)
    shown = "".join(shell._capsys.readouterr())
    assert "It was not used." not in shown
    assert CANARY in shell.names["In"][-1] or HALF in shell.names["In"][-1]


@pytest.mark.parametrize(
    "line",
    [
        f"--base {CANARY}",
        f"--base={CANARY.upper()}/",
        f"--base https://{CANARY}:443",
        f"--base https://{CANARY}@api.example.com",
        f"--base 'Key {CANARY}'",
        f"doctor --base {CANARY}",
    ],
)
def test_a_base_that_is_in_whole_a_key_is_one(shell, line):
    for _ in range(2):
        assert "It was not used." in shell.fail(f"%clarifai_auth {line}")
        assert not remembered(shell)


def test_a_cell_without_a_body_is_still_none(shell):
    for cell in ("%%clarifai_sample --show", "%%clarifai_sample", "%%clarifai_auth"):
        assert shell.fail(cell).startswith("UsageError: ")
    assert shell.ip.check_complete("%%clarifai_sample --show")[0] == "incomplete"
    others = len(shell.ip.input_transformers_cleanup)
    shell.run("%reload_ext clarifai_magic")
    assert len(shell.ip.input_transformers_cleanup) == others
    shell.run("%unload_ext clarifai_magic")
    assert len(shell.ip.input_transformers_cleanup) == others - 2
    shell.run("%load_ext clarifai_magic")


def test_a_harmless_id_beside_a_key_does_not_save_it(shell):
    shell.fail(f"%clarifai_auth --app-id {'0' * 32} {CANARY}")
    assert not remembered(shell)


def rows(shell):
    shell.ip.history_manager.writeout_cache()
    with closing(sqlite3.connect(shell.history_file)) as database:
        return database.execute("SELECT session, line, source_raw FROM history").fetchall()


def test_only_that_lines_own_row_is_changed(shell):
    theirs = ["!echo --key a.pem --key alpha", "%clarifai_auth --key a", f"x = '{CANARY}'"]
    rows(shell)
    with closing(sqlite3.connect(shell.history_file)) as database, database:
        for number, line in enumerate(theirs, start=1):
            database.execute("INSERT INTO history VALUES (4711, ?, ?, ?)", (number, line, line))
    shell.run("note = 'tar --key a'")
    shell.fail("%clarifai_auth --key a")
    shell.run("note = 'tar --key a'")
    shell.fail(f"%clarifai_auth {CANARY}")
    found = rows(shell)
    assert [row for row in found if row[0] == 4711] == [
        (4711, number, line) for number, line in enumerate(theirs, start=1)
    ]
    assert [row[2] for row in found if row[0] != 4711] == [
        "%load_ext clarifai_magic",
        "note = 'tar --key a'",
        "%clarifai_auth [clarifai key]",
        "note = 'tar --key a'",
        "%clarifai_auth [clarifai key]",
    ]
    assert shell.names["In"][2] == shell.names["In"][4] == "note = 'tar --key a'"


def test_a_line_whose_row_is_on_disk_already_is_wiped_from_the_file(shell):
    shell.fail(f"get_ipython().history_manager.writeout_cache()\n%clarifai_auth {CANARY}")
    assert not remembered(shell)
    assert "%clarifai_auth [clarifai key]" in rows(shell)[1][2]


def test_a_line_in_a_write_ahead_log_is_wiped_from_all_files(shell):
    shell.ip.history_manager.writeout_cache()
    with closing(sqlite3.connect(shell.history_file)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    write = "get_ipython().history_manager.writeout_cache()"
    shell.fail(f"{write}\n%clarifai_auth {CANARY}")
    files = [*shell.history_file.parent.glob(f"{shell.history_file.name}*")]
    assert len(files) > 1
    assert not [file for file in files if CANARY.encode() in file.read_bytes()]
    with closing(sqlite3.connect(shell.history_file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM history").fetchone()
        assert "-wal may still have it" in shell.fail(f"{write}\n%clarifai_auth {CANARY}")


@contextmanager
def locked(shell):
    """The history database held by somebody else."""
    shell.ip.history_manager.writeout_cache()
    with closing(sqlite3.connect(shell.history_file)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.rollback()


@contextmanager
def unchangeable(shell):
    """A history database that takes lines and changes none."""
    shell.ip.history_manager.writeout_cache()
    with closing(sqlite3.connect(shell.history_file)) as database:
        refuse = "SELECT RAISE(ABORT, 'attempt to write a readonly database')"
        database.execute(f"CREATE TRIGGER no BEFORE UPDATE ON history BEGIN {refuse}; END")
    yield


@contextmanager
def broken(shell):
    """A history database that is no database any more."""
    shell.ip.history_manager.writeout_cache()
    before = shell.history_file.read_bytes()
    shell.history_file.write_bytes(b"not a database at all" * 1000)
    yield
    shell.history_file.write_bytes(before)


@pytest.mark.parametrize("cell", [LINES["alone"], LINES["an option"], LINES["a cell"]])
@pytest.mark.parametrize("disk", [locked, unchangeable, broken])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_the_disk_says_it_is_refused_and_the_disk_is_told_of(shell, disk, cell):
    with disk(shell):
        result = shell.ip.run_cell(cell, store_history=True)
        shown = "".join(shell._capsys.readouterr())
        assert isinstance(result.error_in_exec, ExposedKeyError)
        assert CANARY not in shown
        assert "Traceback" not in shown
        assert CANARY not in repr(shell.names["In"])


def test_a_locked_database_is_named(shell):
    with locked(shell):
        shell.ip.history_manager.db_input_cache[:] = []
        result = shell.ip.run_cell(LINES["alone"], store_history=True)
        shell._capsys.readouterr()
    assert "may still have it" in result.error_in_exec.hint
    assert str(shell.history_file) in result.error_in_exec.hint


def test_without_a_history_it_is_refused_as_well(shell, monkeypatch):
    monkeypatch.setattr(shell.ip.history_manager, "enabled", False)
    assert "It was not used" in shell.fail(LINES["alone"])


@pytest.mark.parametrize("raw", ["", "-r "])
def test_the_log_of_logstart_is_cleaned(shell, tmp_path, raw):
    log = tmp_path / "log.py"
    shell.run(f"%logstart {raw}{log} over")
    shell.run("note = 'before'")
    shell.fail(LINES["alone"])
    shell.run("note = 'after'")
    shell.run("%logstop")
    text = log.read_text()
    assert CANARY not in text
    assert "before" in text
    assert "after" in text
    assert "\0" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="the log is told of instead")
@pytest.mark.parametrize("another", [False, True])
def test_the_log_of_a_folder_that_was_left_is_cleaned(shell, tmp_path, monkeypatch, another):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(here)
    shell.run("%logstart log.py over")
    if another:
        (there / "log.py").write_text("another")
    shell.run(f"%cd {there}")
    shell.fail(LINES["alone"])
    shell.run("note = 'after'")
    shell.run("%logstop")
    assert CANARY not in (here / "log.py").read_text()
    assert "after" in (here / "log.py").read_text()
    assert not another or (there / "log.py").read_text() == "another"


def test_a_line_that_a_program_makes_is_refused_and_the_program_stays(shell):
    shell.names["key"] = CANARY
    cell = "get_ipython().run_line_magic('clarifai_auth', key)"
    assert "It was not used" in shell.fail(cell)
    assert shell.names["In"][-1] == cell


@pytest.mark.slow
def test_the_message_of_a_kernel_shows_none(environment):
    from kernel import LOAD, run

    for xmode in ("Verbose", "Minimal"):
        cells = [
            f"{LOAD}\n%xmode {xmode}",
            LINES["alone"],
            "%tb",
            "In, _i, _ii, _iii",
            LINES["a cell"],
        ]
        cells += ["print(get_ipython().get_parent())", "%history"]
        _, *shown = run(*cells, allow_errors=True)
        assert "It was not used." in shown[0]
        assert shown[1].count("It was not used.") == 1
        assert CANARY not in repr(shown)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_the_up_arrow_of_a_terminal_offers_none(tmp_path):
    script = (
        "from prompt_toolkit.input import create_pipe_input\n"
        "from prompt_toolkit.output import DummyOutput\n"
        "from prompt_toolkit.application import create_app_session\n"
        "from IPython.terminal.interactiveshell import TerminalInteractiveShell\n"
        "TerminalInteractiveShell.simple_prompt = False\n"
        "with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):\n"
        "    shell = TerminalInteractiveShell.instance()\n"
        "    shell.run_cell('%load_ext clarifai_magic', store_history=True)\n"
        f"    pipe.send_text('%clarifai_auth {CANARY}\\n')\n"
        "    cell = shell.prompt_for_code()\n"
        "    shell.run_cell(cell, store_history=True)\n"
        "    pipe.send_text('pass\\n')\n"
        "    shell.run_cell(shell.prompt_for_code(), store_history=True)\n"
        "    strings = shell.pt_app.history.get_strings()\n"
        "    print('strings', [s.replace('[clarifai key]', 'masked') for s in strings])\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert CANARY not in shown.stdout
    assert "'%clarifai_auth masked'" in shown.stdout, shown.stderr[-2000:].replace(CANARY, "…")


@pytest.mark.slow
def test_in_a_terminal_no_traceback_repeats_it(environment):
    environment()
    with with_the_magics(*IPYTHON) as child:
        child.sendline(f"%clarifai_auth {CANARY}")
        child.expect("ExposedKeyError: ")
        for line in ("%tb", "%history", "%xmode Verbose", "%tb", "In"):
            child.expect(PROMPT)
            assert CANARY not in child.before
            child.sendline(line)
        child.expect(PROMPT)
        assert CANARY not in child.before
