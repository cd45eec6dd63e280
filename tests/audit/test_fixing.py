"""Fixing: the key is gone, programs still run, and every other byte is as it was."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import corpus
import pytest
from support import CANARY

from clarifai_magic.audit.auditing import Scope, audit
from clarifai_magic.audit.command import parser, run
from clarifai_magic.credentials.secret import MASK

ODD = '1e999, 123456789012345678901234567890, 0.10, "\\ud83d", "\\u00e9", -0'


def fix(*words):
    said = []
    code = run(parser("audit").parse_args([*map(str, words)]), said.append)
    assert CANARY not in said[0]
    return code, said[0]


def source_of(file, cell=0):
    return "".join(json.loads(file.read_bytes().decode("utf-8-sig"))["cells"][cell]["source"])


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "a.ipynb"
    text = corpus.notebook(
        f"# é \x0c of {CANARY[:9]}\nPAT = '{CANARY}'\n%env CLARIFAI_PAT={CANARY}\nprint(1)",
        [corpus.stream(f"PAT={CANARY}\n")],
        {"pat": CANARY},
    ).decode()
    file.write_bytes(text.replace('"nbformat": 4', f'"x":  [{ODD}],\t"nbformat": 4').encode())
    return file


def test_fix_masks_all_but_programs_and_changes_no_other_byte(file):
    before = file.read_bytes()
    file.chmod(0o640)
    code, said = fix("--fix", file)
    assert code == 1
    assert "--fix-sources changes programs too" in said
    after = file.read_bytes()
    assert after != before
    assert after.replace(MASK.encode(), CANARY.encode()) == before
    assert after.count(CANARY.encode()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.glob("*a.ipynb*")) == [file]
    assert {each.kind for each in audit(Scope((file,)))} == {"source"}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
    ],
)
def test_fix_sources_reads_the_environment_instead(file, change):
    file.write_bytes(change(file.read_bytes()))
    before = file.read_bytes().split(b'"source"')
    fix("--fix-sources", file)
    assert source_of(file) == (
        f"# é \x0c of {CANARY[:9]}\nimport os\nPAT = os.environ['CLARIFAI_PAT']\n%env CLARIFAI_PAT={MASK}\nprint(1)"
    )
    after = file.read_bytes().split(b'"source"')
    assert after[0].replace(MASK.encode(), CANARY.encode()) == before[0]
    behind = b"]" + before[1].split(b"]", 1)[1]
    assert after[1].replace(MASK.encode(), CANARY.encode()).endswith(behind)
    assert ODD.encode() in file.read_bytes()
    assert list(audit(Scope((file,)))) == []


def test_fixing_twice_changes_nothing_more(file):
    fix("--fix-sources", file)
    once = file.read_bytes()
    assert fix("--fix-sources", file)[0] == 0
    assert file.read_bytes() == once


def test_a_source_that_is_one_text_and_half_an_emoji_stay(tmp_path):
    file = tmp_path / "a.ipynb"
    cell = {**corpus.code(""), "source": f"PAT = '{CANARY}'\ns = '\ud83d'"}
    file.write_text(json.dumps({"cells": [cell], "metadata": {}}))
    fix("--fix-sources", file)
    assert source_of(file) == "import os\nPAT = os.environ['CLARIFAI_PAT']\ns = '\ud83d'"


PROGRAMS = {
    "a name": f"PAT = '{CANARY}'\nprint(PAT)",
    "a header": f"print('Key ' + '{CANARY}', 'Key {CANARY}')",
    "an f-string": f"word = 'Key'\npat = f'{{word}} {CANARY}'\nprint(pat)",
    "os is something else": f"os = 'x'\nPAT = '{CANARY}'\nprint(PAT, os)",
    "a docstring and the future": f'"""A {CANARY[:4]}."""\nfrom __future__ import annotations\nPAT = "{CANARY}"\nprint(PAT)',
    "CRLF": f"x = 1\r\nPAT = '{CANARY}'\r\nprint(PAT)\r\n",
    "a comment": f"# é PAT = '{CANARY}'\nprint(1)",
    "by position": f"def call(user, pat='{CANARY}'):\n    print(user, pat)\ncall('alice', '{CANARY}')",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_prints_what_it_printed_before(tmp_path, program):
    file = tmp_path / "a.py"
    file.write_bytes(program.encode())
    around = {**os.environ, "CLARIFAI_PAT": CANARY}

    def printed():
        return subprocess.run(
            [sys.executable, file], env=around, capture_output=True, check=True
        ).stdout

    before = printed()
    fix("--fix", file)
    assert file.read_bytes() == program.encode()
    fix("--fix-sources", file)
    assert CANARY.encode() not in file.read_bytes()
    assert printed() == before
    assert file.read_bytes().count(b"\r\n") in {0, program.count("\r\n") + 1}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig", "utf-16"])
def test_a_text_keeps_its_encoding(tmp_path, encoding):
    file = tmp_path / "a.md"
    text = f"é\r\nCLARIFAI_PAT={CANARY}\n\tü"
    file.write_bytes(text.encode(encoding))
    fix("--fix", file)
    assert file.read_bytes() == text.replace(CANARY, MASK).encode(encoding)


def test_base64_and_attachments_are_masked(tmp_path):
    for each in corpus.leaks():
        if each.place == "attachment" or "base64" in each.shape:
            file = tmp_path / each.file
            file.write_bytes(each.content)
            code, said = fix("--fix", file)
            assert (
                (code == 2) == ("it still has a key" in said) == bool(list(audit(Scope((file,)))))
            )
            assert code == 1 or each.shape == "base64 of a header"  # coded twice


def test_a_link_stays_one_and_what_it_leads_to_is_fixed(file, tmp_path):
    link = tmp_path / "folder" / "b.ipynb"
    link.parent.mkdir()
    link.symlink_to(file)
    fix("--fix-sources", link)
    assert link.is_symlink()
    assert CANARY.encode() not in file.read_bytes()


def test_the_file_as_it_was_is_kept_where_that_was_asked_for_and_over_nothing(file, tmp_path):
    before = file.read_bytes()
    backup = tmp_path / "kept"
    for _ in range(2):
        file.write_bytes(before)
        fix("--fix", "--backup", backup, file)
    assert {each.name for each in backup.iterdir()} == {"a.ipynb", "a.ipynb.1"}
    for each in backup.iterdir():
        assert each.read_bytes() == before
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_broken_notebook_is_left_as_it_is_and_named(tmp_path):
    file = tmp_path / "a.ipynb"
    content = corpus.notebook(f"PAT = '{CANARY}'")[:-20]
    file.write_bytes(content)
    code, said = fix("--fix-sources", file)
    assert code == 2
    assert "not changed: it is not JSON" in said
    assert file.read_bytes() == content


def test_a_clean_file_is_not_touched(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("print(1)")
    before = file.stat()
    assert fix("--fix-sources", file) == (0, "No key was found.")
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


VERSION_3 = {
    "metadata": {"name": "x"},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {"cell_type": "heading", "source": f"My PAT: {CANARY}"},
                {
                    "cell_type": "code",
                    "input": [f"PAT = '{CANARY}'\n", "print(PAT)"],
                    "outputs": [{"output_type": "stream", "text": [f"PAT={CANARY}\n"]}],
                },
            ],
        }
    ],
}


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1" * 5000, "1e999"])
def test_numbers_are_no_matter(file, number):
    file.write_bytes(file.read_bytes().replace(b"1e999", number.encode()))
    before = file.read_bytes()
    code, said = fix("--fix", file)
    assert "was not changed" not in said
    assert file.read_bytes().replace(MASK.encode(), CANARY.encode()) == before
    assert file.read_bytes().count(CANARY.encode()) == 2
    fix("--fix-sources", file)
    assert CANARY.encode() not in file.read_bytes()
    assert number.encode() in file.read_bytes()
    assert code == (1 if number == "1e999" else 2)


def test_a_notebook_of_nbformat_3_is_fixed(tmp_path):
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(VERSION_3, indent=1))
    before = file.read_text()
    assert fix("--fix", file)[0] == 1
    assert file.read_text().replace(MASK, CANARY) == before
    assert [each.kind for each in audit(Scope((file,)))] == ["source"]
    fix("--fix-sources", file)
    (sheet,) = json.loads(file.read_text())["worksheets"]
    assert "".join(sheet["cells"][1]["input"]) == (
        "import os\nPAT = os.environ['CLARIFAI_PAT']\nprint(PAT)"
    )


@pytest.mark.parametrize("name", ["source", "so\\u0075rce", "cells"])
def test_what_the_same_name_hides_is_found_and_masked(tmp_path, name):
    file = tmp_path / "a.ipynb"
    cell = (
        f'{{"cell_type": "code", "outputs": [], "{name}": ["PAT = \'{CANARY}\'"], "source": ["x"]}}'
    )
    if name == "cells":
        cells = f'[{cell.replace(name, "a")}, {cell.replace(name, "b")}], "cells": []'
    else:
        cells = f"[{cell}]"
    file.write_text(f'{{"cells": {cells}, "metadata": {{}}}}')
    before = file.read_text()
    assert {each.kind for each in audit(Scope((file,)))} == {"hidden"}
    assert fix("--fix", file)[0] == 1
    assert file.read_text().replace(MASK, CANARY) == before
    assert CANARY not in file.read_text()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("end", [b"", b"x", b"\x00\xd8", b"\xd8\x00"])
def test_wide_characters_are_masked_and_what_is_none_stays(tmp_path, encoding, end):
    file = tmp_path / "a.txt"
    text = f"\ufeffé CLARIFAI_PAT={CANARY}\r\n"
    file.write_bytes(text.encode(encoding) + end)
    fix("--fix", file)
    assert file.read_bytes() == text.replace(CANARY, MASK).encode(encoding) + end


@pytest.mark.parametrize("hidden", ['"{}"', '["{}"]', '["{}", 1]', '{{"value": "{}"}}'])
def test_what_the_same_name_hides_is_told_by_that_name(tmp_path, hidden):
    file = tmp_path / "a.ipynb"
    file.write_text(f'{{"cells": [], "metadata": {{"pat": {hidden.format(CANARY)}, "pat": ""}}}}')
    assert [each.kind for each in audit(Scope((file,)))] == ["hidden"]
    fix("--fix", file)
    assert CANARY not in file.read_text()


@pytest.mark.parametrize("option", ["--fix", "--fix-sources"])
def test_what_was_not_masked_is_not_said_to_be(file, tmp_path, option):
    (tmp_path / "kept").touch()
    before = file.read_bytes()
    code, said = fix(option, "--backup", tmp_path / "kept", file)
    assert (code, file.read_bytes()) == (2, before)
    assert "not changed" in said
    assert "Masked in the other files" in said


def test_a_file_is_fixed_however_long_its_name_is(tmp_path):
    file = tmp_path / f"{'a' * 251}.txt"
    file.write_text(f"PAT={CANARY}")
    assert fix("--fix", file)[0] == 1
    assert file.read_text() == f"PAT={MASK}"
