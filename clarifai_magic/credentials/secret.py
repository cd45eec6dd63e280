"""A key as a string that does not show itself: printing and pickling reveal nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_magic.errors import SecretError

if TYPE_CHECKING:
    from typing_extensions import Self

MASK = "[clarifai key]"


class Unpicklable:
    """A mixin for objects that hold a key: pickling raises an error with the reason."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse: Python's hook for pickling and, without one of its own, for copying."""
        raise SecretError(
            f"{type(self).__name__} objects hold a key; pickling would store it in plaintext.",
            "Give the other process clarifai_session.for_workers(), which can be pickled.",
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Secret(Unpicklable, str):
    """A key as a ``str`` that gRPC can send and that is not shown by accident.

    ``str()``, ``repr()``, formatting and pickling reveal nothing; concatenation,
    slicing and ``encode()`` work on the real text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Keep the real text, including another Secret's."""
        return super().__new__(cls, str.__str__(text))

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)


Metadata = tuple[tuple[str, Secret], ...]
"""What gRPC takes as call metadata; its repr is masked because each Secret's is."""
