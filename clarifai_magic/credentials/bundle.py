"""A Clarifai key and what belongs to it: one bundle from one source, fixed at creation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from clarifai_magic.api.deployment import deployment_at, find_deployment
from clarifai_magic.api.text import printable
from clarifai_magic.credentials.parsing import clean_id, clean_key, holds_key
from clarifai_magic.credentials.secret import Secret, Unpicklable
from clarifai_magic.errors import KeyFormatError

if TYPE_CHECKING:
    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.credentials.secret import Metadata


class Provenance(NamedTuple):
    """Where a key was found.

    Parameters
    ----------
    kind : str
        The source, as ``--from`` calls it; "python", "process" or "workers" where none was asked.
    name : str
        Its name there: the variable, secret, context or user.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return _WORDS[self.kind].format(printable(self.name))


_WORDS = {
    "env": "{} in the environment",
    "var": "the notebook variable {}",
    "config": "the context {} of ~/.config/clarifai/config",
    "keyring": "{} in the keyring",
    "colab": "{} in Colab's secrets",
    "kaggle": "{} in Kaggle's secrets",
    "form": "the form",
    "prompt": "the prompt",
    "sandbox": "the sandbox",
    "python": "Python",
    "process": "the process that started this one",
    "workers": "a sign-in that made it for its workers",
}

FROM_PYTHON = Provenance("python")


class Credentials(Unpicklable):
    """A key, its supposed owner, its destination and its source: one bundle.

    Creation fixes the defaults. Later changes of the environment or the working directory have no
    effect.

    Parameters
    ----------
    key : str
        A PAT or an API key; cleaned as by `clean_key`.
    user_id, app_id : str
        Whose resources to use; empty to look them up.
    base : str
        The API's base URL; empty for the environment's, else Clarifai's own.
    root_certificates : str, optional
        Path of a CA bundle in PEM; None for the environment's, else gRPC's own.
    source : Provenance
        Where the key was found.
    warning : str
        What is wrong with the source, in words; empty if nothing is.
    kept : str
        What still holds the key after logout, and how to remove it; empty if nothing does.

    Attributes
    ----------
    deployment : Deployment
        The result of `base` and `root_certificates`.

    Raises
    ------
    KeyFormatError
        If the key or an ID is not valid, or the key is in another field.
    BaseURLError
        If the base URL or the CA bundle cannot be used.
    """

    # Not a dataclass, which takes a hundred times as long to define: signing in waits for it.
    def __init__(  # noqa: PLR0913 - what belongs to a key
        self,
        key: str,
        user_id: str = "",
        app_id: str = "",
        base: str = "",
        root_certificates: str | None = None,
        source: Provenance = FROM_PYTHON,
        warning: str = "",
        kept: str = "",
    ) -> None:
        cleaned = clean_key(key)
        _refuse_misplaced(cleaned, base, root_certificates)
        deployment = find_deployment(base or "", root_certificates)
        self.__dict__.update(
            key=cleaned,
            user_id=clean_id("user ID", user_id, cleaned),
            app_id=clean_id("app ID", app_id, cleaned),
            base=deployment.base,
            root_certificates=deployment.root_certificates,
            source=source,
            warning=warning,
            kept=kept,
            deployment=deployment,
        )

    if TYPE_CHECKING:
        key: str
        user_id: str
        app_id: str
        base: str
        root_certificates: str
        source: Provenance
        warning: str
        kept: str
        deployment: Deployment

    def __setattr__(self, name: str, _value: Any) -> NoReturn:
        raise AttributeError(f"Credentials do not change: use replaced({name}=…).")

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, "")

    def _compared(self) -> tuple[Any, ...]:
        key = str.__str__(self.key)
        return key, self.user_id, self.app_id, self.base, self.root_certificates, self.source

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        names = ("user_id", "app_id", "base", "root_certificates", "source")
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"Credentials({shown})"

    def replaced(self, **changes: Any) -> Credentials:
        """The same credentials with the non-empty `changes`.

        A new base URL uses the CA bundle given with it, or the environment's.
        """
        given = {name: value for name, value in changes.items() if value}
        _refuse_misplaced(self.key, given.get("base"), given.get("root_certificates"))
        if "base" in given and deployment_at(given["base"]).base != self.base:
            given.setdefault("root_certificates", None)
        kept = {name: value for name, value in self.__dict__.items() if name != "deployment"}
        return Credentials(**{**kept, **given})

    @property
    def metadata(self) -> Metadata:
        """The ``authorization`` header as call metadata."""
        return (("authorization", Secret("Key " + self.key)),)


def _refuse_misplaced(key: str, *places: str | None) -> None:
    """Refuse a key in a base URL or a path, whose errors would repeat it."""
    if any(holds_key(place or "", key) for place in places):
        raise KeyFormatError(
            "The base URL or the path of the CA bundle contains the key.",
            "Put the key into CLARIFAI_PAT, or run %clarifai_auth alone.",
        )
