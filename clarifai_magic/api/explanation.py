"""What a response, a status or an error means, in words."""

from __future__ import annotations

from typing import Any, NamedTuple

import grpc

from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.api.statuses import SUCCESS, named, words
from clarifai_magic.api.text import printable
from clarifai_magic.errors import ClarifaiMagicError


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
        What the API itself said, on one line.
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
    """Explain what a response or an error means and what to do about it.

    Parameters
    ----------
    answer : response, Status, int, grpc.RpcError or ClarifaiMagicError
        What a call returned or raised, or the number of a status.

    Returns
    -------
    Explanation
        For a status: from this package's table, else from clarifai-grpc's comment on it.

    Raises
    ------
    TypeError
        If `answer` is none of these.
    """
    if isinstance(answer, ClarifaiMagicError):
        return Explanation(answer.code, answer.message, answer.hint)
    if isinstance(answer, grpc.RpcError) and hasattr(answer, "code"):
        error = error_from_rpc(answer)
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
    parts = [getattr(status, "description", ""), getattr(status, "details", "")]
    return printable(" / ".join(filter(None, parts)))
