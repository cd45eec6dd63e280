"""What may be awaited again, and is a coroutine to asyncio all the same."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


class Repeatable(Coroutine[Any, Any, T]):
    """A coroutine, for `asyncio.create_task` and `asyncio.run`, that begins again after its end."""

    def __init__(self) -> None:
        self._steps: dict[asyncio.Task[Any] | None, Coroutine[Any, Any, T]] = {}

    @abstractmethod
    async def _awaited(self) -> T:
        """What is done each time."""

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    def send(self, value: Any) -> Any:
        """Go on, as the task that asks; called by asyncio."""
        return self._go_on(lambda coroutine: coroutine.send(value))

    def throw(self, *error: Any) -> Any:
        """Go on with an error, as the task that asks; called by asyncio."""
        return self._go_on(lambda coroutine: coroutine.throw(*error))

    def _go_on(self, step: Callable[[Coroutine[Any, Any, T]], Any]) -> Any:
        task = asyncio.current_task()
        if task not in self._steps:
            self._steps[task] = self._awaited()
        try:
            return step(self._steps[task])
        except BaseException:  # its end is one, too
            del self._steps[task]
            raise

    def close(self) -> None:
        """End what is under way."""
        while self._steps:
            self._steps.popitem()[1].close()
