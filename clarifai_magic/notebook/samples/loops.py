"""An event loop for a sample that starts one while the kernel's runs in the same thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def beside(function: Callable[..., Any]) -> Callable[..., Any]:
    """`asyncio.run`, or a loop's `run_until_complete`, even while a loop is running.

    The running loop waits meanwhile, as for any code in a cell, and continues afterwards.
    """

    def run(*arguments: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        running = asyncio._get_running_loop()  # noqa: SLF001 - for those who make loops
        if running is None:
            return function(*arguments, **options)
        asyncio._set_running_loop(None)  # noqa: SLF001
        try:
            if getattr(function, "__self__", None) is running:
                return asyncio.run(_awaited(*arguments))
            return function(*arguments, **options)
        finally:
            asyncio._set_running_loop(running)  # noqa: SLF001
            asyncio.set_event_loop(running)

    return run


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
