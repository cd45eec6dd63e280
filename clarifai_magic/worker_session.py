"""The session that other processes get; apart, for signing in is faster without its imports."""

from __future__ import annotations

from clarifai_magic.bulk.workers import Picklable
from clarifai_magic.session import Session


class WorkerSession(Picklable, Session):
    """A session that can be pickled, and that each process opens once, however often it arrives."""
