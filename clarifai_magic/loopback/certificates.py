"""A certificate for this machine, and the authority that vouches for it."""

from __future__ import annotations

import atexit
import os
import ssl
import tempfile
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from clarifai_magic.loopback.front import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def certified() -> Iterator[tuple[str, ssl.SSLContext]]:
    """An authority's file, which exists for the block or this process, and a certificate."""
    try:
        import trustme
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "The sandbox's TLS needs the package trustme, which is not installed.\n"
            "Run: pip install 'clarifai-magic[tls]'"
        ) from None
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # gRPC clients offer only h2; clients that also offer HTTP/1.1 speak REST.
    context.set_alpn_protocols(["http/1.1", "h2"])
    authority.issue_cert("localhost", LOOPBACK).configure_cert(context)
    handle, path = tempfile.mkstemp(prefix="clarifai-sandbox-", suffix=".pem")
    with os.fdopen(handle, "wb") as file:
        file.write(authority.cert_pem.bytes())
    forget = partial(_removed, path, os.getpid())
    atexit.register(forget)
    try:
        yield path, context
    finally:
        atexit.unregister(forget)
        forget()


def _removed(path: str, process: int) -> None:
    if os.getpid() == process:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  the twin of mkstemp
