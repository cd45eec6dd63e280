"""A session's call as a program that makes it without this package."""

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

from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.api.statuses import SUCCESS, error_from_status, words
from clarifai_magic.bridge.openai_clients import PATH as OPENAI_PATH
from clarifai_magic.client.identity import API_KEY, PAT
from clarifai_magic.client.internals import internals
from clarifai_magic.client.signing_in import DEFAULT_TIMEOUT
from clarifai_magic.errors import CallError
from clarifai_magic.notebook.snippets.languages import CLARIFAI, LANGUAGES, MCP, METHODS, OPENAI

if TYPE_CHECKING:
    from typing_extensions import Self

    from clarifai_magic.notebook.snippets.languages import Language
    from clarifai_magic.session import Session

_CHAT = ("openai", "chat-completion", "gpt-oss-120b")
_PUBLIC = {
    CLARIFAI: ("clarifai", "main", "general-image-recognition"),
    OPENAI: _CHAT,
    MCP: _CHAT,
}
_TEXT = {"text": {"raw": "A dog and a cat on a train to the mountain."}}
_INPUTS = {
    CLARIFAI: {
        "visual-classifier": {"image": {"url": "https://samples.clarifai.com/metro-north.jpg"}},
        "text-classifier": _TEXT,
    },
    OPENAI: {"text-to-text": _TEXT, "multimodal-to-text": _TEXT},
    MCP: {"mcp": _TEXT},
}
"""By protocol, the types of model that a program can use, and their input."""

_EXPLAINED = (
    status_code_pb2.CONN_THROTTLED,
    status_code_pb2.CONN_INSUFFICIENT_SCOPES,
    status_code_pb2.CONN_KEY_INVALID,
    status_code_pb2.CONN_KEY_NOT_FOUND,
    status_code_pb2.CONN_DOES_NOT_EXIST,
)


class Program(str):
    """The text of a program; a notebook highlights it."""

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
    """What a program calls, and its resource; the IDs are empty if the key implies them."""

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
        """The JSON for that address."""
        return json.dumps({"inputs": [{"data": self.data}]}) if self.data else ""

    @property
    def url(self) -> str:
        """The model's name for clients of OpenAI's protocol."""
        return f"https://clarifai.com/{self.user_id}/{self.app_id}/models/{self.model_id}"

    @property
    def mcp_path(self) -> str:
        """The address of the model as an MCP server."""
        ids = {"users": self.user_id, "apps": self.app_id, "models": self.model_id}
        return "/v2/ext/mcp/v1/" + "/".join(f"{k}/{quote(v, safe='')}" for k, v in ids.items())

    @property
    def prompt(self) -> str:
        """The message to a model that replies."""
        return self.data["text"]["raw"] if self.data else ""


def program(session: Session, language: str, method: str) -> Program:
    """Write a program that makes the same call as a session.

    It reads the key from CLARIFAI_PAT or CLARIFAI_API_KEY, prints the response, and fails if the
    API refuses. The key is not in it. CLARIFAI_API_BASE overrides the session's base URL.

    Parameters
    ----------
    session : Session
        The source of the program's base URL and IDs. With a PAT, the model is one of Clarifai's
        public ones; an API key does not reach those, so it is one of the app's own.
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
        If no app was chosen, it has no model that the program could use, or the client does not
        make this call.
    RefusedError, UnreachableError
        If the API does not list the app's models.
    """
    chosen, deployment = LANGUAGES[language], internals(session).deployment
    kind = session.identity.kind or PAT
    calls = {"PostModelOutputs": _predict, "ListModels": _list}
    own_words = {
        "title": METHODS[method],
        "kind": kind,
        "variable": "CLARIFAI_API_KEY" if kind == API_KEY else "CLARIFAI_PAT",
    }
    text = _template(chosen).render(
        {name: Markup(own) for name, own in own_words.items()},  # noqa: S704  no literals
        call=calls[method](session, kind, chosen.protocol),
        base=deployment.base,
        openai_path=OPENAI_PATH,
        ca=deployment.root_certificates if deployment.secure else "",
        meanings={code: words(code)[1] for code in _EXPLAINED},
    )
    return Program(text, chosen)


def _list(session: Session, kind: str, protocol: str) -> _Call:
    if protocol != CLARIFAI:
        raise CallError(
            f"ListModels is part of Clarifai's protocol, but this client speaks {protocol}'s.",
            "Omit --method, or name one of the languages.",
        )
    if kind == API_KEY:
        return _Call("ListModels")
    if not session.identity.app_id:
        raise CallError(
            "With a PAT, ListModels needs an app, but none is chosen.",
            "Run %clarifai_auth --app-id ID first.",
        )
    return _Call("ListModels", session.identity.user_id, session.identity.app_id)


def _predict(session: Session, kind: str, protocol: str) -> _Call:
    inputs = _INPUTS[protocol]
    if kind != API_KEY:
        return _Call("PostModelOutputs", *_PUBLIC[protocol], next(iter(inputs.values())))
    for model in _models(session):
        if data := inputs.get(model.model_type_id):
            return _Call("PostModelOutputs", model.user_id, model.app_id, model.id, data)
    raise CallError(
        f"The app has no model of type {' or '.join(inputs)}, and its API key does not reach "
        "public models.",
        "Use --method ListModels with one of the languages, or sign in with a PAT.",
    )


def _models(session: Session) -> Any:
    """The session's app's own models: the first hundred."""
    request = service_pb2.ListModelsRequest(per_page=100)
    try:
        response = session.stub.ListModels(request, timeout=DEFAULT_TIMEOUT)
    except grpc.RpcError as error:
        raise error_from_rpc(error, internals(session).deployment) from None
    if response.status.code != SUCCESS:
        raise error_from_status(response.status, "Looking up a model of the app")
    return response.models


def _template(language: Language) -> jinja2.Template:
    """A template that writes every text as a literal of its language."""
    environment = jinja2.Environment(  # noqa: S701  that is the escaping
        loader=jinja2.PackageLoader("clarifai_magic.notebook", "snippets"),
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
