"""A sample runs as any cell does: awaits, displays, fails and is remembered as one."""

from __future__ import annotations

import ast
import re
import sqlite3

import pytest
from kernel import LOAD, run
from support import CANARY

LIST = "len(stub.ListModels(service_pb2.ListModelsRequest()).models)"
OTHER = "0f" * 16
"""Another text of a key's shape."""


@pytest.fixture
def signed_in(shell, environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    shell.run("%clarifai_auth")
    return shell


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


ASYNCHRONOUS = {
    "await": "import asyncio\nawait asyncio.sleep(0)\nprint('done')",
    "async for": "async def count():\n    yield 'done'\nasync for each in count():\n    print(each)",
    "async with": "from contextlib import asynccontextmanager\n@asynccontextmanager\n"
    "async def opened():\n    yield 'done'\nasync with opened() as it:\n    print(it)",
    "run": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 'done'\n"
    "if __name__ == '__main__':\n    print(asyncio.run(main()))",
    "run, imported": "from asyncio import run as go\nasync def main():\n    return 'done'\nprint(go(main()))",
    "run beside await": "import asyncio\nasync def main():\n    return 'do'\n"
    "first = asyncio.run(main())\nprint(first + (await main())[:0] + 'ne')",
    "the loop": "import asyncio\nasync def main():\n    return 'done'\nloop = asyncio.get_event_loop()\n"
    "print(loop.run_until_complete(main()))",
    "a new loop": "import asyncio\nasync def main():\n    return 'done'\nloop = asyncio.new_event_loop()\n"
    "print(loop.run_until_complete(main()))\nloop.close()",
    "run in a function": "import asyncio\nasync def main():\n    return 'done'\n"
    "def start():\n    return asyncio.run(main())\nprint(start())",
    "a future import": "from __future__ import annotations\nimport asyncio\nawait asyncio.sleep(0)\nprint('done')",
    "a docstring and a future import": "\n# A comment\n'''What it does.\n\nAnd how.'''\n\n"
    "from __future__ import annotations\nimport asyncio\nawait asyncio.sleep(0)\nprint('done')",
    "a docstring of several texts": "'What' \\\n  ' it does.'  # here\n"
    "from __future__ import annotations\nawait __import__('asyncio').sleep(0)\nprint('done')",
    "the stub": "request = service_pb2.ListModelsRequest()\n"
    "found = await clarifai_session.aio_stub.ListModels(request)\nprint('done' * len(found.models))",
}


@pytest.mark.slow
def test_samples_await_and_start_loops_in_a_kernel(environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    after = "import asyncio\nloop = asyncio.get_running_loop()\nawait asyncio.sleep(0)\nprint(loop.is_running())"
    cells = [f"%%clarifai_sample\n{text}" for text in ASYNCHRONOUS.values()]
    _, _, *outputs, last = run(LOAD, "%clarifai_auth", *cells, after)
    assert dict(zip(ASYNCHRONOUS, outputs, strict=True)) == dict.fromkeys(ASYNCHRONOUS, "done\n")
    assert last == "True\n"


@pytest.mark.parametrize("text", ASYNCHRONOUS.values(), ids=ASYNCHRONOUS)
def test_samples_await_and_start_loops_in_a_terminals_shell(signed_in, text):
    assert signed_in.run(f"%%clarifai_sample\n{text}").split() == ["done"]


@pytest.mark.slow
@pytest.mark.dev
def test_loops_that_anyio_starts_work_too(environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    text = "import anyio\nasync def main():\n    return 'done'\nprint(anyio.run(main))"
    assert run(LOAD, "%clarifai_auth", f"%%clarifai_sample\n{text}")[-1] == "done\n"


@pytest.mark.slow
def test_a_function_that_starts_a_loop_does_so_in_later_cells(environment, sandbox):
    environment(PAT=sandbox.keys.pat, APP_ID="main")
    outputs = run(
        LOAD,
        "%clarifai_auth",
        f"%%clarifai_sample\n{ASYNCHRONOUS['run in a function']}",
        "print(start(), start())",
    )
    assert outputs[2:] == ["done\n", "done done\n"]


def test_the_last_value_is_shown_unless_a_semicolon_hushes_it(signed_in):
    assert signed_in.run("%%clarifai_sample\nx = 41\nx + 1") == "Out[3]: 42\n"
    assert signed_in.run("%%clarifai_sample\nx = 41\nx + 1;") == ""
    assert signed_in.run("print(_3, Out[3])") == "42 42\n"


def test_shell_lines_magics_prompts_and_indentation_are_read_as_in_a_cell(signed_in):
    text = "!echo from the shell\n%precision 3\nfound = !echo captured\nfound[0] + '!'"
    assert signed_in.run(f"%%clarifai_sample\n{text}").endswith("'captured!'\n")
    assert signed_in.run("%%clarifai_sample\n\n    x = 1\n    print(x)") == "1\n"
    assert signed_in.run("%%clarifai_sample\n>>> x = 2\n>>> print(x)") == "2\n"
    assert signed_in.run("%%capture out\n%%clarifai_sample\nprint(3)") == ""
    assert signed_in.run("print(out.stdout)") == "3\n\n"
    assert "Precision" not in signed_in.run("%%clarifai_sample\nprecision 4")
    assert signed_in.run("%%clarifai_sample\n1 / 3") == "Out[9]: 0.3333\n"
    assert "4\n" in signed_in.run("%%time\n%%clarifai_sample\nprint(4)")


def test_other_transformers_of_syntax_trees_see_what_runs(signed_in):
    seen = []

    class Watching(ast.NodeTransformer):
        def visit_Constant(self, node):
            seen.append(node.value)
            return node

    signed_in.ip.ast_transformers.append(Watching())
    header = "metadata = (('authorization', 'Key YOUR_PAT'),)"
    signed_in.run(f"%%clarifai_sample\n{header}")
    assert "Key YOUR_PAT" not in seen
    assert signed_in.names["metadata"][0][1] in seen


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
def test_errors_show_the_samples_own_lines(signed_in, mode):
    signed_in.run(f"%xmode {mode}")
    shown = plain(signed_in.fail("%%clarifai_sample\n\nPAT = 'YOUR_PAT'\n\nhalf = 1 / 0"))
    assert "ZeroDivisionError" in shown
    if mode != "Minimal":
        assert re.search(r"5.*\n? *half = 1 / 0", shown)
    assert "samples" not in shown.replace("clarifai_sample", "")
    signed_in.run("%xmode Context")


def test_what_is_no_python_is_shown_where_it_stands(signed_in):
    shown = plain(signed_in.fail("%%clarifai_sample\nx = 1\ny = = 2\n"))
    assert "SyntaxError" in shown
    assert ":3" in shown or "line 3" in shown
    assert "Line 3 of the cell is not valid Python" in signed_in.fail(
        "%%clarifai_sample --show\nx = 1\ny = = 2\n"
    )


def test_nothing_of_ours_gets_into_the_program(signed_in):
    signed_in.run(
        "%%clarifai_sample\ndef f(x: Undefined if False else int): pass\nkind = f.__annotations__['x']"
    )
    assert signed_in.names["kind"] is int
    before = set(signed_in.names)
    signed_in.run(f"%%clarifai_sample\nprint({LIST})")
    assert {name for name in set(signed_in.names) - before if not name.startswith("_i")} == set()


def test_a_future_import_of_a_sample_counts_for_it_as_in_a_cell(signed_in):
    text = "'''Says what it does.'''\nfrom __future__ import annotations\ndef f(x: Nowhere): pass\nprint(f.__annotations__)"
    assert signed_in.run(f"%%clarifai_sample\n{text}") == "{'x': 'Nowhere'}\n"


def test_a_failing_sample_fails_the_run_and_gives_the_environment_back(signed_in, sandbox):
    signed_in.fail(
        "%%clarifai_sample\nimport os\nraise ValueError(len(os.environ['CLARIFAI_PAT']))"
    )
    assert signed_in.run("print(os.environ['CLARIFAI_API_BASE'])").strip() == sandbox.base


def test_samples_within_samples_give_it_back_at_the_end_of_their_own(signed_in, sandbox):
    text = (
        "import os\nfirst = os.environ['CLARIFAI_API_BASE'][:0] + os.environ.copy()['CLARIFAI_API_BASE']\n"
        "get_ipython().run_cell_magic('clarifai_sample', '', 'inner = 5')\n"
        "second = os.environ.copy()['CLARIFAI_API_BASE']\n"
    )
    signed_in.run(f"%%clarifai_sample\n{text}")
    names = signed_in.names
    assert names["first"].startswith("http://127.0.0.1:")
    assert names["second"] in names["first"]
    assert names["second"] != sandbox.base
    assert names["inner"] == 5
    assert signed_in.run("print(os.environ['CLARIFAI_API_BASE'])").strip() == sandbox.base


PASTED = {
    "code": f"PAT = '{CANARY}'\nh = {{'Authorization': 'Key ' + PAT}}\nx = 1",
    "a header": f"h = {{'Authorization': 'Key {CANARY}'}}\nx = 1",
    "a comment": f"x = 1  # was {CANARY}",
    "a shell line": f"x = 1\nif not x:\n    !echo {CANARY}",
    "beside an error": f"h = {{'Authorization': 'Key {CANARY}'}}\nx = 1\ny = 1 / 0  # {CANARY}",
}


def remembered(shell) -> str:
    """All that IPython remembers, also on disk."""
    manager = shell.ip.history_manager
    manager.writeout_cache()
    with sqlite3.connect(shell.history_file) as database:
        rows = database.execute("SELECT source, source_raw FROM history").fetchall()
    kept = {
        name: value for name, value in shell.names.items() if name.startswith("_i") or name == "In"
    }
    return repr((rows, kept, manager.input_hist_raw, manager.input_hist_parsed))


@pytest.mark.parametrize("text", PASTED.values(), ids=PASTED)
@pytest.mark.parametrize("open_", [True, False], ids=["signed in", "signed out"])
@pytest.mark.parametrize("option", ["", " --show"])
def test_a_real_key_is_forgotten_and_named(shell, environment, sandbox, text, option, *, open_):
    if open_:
        environment(PAT=sandbox.keys.pat, APP_ID="main")
        shell.run("%clarifai_auth")
    shell.run("other = 'this cell stays'")
    fails = not open_ or ("1 / 0" in text and not option)
    said = (shell.fail if fails else shell.run)(f"%%clarifai_sample{option}\n{text}")
    number = 1 + next(n for n, line in enumerate(text.splitlines(), 1) if CANARY in line)
    assert f"line {number}" in said
    assert "revoke it at https://clarifai.com/me/settings/secrets" in said
    assert ("Run %clarifai_auth first." in said) is not open_
    assert CANARY not in shell.run("%tb") if fails else True
    kept = remembered(shell)
    assert CANARY not in kept
    assert "this cell stays" in kept
    assert CANARY not in repr(shell.names.get("h"))


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
def test_a_real_key_that_goes_nowhere_is_in_no_traceback(signed_in, mode):
    signed_in.run(f"%xmode {mode}")
    text = f"PAT = {OTHER!r}\ndef f(pat):\n    raise ValueError(pat, {{'k': [PAT]}})\nf(PAT)"
    said = signed_in.fail(f"%%clarifai_sample\n{text}")
    assert "ValueError" in said
    later = signed_in.fail("f(PAT)")
    for shown in (said, later, signed_in.run("%tb"), remembered(signed_in)):
        assert OTHER not in plain(shown)
    assert signed_in.names["PAT"] == OTHER
    signed_in.run("%xmode Context")


@pytest.mark.parametrize("line", ["--pat", f"--pat {OTHER}", OTHER, "--shown"])
def test_a_line_that_is_refused_forgets_the_keys_below_it(signed_in, line):
    signed_in.fail(f"%%clarifai_sample {line}\nPAT = '{CANARY}'")
    kept = remembered(signed_in)
    assert CANARY not in kept
    assert OTHER not in kept


def test_a_key_of_another_shape_is_known_as_the_sessions(shell, monkeypatch):
    key = "not-hexadecimal-" + "0f" * 8
    monkeypatch.setenv("CLARIFAI_PAT", key)
    shell.run("%clarifai_auth --no-verify --base http://127.0.0.1:1")
    said = shell.run(f"%%clarifai_sample\nh = {{'Authorization': 'Key {key}'}}  # {key}")
    assert "line 2 of the cell has a real key" in said
    assert key not in remembered(shell) + shell.names["h"]["Authorization"]


def test_ids_of_clarifais_resources_are_no_keys(signed_in):
    text = (
        "from clarifai_grpc.grpc.api import service_pb2\n"
        f"MODEL_VERSION_ID = '{CANARY}'\n"
        "r = service_pb2.PostModelOutputsRequest(model_id='m', version_id=MODEL_VERSION_ID)"
    )
    assert signed_in.run(f"%%clarifai_sample\n{text.replace(CANARY, OTHER)}") == ""
    assert OTHER in signed_in.names["In"][-1]


def test_a_key_that_is_both_is_a_key(signed_in):
    text = f"h = {{'Authorization': 'Key {CANARY}'}}\nr = service_pb2.GetModelRequest(model_id='{CANARY}')"
    assert "a real key" in signed_in.run(f"%%clarifai_sample\n{text}")
    assert CANARY not in repr(signed_in.names["In"])


NO_PYTHON = {
    "elsewhere": f"PAT = '{CANARY}'\nx = = 3",
    "in that line": f"x = 1\nPAT = '{CANARY}' = = 3",
    "of indentation": f"if 1:\n    x = '{CANARY}'\n  y = 2",
    "of that line's indentation": f"if 1:\n    x = 2\n  y = '{CANARY}'",
    "of a text that does not end": f"x = 1\nPAT = '{CANARY}",
}


@pytest.mark.parametrize("option", ["", " --show"])
@pytest.mark.parametrize("text", NO_PYTHON.values(), ids=NO_PYTHON)
def test_a_real_key_in_what_is_no_python_is_forgotten_too(signed_in, text, option):
    signed_in.run("other = 'this cell stays'")
    other = text.replace(CANARY, OTHER)
    said = signed_in.fail(f"%%clarifai_sample{option}\n{other}")
    number = 1 + next(n for n, line in enumerate(other.split("\n"), 1) if OTHER in line)
    assert f"line {number} of the cell has a real key" in said
    assert OTHER not in said + signed_in.run("%tb")
    kept = remembered(signed_in)
    assert OTHER not in kept
    assert "this cell stays" in kept
    signed_in.run("x = 1")
    callbacks = signed_in.ip.events.callbacks["post_run_cell"]
    assert not any("forget" in each.__name__ for each in callbacks)


def test_what_has_no_key_and_is_no_python_is_remembered_as_a_cell_is(signed_in):
    said = signed_in.fail(f"%%clarifai_sample\nmodel_version = '{'0f' * 15}'\nx = = 3")
    assert "a real key" not in said
    assert "0f0f" in signed_in.names["In"][-1]


FIRST = {
    "a text": ("'a' 'b'", "'ab'"),
    "a text that is hushed": ("'a';", ""),
    "a text with another": ("'a'; 'b'", "'b'"),
    "a method": ("'a'.upper()", "'A'"),
    "two texts": ("'a' + \\\n'b'", "'ab'"),
    "bytes": ("b'a'", "b'a'"),
    "an f-string": ("f'a{1}'", "'a1'"),
    "several lines": ("\n'a' \\\n  'b'", "'ab'"),
    "in brackets": ("(\n'a'\n)", "'a'"),
    "a magic behind it": ("'a'\n%precision 3\n'b'", "'b'"),
}


@pytest.mark.parametrize(("text", "shown"), FIRST.values(), ids=FIRST)
def test_a_text_at_the_beginning_is_what_it_is_in_a_cell(signed_in, text, shown):
    assert signed_in.run(f"%%clarifai_sample\n{text}") == (f"Out[3]: {shown}\n" if shown else "")


OWN_TEXTS = {
    "the magic's line": "'%%clarifai_sample'",
    "the same before a docstring": "'%%clarifai_sample\\0' 'What it does.'",
    "a comment": "# %%clarifai_sample",
}


@pytest.mark.parametrize("text", OWN_TEXTS.values(), ids=OWN_TEXTS)
def test_a_cell_that_begins_with_a_text_like_the_magics_line_is_none(signed_in, text):
    header = "(('authorization', 'Key YOUR_PAT'),)"
    assert signed_in.run(f"{text}\nmetadata = {header}") == ""
    assert repr(signed_in.names["metadata"]) == header


@pytest.mark.parametrize("option", ["", " --show"])
def test_what_is_nested_too_deeply_is_told_in_one_line(signed_in, option):
    text = f"h = {{'Authorization': 'Key {CANARY}'}}\nx = {' + '.join(['1'] * 900)}"
    said = signed_in.fail(f"%%clarifai_sample{option}\n{text}")
    assert "nested too deeply" in said
    assert "RecursionError" not in said
    assert CANARY not in remembered(signed_in)
    assert signed_in.run("%%clarifai_sample\nprint(1)") == "1\n"
