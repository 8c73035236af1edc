"""A proxy on loopback that counts what goes through it: HTTP (absolute URLs) and SOCKS 5, without authentication."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """Where it listens, and the hosts and ports that it was asked for."""

    port: int = 0
    asked: list[tuple[str, int]] = field(default_factory=list)

    @property
    def http(self) -> str:
        """Its URL as an HTTP proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socks(self) -> str:
        """Its URL as a SOCKS proxy."""
        return f"socks5://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, of either kind: SOCKS 5 (RFC 1928) begins with the byte 5."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                first = await reader.readexactly(1)
                await (self._socks if first == b"\x05" else self._http)(first, reader, writer)
        finally:
            writer.close()

    async def _http(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, url, version = (first + await reader.readline()).decode().split()
        target = urlsplit(f"//{url}" if method == "CONNECT" else url)
        host, port = target.hostname or "", target.port or 80
        self.asked.append((host, port))
        server = await asyncio.open_connection(host, port)
        path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        server[1].write(f"{method} {path} {version}\r\n".encode())
        await _join((reader, writer), server)

    async def _socks(self, _: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05\x00")
        *_, kind = await reader.readexactly(4)
        raw = await reader.readexactly(4 if kind == 1 else (await reader.readexactly(1))[0])
        host = ".".join(map(str, raw)) if kind == 1 else raw.decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append((host, port))
        server = await asyncio.open_connection(host, port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await _join((reader, writer), server)


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(one: _Ends, other: _Ends) -> None:
    try:
        await asyncio.gather(_copy(one[0], other[1]), _copy(other[0], one[1]))
    finally:
        other[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()


@contextmanager
def running() -> Iterator[Proxy]:
    """A proxy in a thread of its own."""
    proxy, loop, ready = Proxy(), asyncio.new_event_loop(), threading.Event()

    async def main() -> None:
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            proxy.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
