"""``--export-env`` and ``--export-openai``: the variables of a session for other programs.

They get the broker's address and the session's token; the key does not enter the environment.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clarifai_magic.client.internals import internals
from clarifai_magic.credentials.parsing import holds_key
from clarifai_magic.environment import own

if TYPE_CHECKING:
    from collections.abc import Collection

    from clarifai_magic.bridge.broker import Broker
    from clarifai_magic.session import Session


def variables(session: Session) -> dict[str, str]:
    """The variables that the Clarifai SDK and CLI, LiteLLM, and programs in shell cells read.

    Returns
    -------
    dict of str to str
        Empty where a variable must be unset, so that no other key, ID or CA bundle passes for
        this session's.
    """
    who, broker = session.identity, session.broker
    of_an_app = who.kind == "API key"
    key, present = internals(session).found.credentials.key, own("CLARIFAI_API_KEY")
    # LiteLLM reads a PAT only there. Another app's key stays for the programs that need it.
    stands_for_it = of_an_app or not present or holds_key(present, key)
    return {
        "CLARIFAI_PAT": "" if of_an_app else broker.token,
        "CLARIFAI_API_KEY": broker.token if stands_for_it else present,
        "CLARIFAI_USER_ID": who.user_id,
        "CLARIFAI_APP_ID": who.app_id,
        "CLARIFAI_API_BASE": broker.base,
        "CLARIFAI_ROOT_CERTIFICATES_PATH": "",
        **past_proxies(broker),
    }


def openai_variables(session: Session) -> dict[str, str]:
    """The variables that clients of OpenAI's protocol read."""
    from clarifai_magic.bridge.openai_clients import PATH

    broker = session.broker
    return {
        "OPENAI_BASE_URL": broker.base + PATH,
        "OPENAI_API_BASE": broker.base + PATH,  # LangChain prefers it, LlamaIndex reads no other
        "OPENAI_API_KEY": broker.token,
        **past_proxies(broker),
    }


def past_proxies(broker: Broker) -> dict[str, str]:
    """The variables for direct access to the broker: a proxy would look on its own machine.

    Some programs read one name, some the other, and some the second if the first is unset.
    """
    lower, upper = own("no_proxy"), own("NO_PROXY")
    listed = {"no_proxy": lower or upper, "NO_PROXY": upper or lower}
    host = urlsplit(broker.base).hostname or ""
    lent = {name: each if each == "*" else _listing(each, host) for name, each in listed.items()}
    # gRPC prefers its own variable, even if it is empty, and does not support a star.
    if "no_grpc_proxy" in os.environ or "*" in lent.values():
        lent["no_grpc_proxy"] = _listing(own("no_grpc_proxy"), host)
    return lent


def _listing(listed: str, host: str) -> str:
    return f"{listed},{host}" if listed else host


def sdk_base() -> str:
    """The base URL of the Clarifai SDK in this process; empty if it is not imported.

    The SDK reads it once, on import.
    """
    return getattr(sys.modules.get("clarifai.utils.constants"), "DEFAULT_BASE", "")


def served(session: Session) -> str:
    """Whether the session's broker is open, for what, and its number of forwarded requests."""
    broker = session.broker
    if not broker.is_open:
        return "broker not open"
    names = ", ".join(sorted(holding({broker.token})))
    whom = f"the environment ({names})" if names else "clients that have its token"
    return f"broker {broker.base} for {whom}, requests forwarded: {broker.carried}"


def holding(secrets: Collection[str]) -> list[str]:
    """The variables that hold one of these keys or tokens."""
    return [name for name, value in os.environ.items() if any(each in value for each in secrets)]
