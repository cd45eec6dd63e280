"""A key is not handed to a cluster over an unencrypted network, unless its user says so."""

from __future__ import annotations

import ipaddress

from clarifai_magic.errors import CallError


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by the address that it is written as."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_plaintext(host: str, what: str, remedy: str) -> None:
    """Refuse to send a key in plaintext, except within this machine.

    Parameters
    ----------
    host : str
        Where it would go.
    what : str
        The cluster, in words.
    remedy : str
        What encrypts it.

    Raises
    ------
    CallError
        If the host is another machine.
    """
    if not is_loopback(host):
        raise CallError(
            f"{what} is not encrypted: the workers' key would travel in plaintext.",
            f"{remedy}, or pass insecure=True if you trust the network.",
        )
