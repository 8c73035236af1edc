"""An HTTP load generator in one process: each keep-alive connection sends a request when the last one is answered.

Raw sockets, a prebuilt request and minimal parsing of the response keep the generator light beside the service.
Loopback only; responses with a status other than 200 are counted as errors.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from dataclasses import dataclass, field
from functools import partial

VERSION = re.compile(rb"x-modelyard-version: *([^\r]*)", re.IGNORECASE)
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """The result of one load.

    Args:
        seconds: duration of the load.
        latencies: in seconds, of each request answered with 200, in the order of the responses.
        ends: time of each of these responses, by the performance counter.
        versions: model version of each of these responses.
        errors: number of other requests.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    versions: list[bytes] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        """Requests per second that were answered with 200."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def post(path: str, content: bytes, kind: str, port: int) -> bytes:
    """The bytes of one POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def run(request: bytes, port: int, *, connections: int, seconds: float, end: threading.Event | None = None) -> Load:
    """Send requests for `seconds`, or until `end` is set."""
    return asyncio.run(_run(request, port, connections, seconds, end or threading.Event()))


async def _run(request: bytes, port: int, connections: int, seconds: float, stop: threading.Event) -> Load:
    load, loop = Load(), asyncio.get_running_loop()
    begin = time.perf_counter()
    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        connection = partial(_Connection, request, load, begin + seconds, end, stop)
        await loop.create_connection(connection, "127.0.0.1", port)
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*ends)
    load.seconds = time.perf_counter() - begin
    return load


class _Connection(asyncio.Protocol):
    """One connection with at most one request in flight."""

    def __init__(
        self, request: bytes, load: Load, deadline: float, end: asyncio.Future[None], stop: threading.Event
    ) -> None:
        self.request, self.load, self.deadline, self.end, self.stop = request, load, deadline, end, stop
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # asyncio's TCP transports are
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.received, 0, head)
        if length is None:  # not a readable response; `connection_lost` counts it
            self.transport.close()
            return
        if len(self.received) < head + 4 + int(length[1]):
            return
        now = time.perf_counter()
        if self.received.startswith(b"HTTP/1.1 200"):
            self.load.latencies.append(now - self.sent)
            self.load.ends.append(now)
            version = VERSION.search(self.received, 0, head)
            self.load.versions.append(version[1] if version else b"")
        else:
            self.load.errors += 1
        self.received = b""
        if now < self.deadline and not self.stop.is_set():
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.received or exc is not None:
            self.load.errors += 1
        if not self.end.done():
            self.end.set_result(None)

    def _send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)
