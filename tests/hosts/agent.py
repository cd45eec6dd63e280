"""An agent: it knows a notebook by MCP alone, and what it was ever sent is kept."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

from fastmcp import Client

if TYPE_CHECKING:
    from fastmcp.client.transports import ClientTransport

PATIENCE = 240  # seconds, for a call on a machine that does much else


class Agent:
    """A client of jupyter-mcp-server, in a thread of its own.

    Parameters
    ----------
    transport : str or ClientTransport
        How the server is reached.
    """

    def __init__(self, transport: str | ClientTransport) -> None:
        self.transcript = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = Client(transport, log_handler=self._logged, progress_handler=self._logged)
        self._wait(self._client.__aenter__())

    async def _logged(self, *sent: Any) -> None:
        self.transcript += repr(sent)

    def _wait(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(2 * PATIENCE)

    def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool; the text that it gives, an error's too."""
        answer = self._wait(self._client.call_tool(tool, arguments, raise_on_error=False))
        text = "\n".join(getattr(part, "text", "") for part in answer.content)
        self.transcript += json.dumps([tool, arguments, repr(answer), text])
        return text

    def run(self, code: str) -> str:
        """Add a cell to the notebook and run it."""
        return self.call(
            "insert_execute_code_cell", cell_index=-1, cell_source=code, timeout=PATIENCE
        )

    def shown(self, code: str) -> str:
        """Add a cell that puts something out, and run it; again outside it if that is missed."""
        text = self.run(code)
        return self.execute(code) if text.startswith("[COMPLETED") else text

    def execute(self, code: str) -> str:
        """Run code that is in no cell and puts something out.

        On a busy machine the server misses that: it waits only a moment after the kernel's reply.
        """
        for _ in range(20):
            text = self.call("execute_code", code=code, timeout=PATIENCE)
            if text != "[No output generated]":
                return text
        raise TimeoutError("The agent got no output.")

    def close(self) -> None:
        """End the client."""
        self._wait(self._client.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
