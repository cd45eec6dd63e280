"""Keys in the file of Clarifai's own command line: read as it reads it, and saved for it.

The file is ``~/.config/clarifai/config``, YAML with ``current_context`` and ``contexts``
(clarifai.utils.config in the SDK). Here a context counts as a bundle: the environment's values
do not replace parts of it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_magic.credentials import Credentials
from clarifai_magic.errors import SourceError
from clarifai_magic.sources.place import Absent, Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

_FROM_ENVIRONMENT = "ENVVAR"


def path() -> Path:
    """Where the command line keeps its file."""
    return Path.home() / ".config" / "clarifai" / "config"


def from_config(name: str, _around: Surroundings) -> Credentials:
    """The PAT of the context `name`, or of the current one."""
    file = path()
    try:
        document = _read(file)
    except FileNotFoundError:
        raise Absent(f"no file {_tilde(file)}") from None
    contexts = document["contexts"]
    context = name or document["current_context"]
    if context not in contexts:
        known = ", ".join(map(str, contexts)) or "none"
        raise Absent(f"no context {context!r} in {_tilde(file)} (there: {known})")
    values = contexts[context]
    key = _value(values, "CLARIFAI_PAT")
    if not key:
        raise Absent(f"no PAT in the context {context!r} of {_tilde(file)}")
    return Credentials(
        key,
        user_id=_value(values, "CLARIFAI_USER_ID"),
        app_id=_value(values, "CLARIFAI_APP_ID"),
        base=_value(values, "CLARIFAI_API_BASE"),
        root_certificates=_value(values, "CLARIFAI_ROOT_CERTIFICATES_PATH"),
        source=f"the context {context} of {_tilde(file)}",
        warning=_exposure(file),
        kept=f"The PAT stays in {_tilde(file)}; `clarifai config delete-context {context}` "
        "removes it.",
    )


def save(key: str, values: Mapping[str, str], context: str) -> str:
    """Add a context to the file, or update the one of that name; nothing else in it changes.

    Parameters
    ----------
    key : str
        The PAT.
    values : mapping
        CLARIFAI_USER_ID and so on; empty ones are left out.
    context : str
        The context's name. It becomes the current one only where there was none.

    Returns
    -------
    str
        Where the key now is and how to remove it.

    Raises
    ------
    SourceError
        If the present file cannot be read or a new one not be written. The file is then as it was.
    """
    file = path().resolve()
    try:
        document = _read(file)
    except FileNotFoundError:
        document = _empty()
    except Absent as absent:
        raise SourceError(f"Not saved: {absent}.", "Mend or move that file first.") from None
    contexts: dict[str, Any] = document["contexts"]
    kept = {k: v for k, v in values.items() if v}
    contexts[context] = {**_flat(contexts.get(context)), **kept, "CLARIFAI_PAT": str.__str__(key)}
    document["current_context"] = document["current_context"] or context
    try:
        _write(file, document)
    except OSError as error:
        raise SourceError(
            f"Not saved: {_tilde(file)} cannot be written ({error.strerror}).",
            "Check who owns that folder.",
        ) from None
    return (
        f"Saved in the context {context} of {_tilde(path())}; "
        f"`clarifai config delete-context {context}` removes it."
    )


def _empty() -> dict[str, Any]:
    return {"current_context": "", "contexts": {}}


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise Absent(f"{_tilde(file)} is a folder") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise Absent(f"{_tilde(file)} cannot be read ({reason})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise Absent(f"{_tilde(file)} is not valid YAML{line}") from None
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), dict):
        raise Absent(f"{_tilde(file)} has no contexts")
    return {**_empty(), **document}


def _write(file: Path, document: dict[str, Any]) -> None:
    """Replace the file in one step by one that only its owner can read."""
    import yaml

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file 0600 from its first byte on.
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".config-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yaml.safe_dump(document, stream)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise


def _flat(context: Any) -> dict[str, Any]:
    """A context's values: the command line takes them bare or under ``env``."""
    values = context if isinstance(context, dict) else {}
    return values["env"] if isinstance(values.get("env"), dict) else values


def _value(context: Any, variable: str) -> str:
    values = _flat(context)
    short = variable.removeprefix("CLARIFAI_").lower()
    value = values.get(variable) or values.get(short) or ""
    if value == _FROM_ENVIRONMENT:
        return os.environ.get(variable, "")
    return value if isinstance(value, str) else str(value)


def _exposure(file: Path) -> str:
    if os.name == "posix" and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return f"Others on this machine can read {_tilde(file)}: chmod 600 it."
    return ""


def _tilde(file: Path) -> str:
    try:
        return f"~/{file.relative_to(Path.home())}"
    except ValueError:
        return str(file)
