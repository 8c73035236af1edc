"""Limits of a connection that uvicorn does not have: the size of a request's head, and the time that a client may take.

uvicorn closes a connection that is idle between two requests, but waits without end for the rest of a head, for the
rest of a body that was refused, and for a client that reads no response; it keeps any number of requests that a client
sends without waiting for answers; httptools bounds neither the number nor the size of headers. A head is the request
line with the headers.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 100
MAX_PIPELINED = 200  # requests that a client sends before it has the answer of the first one
HEAD_SECONDS = 20.0  # for a head, and for what is left of a refused body
READ_SECONDS = 120.0  # for a client that reads nothing
SWEEP_SECONDS = 2.0
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

LOG = logging.getLogger("bentoml.modelyard")


def install() -> None:
    """Let the uvicorn server of this process keep these limits."""
    receive, start = HttpToolsProtocol.data_received, uvicorn.Server.startup

    def data_received(self: Any, data: bytes) -> None:
        scope, cycle = self.scope, self.cycle  # the scope is made anew with each head
        if b"pgrade" in data and (cycle is None or cycle.response_complete or cycle.scope is not scope):
            data = without_upgrade(data)
        if len(data) > MAX_HEAD_BYTES and _begins_in_head(self) and data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) < 0:
            self.transport.write(_TOO_LARGE)  # a head that comes as a whole is no head of many reads
            self.transport.close()
            return
        receive(self, data)
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()
        elif scope is self.scope and _is_in_head(self):
            self.head_bytes = getattr(self, "head_bytes", 0) + len(data)
            if self.head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        else:
            self.head_bytes = 0

    async def startup(self: uvicorn.Server, *rest: Any, **more: Any) -> None:
        await start(self, *rest, **more)
        self.modelyard_sweep = asyncio.ensure_future(sweep(self))  # type: ignore[attr-defined]  # kept alive

    HttpToolsProtocol.data_received = data_received  # type: ignore[method-assign]
    uvicorn.Server.startup = startup  # type: ignore[method-assign]


def without_upgrade(data: bytes) -> bytes:
    """The begin of a request whose header `Upgrade` is ignored, as RFC 9110 (7.8) allows: no other protocol is spoken.

    uvicorn would wait for a body that its parser does not read any more; Java's client offers HTTP/2 in this way.
    """
    head, ending, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nIgnored:", head) + ending + rest  # of the same length


async def sweep(server: uvicorn.Server) -> None:
    """Close connections whose client takes too long, until the server ends."""
    waiting: dict[Any, tuple[object, float]] = {}  # by connection: what it waits for, and since when
    while not server.should_exit:
        await asyncio.sleep(SWEEP_SECONDS)
        now = time.monotonic()
        found: dict[Any, tuple[object, float]] = {}
        for connection in list(server.server_state.connections):
            state = _waits_for(connection)
            if state is None:
                continue
            what, seconds = state
            before = waiting.get(connection)
            since = before[1] if before is not None and before[0] is what else now
            if now - since < seconds:
                found[connection] = (what, since)
            else:
                connection.transport.abort()
        waiting = found


def _waits_for(connection: Any) -> tuple[object, float] | None:
    """What a connection waits for, and how long it may; None: for nothing from its client."""
    if not isinstance(connection, HttpToolsProtocol):
        return None
    if _is_in_head(connection):
        return connection if connection.scope is None else connection.scope, HEAD_SECONDS
    if connection.flow.write_paused:
        return connection.cycle, READ_SECONDS
    if connection.cycle.response_complete and connection.cycle.more_body:
        return connection.cycle, HEAD_SECONDS
    return None


def _begins_in_head(connection: Any) -> bool:
    """Whether what comes next belongs to a head: neither to a body nor behind a request that is being answered."""
    cycle = connection.cycle
    return cycle is None or cycle.scope is not connection.scope or (cycle.response_complete and not cycle.more_body)


def _is_in_head(connection: Any) -> bool:
    """Whether the head of the next request has not come as a whole."""
    cycle = connection.cycle
    return cycle is None or cycle.scope is not connection.scope
