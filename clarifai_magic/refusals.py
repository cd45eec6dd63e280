"""Words for refused calls: a warning when one happens, an explanation when one is asked for."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from clarifai_magic.errors import ClarifaiAuthWarning, ClarifaiMagicError
from clarifai_magic.failures import failed
from clarifai_magic.statuses import SUCCESS, concerning, named, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from clarifai_magic.identity import Identity

_MOST_SAID = 300


class RefusalWatch:
    """Warns once a cause when the API refuses a call of a session.

    Parameters
    ----------
    identity : Identity
        Of the key that the calls are made with.

    Attributes
    ----------
    wanted : callable
        Asked at each refusal whether to warn.
    """

    def __init__(self, identity: Identity) -> None:
        self.wanted: Callable[[], bool] = lambda: True
        self._identity = identity
        self._seen: set[tuple[str, int]] = set()

    def __call__(self, method: str, code: int) -> None:
        """Warn of a call to `method` whose response had the status `code`."""
        if (method, code) in self._seen or not self.wanted():
            return
        self._seen.add((method, code))
        wrong, remedy = concerning(method, code, self._identity)
        # A filter may turn warnings into errors, and here one would replace the response.
        with contextlib.suppress(ClarifaiAuthWarning):
            # Explicitly, because the frame that reads a response is gRPC's and seldom the cell's.
            warnings.warn_explicit(
                f"refused ({named(code)}): {wrong}. {remedy}", ClarifaiAuthWarning, method, 0
            )


class Explanation(NamedTuple):
    """What a response, status or error means.

    Parameters
    ----------
    code : str
        Number and name of the status, or the code of the error.
    wrong : str
        What is wrong.
    remedy : str
        What to do; empty if there is nothing to do.
    said : str
        What the API itself said; text, whatever it looks like.
    """

    code: str
    wrong: str
    remedy: str = ""
    said: str = ""

    def __repr__(self) -> str:
        lines = [f"{self.code}: {self.wrong}"]
        if self.said:
            lines.append(f"The API said: {self.said}")
        if self.remedy:
            lines.append(f"→ {self.remedy}")
        return "\n".join(lines)


def explain(answer: Any) -> Explanation:
    """Say what a response or an error means and what to do about it.

    Parameters
    ----------
    answer : response, Status, int, grpc.RpcError or ClarifaiMagicError
        What a call gave or raised, or the number of a status.

    Returns
    -------
    Explanation
        For a status: from this package's table, else from clarifai-grpc's comment on it.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(answer, ClarifaiMagicError):
        return Explanation(answer.code, answer.message, answer.hint)
    if isinstance(answer, grpc.RpcError) and hasattr(answer, "code"):
        error = failed(answer, "the API")
        return Explanation(error.code, error.message, error.hint)
    status = getattr(answer, "status", answer)
    code = getattr(status, "code", status)
    if not isinstance(code, int):
        raise TypeError(f"A {type(answer).__name__} has no status to explain.")
    if code == SUCCESS:
        return Explanation(named(code), "The call succeeded.")
    _, wrong, remedy = words(code)
    return Explanation(named(code), f"{wrong[0].upper()}{wrong[1:]}.", remedy, _said(status))


def _said(status: Any) -> str:
    """The API's own words, on one line and without what a terminal would obey."""
    parts = [getattr(status, "description", ""), getattr(status, "details", "")]
    text = " / ".join(filter(None, parts))
    return "".join(c if c.isprintable() else " " for c in text)[:_MOST_SAID]
