"""Whether found keys still work: one request each, only on request."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
from clarifai_grpc.grpc.api import service_pb2
from clarifai_grpc.grpc.api.status import status_code_pb2

from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.api.grpc_errors import error_from_rpc
from clarifai_magic.api.statuses import error_from_status
from clarifai_magic.api.text import printable
from clarifai_magic.client.questions import Questions
from clarifai_magic.client.transport import Connection
from clarifai_magic.credentials.bundle import Credentials
from clarifai_magic.errors import BaseURLError, KeyRejectedError, ScopeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clarifai_magic.api.deployment import Deployment
    from clarifai_magic.audit.findings import Finding

_SECONDS = 10.0  # for one request


def verified(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, each with what the API says about its key.

    Raises
    ------
    BaseURLError
        If a key would go out unencrypted.
    """
    deployment = find_deployment()
    if deployment.is_plaintext:
        raise BaseURLError(
            "The audit does not send found keys unencrypted.",
            "Unset CLARIFAI_API_BASE, or use https://.",
        )
    answers: dict[str, str] = {}
    with closing(Connection(deployment, retries=False)) as connection:
        for finding in findings:
            if finding.fingerprint not in answers:
                answers[finding.fingerprint] = _answer(connection.channel, finding.key, deployment)
            yield replace(finding, verified=answers[finding.fingerprint])


def _answer(channel: grpc.Channel, key: str, deployment: Deployment) -> str:
    credentials = Credentials(key, base=deployment.base)
    questions = Questions(
        channel, credentials.metadata, deployment, deadline=time.monotonic() + _SECONDS
    )
    try:
        answer = questions.future("MyScopes", service_pb2.MyScopesRequest()).result()
    except grpc.RpcError as error:
        return f"unknown: {error_from_rpc(error, deployment).message}"
    if answer.status.code != status_code_pb2.SUCCESS:
        refusal = error_from_status(answer.status, "Looking up its scopes")
        if isinstance(refusal, KeyRejectedError):
            return "revoked, or never a key"
        alive = isinstance(refusal, ScopeError)
        return "valid, but may not list its scopes" if alive else f"unknown: {refusal.message}"
    app = answer.app
    whose = f"the API key of app {app.user_id}/{app.id}" if app.id else "a PAT"
    scopes = ", ".join([*answer.scopes, *answer.endpoints]) or "none"
    return f"valid, {printable(whose)}, scopes: {printable(scopes)}"
