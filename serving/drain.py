"""How a worker ends: it accepts what waits and nothing more, answers it, and closes no connection with a request in it.

uvicorn, at its shutdown, closes every connection without a running request, although the client may just have sent
one. Here a worker that is told to end first drains: other processes accept new connections (they listen on the same
socket), each response on an open connection says `Connection: close`, and a connection that stays silent is closed only
after uvicorn's own keep-alive time.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import uvicorn

LINGER_SECONDS = 6.0  # for a silent connection; uvicorn closes an idle one after 5 s in any case
POLL_SECONDS = 0.05


def install(on_begin: Callable[[], None]) -> None:
    """Let the uvicorn server of this process drain before it shuts down.

    Args:
        on_begin: called when draining begins.
    """
    shut_down = uvicorn.Server.shutdown

    async def drain(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        on_begin()
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        await asyncio.sleep(POLL_SECONDS)  # accept what waits in the socket's queue; it would be reset
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        until = time.monotonic() + LINGER_SECONDS
        await asyncio.sleep(POLL_SECONDS)  # what was accepted last becomes a connection
        while state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(POLL_SECONDS)
        await shut_down(self, sockets)  # waits for running requests, without a limit of its own

    uvicorn.Server.shutdown = drain  # type: ignore[method-assign]
