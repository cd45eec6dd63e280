"""A call of a session's, written down as a program that makes it without this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
import jinja2
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2
from markupsafe import Markup

from clarifai_magic.errors import CallError
from clarifai_magic.failures import failed
from clarifai_magic.identity import API_KEY, PAT
from clarifai_magic.session import DEFAULT_TIMEOUT
from clarifai_magic.snippets.languages import LANGUAGES, METHODS
from clarifai_magic.statuses import SUCCESS, refused, words

if TYPE_CHECKING:
    from typing_extensions import Self

    from clarifai_magic.session import Session
    from clarifai_magic.snippets.languages import Language

_PUBLIC = ("clarifai", "main", "general-image-recognition")
_INPUTS = {
    "visual-classifier": {"image": {"url": "https://samples.clarifai.com/metro-north.jpg"}},
    "text-classifier": {"text": {"raw": "A dog and a cat on a train to the mountain."}},
}
"""The types of model whose answers are concepts, and what to ask them about."""

_EXPLAINED = (
    status_code_pb2.CONN_THROTTLED,
    status_code_pb2.CONN_INSUFFICIENT_SCOPES,
    status_code_pb2.CONN_KEY_INVALID,
    status_code_pb2.CONN_KEY_NOT_FOUND,
    status_code_pb2.CONN_DOES_NOT_EXIST,
)


class Program(str):
    """The text of a program; a notebook shows it in colours."""

    __slots__ = ("language",)
    language: Language

    def __new__(cls, text: str, language: Language) -> Self:
        """Keep the language beside the text."""
        program = super().__new__(cls, text)
        program.language = language
        return program

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))

    def _repr_markdown_(self) -> str:
        name = PurePath(self.language.filename).suffix[1:]
        return f"```{name}\n{self}```"


@dataclass(frozen=True)
class _Call:
    """What a program calls, and about what; the IDs are empty where the key tells them."""

    method: str
    user_id: str = ""
    app_id: str = ""
    model_id: str = ""
    data: dict[str, dict[str, str]] | None = None

    @property
    def path(self) -> str:
        """The method's REST address, as `google.api.http` has it."""
        owner = ("users", self.user_id, "apps", self.app_id) if self.app_id else ()
        model = (self.model_id, "outputs") if self.model_id else ()
        return "/".join(["/v2", *(quote(part, safe="") for part in (*owner, "models", *model))])

    @property
    def body(self) -> str:
        """The JSON that is sent to that address."""
        return json.dumps({"inputs": [{"data": self.data}]}) if self.data else ""


def program(session: Session, language: str, method: str) -> Program:
    """Write a program that makes a call as a session does.

    It reads the key from CLARIFAI_PAT or CLARIFAI_API_KEY, prints what it gets, and fails where
    the API refuses. The key is not in it.

    Parameters
    ----------
    session : Session
        Whose base URL and IDs are in the program. With a PAT the model is a public one of
        Clarifai's; an API key does not reach those, so the app is asked for one of its own.
    language : str
        One of `LANGUAGES`.
    method : str
        One of `METHODS`.

    Returns
    -------
    Program

    Raises
    ------
    CallError
        If no app was chosen, or it has nothing that the program could be about.
    RefusedError, UnreachableError
        If the app could not be asked.
    """
    chosen, deployment = LANGUAGES[language], session.deployment
    kind = session.identity.kind or PAT
    own_words = {
        "title": METHODS[method],
        "kind": kind,
        "variable": "CLARIFAI_API_KEY" if kind == API_KEY else "CLARIFAI_PAT",
    }
    text = _template(chosen).render(
        {name: Markup(words) for name, words in own_words.items()},  # noqa: S704  no literals
        call=_predict(session, kind) if method == "PostModelOutputs" else _list(session, kind),
        where=deployment,
        address=f"{deployment.netloc_host}:{deployment.port}",
        ca=deployment.root_certificates if deployment.secure else "",
        meanings={code: words(code)[1] for code in _EXPLAINED},
    )
    return Program(text, chosen)


def _list(session: Session, kind: str) -> _Call:
    if kind == API_KEY:
        return _Call("ListModels")
    if not session.identity.app_id:
        raise CallError(
            "With a PAT, ListModels is about one app, and none was chosen.",
            "Run %clarifai_auth --app-id ID first.",
        )
    return _Call("ListModels", session.identity.user_id, session.identity.app_id)


def _predict(session: Session, kind: str) -> _Call:
    if kind != API_KEY:
        return _Call("PostModelOutputs", *_PUBLIC, _INPUTS["visual-classifier"])
    for model in _models(session):
        if model.model_type_id in _INPUTS:
            return _Call("PostModelOutputs", model_id=model.id, data=_INPUTS[model.model_type_id])
    raise CallError(
        "The app has no classifier, and its API key does not reach the public ones.",
        "Take --method ListModels, or sign in with a PAT.",
    )


def _models(session: Session) -> Any:
    """The session's app's own models: the first hundred."""
    request = service_pb2.ListModelsRequest(per_page=100)
    try:
        response = session.stub.ListModels(request, timeout=DEFAULT_TIMEOUT)
    except grpc.RpcError as error:
        raise failed(error, session.base) from None
    if response.status.code != SUCCESS:
        raise refused(response.status, "Looking for a model of the app")
    return response.models


def _template(language: Language) -> jinja2.Template:
    """A template that puts every text out as a literal of its language."""
    environment = jinja2.Environment(  # noqa: S701  that is the escaping
        loader=jinja2.PackageLoader("clarifai_magic", "snippets"),
        finalize=partial(_written, language),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{language.filename}.jinja")


def _written(language: Language, value: Any) -> Any:
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return language.literal(value) if is_text else value
