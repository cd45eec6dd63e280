"""What in a program is Clarifai's, by full names and URLs, and what are placeholders there."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from clarifai_magic.api import PUBLIC_BASE
from clarifai_magic.credentials.parsing import is_placeholder

KEY_VARIABLES = {"CLARIFAI_PAT", "CLARIFAI_API_KEY"}
VARIABLES = {*KEY_VARIABLES, "CLARIFAI_USER_ID", "CLARIFAI_APP_ID", "CLARIFAI_API_BASE"}
KEY_PARAMETERS = {"pat", "token", "api_key", "openai_api_key", "clarifai_pat", "auth"}
"""Client parameters that take a bare key."""

BASE_PARAMETERS = {"base_url", "api_base", "openai_api_base"}
"""Client parameters that take the URL of all calls."""

TARGET_PARAMETERS = {*BASE_PARAMETERS, "base", "target"}
"""The same, and those of channels."""

ADDRESS_PARAMETERS = {*BASE_PARAMETERS, "url"}

CONNECTIONS = {
    f"http.client.{kind}Connection().{method}"
    for kind in ("HTTP", "HTTPS")
    for method in ("request", "putrequest", "putheader", "endheaders", "send")
}
"""Callables that send to their object's host, without a URL."""

SECURE_CONNECTION = "http.client.HTTPSConnection"

PROXY_PARAMETERS = {"proxies", "proxy"}

BUILDERS = {"dict", "list", "print", "set", "str", "super", "tuple"}
"""Python's own functions that send nothing."""

_CLIENTS = {
    *("requests", "requests.Session()", "requests.session()", "requests.sessions.Session()"),
    *("httpx", "httpx.Client()", "httpx.AsyncClient()"),
    *("aiohttp", "aiohttp.ClientSession()"),
}
_VERBS = {"delete", "get", "head", "options", "patch", "post", "put"}
SENDERS = {
    **{f"{client}.{verb}": 0 for client in _CLIENTS for verb in _VERBS},
    **{f"{client}.{method}": 1 for client in _CLIENTS for method in ("request", "stream")},
    "urllib.request.Request": 0,
    **dict.fromkeys(("httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession"), 9),
}
"""Callables that send their arguments to a URL, and the position of the URL."""

ENVIRON = "os.environ"
ENVIRONMENTS = {ENVIRON, "dotenv.dotenv_values()"}
LOOK_UPS = {
    "os.getenv",
    "os.environ.get",
    "os.environ.pop",
    "dotenv.dotenv_values().get",
    "google.colab.userdata.get",
    "kaggle_secrets.UserSecretsClient().get_secret",
}
ASKING = {"getpass.getpass", "input", "builtins.input"}

_MAKERS = "clarifai_grpc.channel.clarifai_channel.ClarifaiChannel."
AIO_CHANNELS = {
    *(f"{_MAKERS}get_aio_{kind}grpc_channel" for kind in ("", "insecure_", "secure_")),
    "grpc.aio.secure_channel",
    "grpc.aio.insecure_channel",
}
CHANNELS = {
    *AIO_CHANNELS,
    *(f"{_MAKERS}get_{kind}grpc_channel" for kind in ("", "insecure_", "secure_")),
    f"{_MAKERS}get_json_channel",
    "grpc.secure_channel",
    "grpc.insecure_channel",
}
RUNNERS = {"asyncio.run", "anyio.run"}
LOOPS = {f"asyncio.{maker}()" for maker in ("get_event_loop", "new_event_loop", "get_running_loop")}

HOST = "clarifai.com"
"""Of web pages; the API accepts some as names of what they show."""

_PACKAGES = {"clarifai", "clarifai_grpc"}
_FRAMEWORKS = {"langchain", "langchain_community", "llama_index", "haystack_integrations"}
_REAL_KEY = r"[0-9a-f]{32}"
_CAPITALS = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*"
_ID_PLACES = (
    r"(?i:(?:CLARIFAI_)?(?:USER|APP)[_-]ID(?:[_-]HERE)?)|<.*>|\{.*\}|\$\{?\w+\}?|[*?.\u2022]+"
)


def is_clarifais(name: str) -> bool:
    """Whether a full name is from Clarifai's packages, or a framework's integration of them."""
    package, *parts = name.replace("()", "").split(".")
    return package in _PACKAGES or (
        package in _FRAMEWORKS and any(part.lower() == "clarifai" for part in parts)
    )


def is_message(name: str) -> bool:
    """Whether a full name is one of Clarifai's messages, which makes no calls itself."""
    module, _, kind = name.rpartition(".")
    return module.startswith("clarifai_grpc.") and module.endswith("_pb2") and kind.isidentifier()


def api_base(text: str, deployment: str) -> str:
    """The part of a URL that is the API's base, public or `deployment`'s; empty if none."""
    for base in (PUBLIC_BASE, deployment):
        if text.startswith(base) and text[len(base) : len(base) + 1] in {"", "/", "?"}:
            return base
    return ""


def is_api_host(text: str, deployment: str) -> bool:
    """Whether a host, with or without a port, is the API's."""
    hosts = {urlsplit(base).netloc for base in (PUBLIC_BASE, deployment)}
    return text.removesuffix(":443") in hosts


def netloc(text: str) -> str:
    """The host of a URL, with or without its scheme."""
    return urlsplit(text if "://" in text else f"//{text}").netloc


def host_of(text: str) -> str:
    """The host of an absolute URL; empty for any other text."""
    if not re.match(r"https?://[\w.\[\]:-]+(?:[/?#]|$)", text):
        return ""
    host = urlsplit(text).netloc
    # Plaintext and encrypted requests have different destinations.
    return f"{host}:80" if text.startswith("http:") and ":" not in host else host


def id_segments(text: str) -> list[tuple[str, int, int]]:
    """The places of user and app IDs in the URL of a resource, or of its page."""
    found = [
        (f"{match[1]}_id", match.start(2), match.end(2))
        for match in re.finditer(r"(?:^|/)(user|app)s/(\?{2,}|[^/?#]+)", text)
    ]
    page = re.match(rf"https://{HOST}/([^/?#]+)/([^/?#]+)(?:/\w+/|/?$)", text)
    if page:
        found += [("user_id", *page.span(1)), ("app_id", *page.span(2))]
    return found


def is_real_key(text: str) -> bool:
    """Whether a text is only something with the shape of a key."""
    return re.fullmatch(_REAL_KEY, text, re.IGNORECASE) is not None


def is_key_place(text: str) -> bool:
    """Whether a text in a key's place may be Clarifai's: a placeholder, empty, or a key."""
    capitals = re.fullmatch(_CAPITALS, text) is not None
    return capitals or is_placeholder(text) or is_real_key(text)


def is_id_place(text: str) -> bool:
    """Whether a text in an ID's place is a placeholder; `my-first-app` is an ID."""
    return re.fullmatch(_ID_PLACES, text, re.DOTALL) is not None or "your" in re.split(
        r"[\W_]+", text.lower()
    )
