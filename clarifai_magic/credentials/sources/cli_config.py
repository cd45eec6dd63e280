"""Keys in the file of Clarifai's own command line: read and saved as the CLI does.

The file is ``~/.config/clarifai/config``, YAML with ``current_context`` and ``contexts``
(clarifai.utils.config in the SDK). Here a context counts as a bundle: the environment's values
do not replace parts of it, and one without a base URL is for Clarifai's own API.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.api.deployment import environment_roots, find_deployment
from clarifai_magic.api.text import printable
from clarifai_magic.credentials.bundle import Credentials, Provenance
from clarifai_magic.credentials.sources import yaml_text
from clarifai_magic.credentials.sources.base import KeyNotHere
from clarifai_magic.environment import own
from clarifai_magic.errors import BaseURLError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clarifai_magic.credentials.sources.base import SourceContext

_FROM_ENVIRONMENT = "ENVVAR"
_PATIENCE = 10.0  # seconds to wait for other processes that save


def path() -> Path:
    """The path of the CLI's file.

    Raises
    ------
    KeyNotHere
        If this user has no home.
    """
    try:
        return Path.home() / ".config" / "clarifai" / "config"
    except RuntimeError:
        raise KeyNotHere("this user has no home folder") from None


def from_config(name: str, around: SourceContext) -> Credentials:
    """The PAT of the context `name`, or of the current one."""
    file = path()
    try:
        document = _read(file)[1]
    except FileNotFoundError:
        raise KeyNotHere(f"no file {_tilde(file)}") from None
    contexts = document["contexts"]
    context = name or document.get("current_context") or ""
    if not isinstance(context, str):
        raise KeyNotHere(f"the current_context in {_tilde(file)} is not a name")
    if context not in contexts:
        known = ", ".join(map(str, contexts)) or "none"
        raise KeyNotHere(f"no context {context!r} in {_tilde(file)} (there: {known})")
    values = _flat(contexts[context])
    key = _value(values, "CLARIFAI_PAT")
    if not key:
        raise KeyNotHere(f"no PAT in the context {context!r} of {_tilde(file)}")
    base = around.base or _base(values, context)
    roots = around.root_certificates or _value(values, "CLARIFAI_ROOT_CERTIFICATES_PATH")
    return Credentials(
        key,
        user_id=_value(values, "CLARIFAI_USER_ID"),
        app_id=_value(values, "CLARIFAI_APP_ID"),
        base=base,
        root_certificates=roots or environment_roots(base),
        source=Provenance("config", context),
        warning=_exposure(file),
        kept=f"The PAT stays in {_tilde(file)}; {_removal(context)}",
    )


def save(key: str, values: Mapping[str, str], context: str) -> str:
    """Add a context to the file, or update the one with that name; nothing else in it changes.

    Parameters
    ----------
    key : str
        The PAT.
    values : mapping
        CLARIFAI_USER_ID and so on; empty ones are omitted, or emptied if present.
    context : str
        The context's name. It becomes the current one only if there was none.

    Returns
    -------
    str
        Where the key now is and how to remove it.

    Raises
    ------
    SourceError
        If the file cannot be read, or a new one cannot be written. The file is then unchanged.
    """
    values = {**values, "CLARIFAI_PAT": str.__str__(key)}
    try:
        file = path().resolve()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(file.parent):
            _write(file, _with_context(file, context, values))
    except KeyNotHere as absent:
        raise SourceError(f"Not saved: {absent}.", "Fix or move that file first.") from None
    except OSError as error:
        raise SourceError(
            f"Not saved: {_tilde(path())} cannot be written ({error.strerror}).",
            "Check who owns that folder.",
        ) from None
    return f"Saved in the context {printable(context)} of {_tilde(path())}; {_removal(context)}"


def _with_context(file: Path, context: str, values: Mapping[str, str]) -> str:
    """The file's text, with the values in a context."""
    import yaml

    try:
        text, document = _read(file)
    except FileNotFoundError:
        given = {name: value for name, value in values.items() if value}
        return str(yaml.safe_dump({"current_context": context, "contexts": {context: given}}))
    present = document["contexts"].get(context)
    nested = isinstance(present, dict) and isinstance(present.get("env"), dict)
    keys = ("contexts", context, *(["env"] if nested else []))
    try:
        for name, value in values.items():
            if value or name in _flat(present):
                text = yaml_text.put(text, [*keys, name], value)
        if not document.get("current_context"):
            text = yaml_text.put(text, ["current_context"], context)
    except ValueError:
        raise KeyNotHere(
            f"{_tilde(file)} has a layout in which one entry cannot be changed"
        ) from None
    return text


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    """The file's text and its parsed contents."""
    import yaml

    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # reading it may block forever
            raise KeyNotHere(f"{_tilde(file)} is not a regular file")
        text = file.read_text(encoding="utf-8")
        document = yaml_text.load(text)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise KeyNotHere(f"{_tilde(file)} is a folder") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise KeyNotHere(f"{_tilde(file)} cannot be read ({reason})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise KeyNotHere(f"{_tilde(file)} is not valid YAML{line}") from None
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), dict):
        raise KeyNotHere(f"{_tilde(file)} has no contexts")
    return text, document


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from saving meanwhile, if the system has such locks (not Windows)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    deadline = time.monotonic() + _PATIENCE
    handle = os.open(folder, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _write(file: Path, text: str) -> None:
    """Replace the file atomically with one that only its owner can read."""
    # mkstemp creates the file with mode 0600.
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".config-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise


def _flat(context: Any) -> dict[str, Any]:
    """A context's values: the CLI accepts them bare or under ``env``."""
    values = context if isinstance(context, dict) else {}
    return values["env"] if isinstance(values.get("env"), dict) else values


def _value(values: Mapping[str, Any], variable: str) -> str:
    value = _written(values, variable)
    return own(variable) if value == _FROM_ENVIRONMENT else value


def _written(values: Mapping[str, Any], variable: str) -> str:
    short = variable.removeprefix("CLARIFAI_").lower()
    value = values[variable] if variable in values else values.get(short)
    return "" if value is None else str(value)


def _base(values: Mapping[str, Any], context: str) -> str:
    """A context's base URL."""
    written = _written(values, "CLARIFAI_API_BASE")
    try:
        named = "" if written == _FROM_ENVIRONMENT else written or PUBLIC_BASE
        return find_deployment(named, root_certificates="").base
    except BaseURLError as error:
        error.hint = f"It is in the CLI's config, in the context {context!r}. {error.hint}"
        raise


def _removal(context: str) -> str:
    command = shlex.join(["clarifai", "config", "delete-context", context])
    return f"`{command}` removes it."


def _exposure(file: Path) -> str:
    if os.name == "posix" and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return f"Others on this machine can read {_tilde(file)}: chmod 600 it."
    return ""


def _tilde(file: Path) -> str:
    try:
        return f"~/{file.relative_to(Path.home())}"
    except ValueError:
        return str(file)
