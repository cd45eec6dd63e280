"""Runs whatever programs a folder has under ``%%clarifai_sample``, and tells which ran.

    python tests/programs.py FOLDER [--seconds 30] [--only WORD]

A program is a file .py, a notebook, or each block of Python in a file .md or .mdx; lines that install
packages are left out. Each runs twice, in a process and an empty folder of its own, against one
sandbox: pasted under the magic, and as somebody would run it who fills in key, IDs and address by
hand. What it cannot have here counts apart: packages, files, other hosts, resources that the
sandbox has not, names that another fragment makes. What runs by hand and not pasted is our fault.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clarifai_magic.sandbox import Sandbox

RUN = """
import json, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
text = Path(sys.argv[1]).read_text()
if sys.argv[2] == "pasted":
    shell.run_cell("%load_ext clarifai_magic")
    shell.run_cell("%clarifai_auth --no-input").raise_error()
    text = "%%clarifai_sample\\n" + text
result = shell.run_cell(text)
error = result.error_before_exec or result.error_in_exec
told = {"kind": type(error).__name__, "text": str(error)} if error else None
print("\\nRESULT", json.dumps(told))
"""
REASONS = {
    "a package is missing": r"ModuleNotFoundError|ImportError",
    "a fragment: a name is missing": r"NameError|UnboundLocalError",
    "a file is missing": r"FileNotFoundError|NotADirectoryError|Unknown file extension",
    "no Python": r"SyntaxError|IndentationError|TabError",
    "the sandbox has no such thing": r"CONN_DOES_NOT_EXIST|DOES_NOT_EXIST|does not exist|NOT_IMPLEMENTED"
    r"|UNIMPLEMENTED|not found|404|INVALID_ARGUMENT|Invalid argument|INVALID_REQUEST|Invalid request",
    "another host": r"ConnectionError|NameResolution|ConnectError|getaddrinfo|MaxRetry|URLError",
    "it took too long": r"Timeout",
    "it ended itself": r"SystemExit",
    "the key": r"UNAUTHENTICATED|CONN_KEY|Session token|API key not found|Authentication Required",
}


def programs(folder: Path):
    """Each program's name and text."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".py":
            yield name, path.read_text(errors="replace")
        elif path.suffix == ".ipynb":
            cells = json.loads(path.read_text(errors="replace")).get("cells", [])
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            code = [part for part in code if not part.startswith("%%")]
            yield (
                name,
                re.sub(r"(?m)^ *[!%](?:pip|git|apt|wget|curl|clarifai)\b.*$", "", "\n".join(code)),
            )
        elif path.suffix in {".md", ".mdx"}:
            text = path.read_text(errors="replace")
            for number, block in enumerate(
                re.findall(r"```(?:python|py)\b[^\n]*\n(.*?)```", text, re.DOTALL)
            ):
                yield f"{name}#{number}", textwrap.dedent(block)


def by_hand(text: str, base: str, key: str) -> str:
    """A program as somebody fills it in who has read it."""
    host, _, port = base.removeprefix("http://").partition(":")
    for pattern, new in {
        r"""(?<=['" ])(?:<?YOUR_(?:CLARIFAI_)?(?:PAT|API_KEY|KEY)\w*>?|CLARIFAI_PAT(?!\w|['"] *[\]),]))""": key,
        r"\{?<?YOUR_USER_ID\w*>?\}?": "alice",
        r"\{?<?YOUR_APP(?:LICATION)?_ID\w*>?\}?": "main",
        r"https://api\.clarifai\.com": base,
        r"get_grpc_channel\(\)": f"get_insecure_grpc_channel({host!r}, {port})",
    }.items():
        text = re.sub(pattern, new, text)
    return text


def outcome(text: str, way: str, environment: dict[str, str], seconds: float) -> tuple[str, str]:
    """How a program ended: in a few words, and in its own."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.txt")
        program.write_text(text)
        (home := Path(folder, "home")).mkdir()
        try:
            done = subprocess.run(
                [sys.executable, "-c", RUN, str(program), way],
                cwd=home,
                env={**environment, "HOME": str(home), "IPYTHONDIR": str(home)},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it took too long", ""
    found = re.findall(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if not found:
        return "it ended itself", done.stderr[-200:]
    told = json.loads(found[-1])
    if way == "pasted" and environment["CLARIFAI_PAT"] in done.stdout + done.stderr:
        return "THE KEY WAS SHOWN", ""
    if told is None:
        return "ran", ""
    words = f"{told['kind']}: {told['text']}"
    for reason in ("the key", *REASONS):
        if re.search(REASONS[reason], words):
            return reason, words
    return "another error", words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    found = [each for each in programs(options.folder) if options.only in each[1]]
    with Sandbox() as sandbox, ThreadPoolExecutor(2) as pool:
        environment = {
            **os.environ,
            "CLARIFAI_API_BASE": sandbox.base,
            "CLARIFAI_PAT": sandbox.keys.pat,
            "CLARIFAI_APP_ID": "main",
        }

        def both(program: tuple[str, str]) -> list[tuple[str, str]]:
            _name, text = program
            hand = by_hand(text, sandbox.base, sandbox.keys.pat)
            return [
                outcome(text, "pasted", environment, options.seconds),
                outcome(hand, "by hand", environment, options.seconds),
            ]

        counted: Counter[str] = Counter()
        by_hands: Counter[str] = Counter()
        for (name, _text), (pasted, hand) in zip(found, pool.map(both, found), strict=True):
            counted[pasted[0]] += 1
            by_hands[hand[0]] += 1
            worse = "  BY HAND IT RUNS" if hand[0] == "ran" != pasted[0] else ""
            print(f"{name}: {pasted[0]}{worse}  {pasted[1][:160]!r}", flush=True)
    print(f"{len(found)} programs; pasted, by hand:")
    for reason, number in counted.most_common():
        print(f"{number:5} {by_hands[reason]:5}  {reason}")


if __name__ == "__main__":
    main()
