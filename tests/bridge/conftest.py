"""Nothing that a client or upstream does may surprise the broker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if the event loop logs an exception that nobody handled."""
    yield
    assert not [
        each
        for each in caplog.get_records("call")
        if each.levelno >= logging.WARNING and each.threadName == "clarifai-broker"
    ]
