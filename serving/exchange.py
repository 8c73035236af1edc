"""One HTTP request and its response over ASGI, without a framework: the hot path pays for what it uses alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.access.door import Receive, Scope, Send
from serving import json_text
from serving.problem import RefusedRequest

if TYPE_CHECKING:
    from components.inference.row_judge import Missed

JSON_TYPE = b"application/json"
BODY_SECONDS = 20.0  # for a body, and a second more for each BODY_RATE bytes of it
BODY_RATE = 10_000

Headers = Sequence[tuple[bytes, bytes]]


class HttpRequest:
    """A request as the server received it.

    Attributes:
        prediction_id: what the answer is called, of a request that is answered with a prediction.
        missed: what its samples miss of the expectations of the training data.
    """

    __slots__ = ("missed", "prediction_id", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope, self.receive = scope, receive
        self.prediction_id: str | None = None
        self.missed: Sequence[Missed] = ()

    def header(self, name: bytes) -> str | None:
        """The first header of a name in lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case; "" where there is none."""
        return (self.header(b"content-type") or "").partition(";")[0].strip().lower()

    def is_gone(self) -> bool:
        """Whether the client has closed the connection, as far as the server can say without reading from it."""
        cycle = getattr(self.receive, "__self__", None)  # of uvicorn
        return bool(getattr(cycle, "disconnected", False))

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            RefusedRequest: 413, it has more bytes than the limit; 415, it is compressed; 408, it comes too slowly;
                400, the client went away.
        """
        self._check_head(limit)
        begin = time.monotonic()
        message = await self._next(begin, 0)
        if not message.get("more_body") and message["type"] == "http.request":  # nearly always
            content: bytes = message.get("body", b"")
            if len(content) > limit:
                raise _too_large(limit)
            return content
        pieces, total = list[bytes](), 0
        while True:
            if message["type"] == "http.disconnect":
                raise RefusedRequest(400, "disconnected", "the client went away")
            piece = message.get("body", b"")
            total += len(piece)
            if total > limit:
                raise _too_large(limit)
            pieces.append(piece)
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await self._next(begin, total)

    async def stream(self, limit: int) -> AsyncIterator[bytes]:
        """The body in pieces.

        Raises:
            RefusedRequest: as `body`.
        """
        self._check_head(limit)
        begin, total, more = time.monotonic(), 0, True
        while more:
            message = await self._next(begin, total)
            if message["type"] == "http.disconnect":
                raise RefusedRequest(400, "disconnected", "the client went away")
            piece, more = message.get("body", b""), message.get("more_body", False)
            total += len(piece)
            if total > limit:
                raise _too_large(limit)
            yield piece

    def _check_head(self, limit: int) -> None:
        for name, value in self.scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise _too_large(limit, int(value))
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise RefusedRequest(
                    415, "content_encoding", "a compressed body is not read",
                    got=value.decode("latin-1")[:40], expected="identity",
                )  # fmt: skip

    async def _next(self, begin: float, total: int) -> MutableMapping[str, Any]:
        """The next message of the body, of which `total` bytes have come."""
        cycle = getattr(self.receive, "__self__", None)  # of uvicorn: a body that is there is not waited for
        if not getattr(cycle, "more_body", True):
            return await self.receive()
        until = begin + BODY_SECONDS + total / BODY_RATE
        try:
            async with asyncio.timeout(until - time.monotonic()):
                return await self.receive()
        except TimeoutError as error:
            expected = f"within {BODY_SECONDS:.0f} s and a second for each {BODY_RATE} bytes"
            raise RefusedRequest(
                408, "slow", "the body came too slowly", got=f"{total} bytes", expected=expected
            ) from error


def _too_large(limit: int, got: int | None = None) -> RefusedRequest:
    return RefusedRequest(413, "too_large", "the request is too large", got=got, expected=f"{limit} bytes")


@dataclass(slots=True)
class Reply:
    """A response that is sent as a whole.

    Args:
        after: called when it has been sent.
    """

    content: bytes
    status: int = 200
    media: bytes = JSON_TYPE
    headers: Headers = ()
    after: Callable[[], None] | None = None

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [
            (b"content-type", self.media),
            (b"content-length", b"%d" % len(self.content)),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content})
        if self.after is not None:
            self.after()


@dataclass(slots=True)
class StreamedReply:
    """A response that is sent in parts, such as server-sent events.

    When the client goes away, the iterator of the parts is closed, so that no further part is computed.
    """

    parts: AsyncIterator[bytes]
    status: int = 200
    media: bytes = b"text/event-stream"
    headers: Headers = ()

    async def send(self, send: Send, receive: Receive) -> None:
        """Send part after part until they end or the client goes away."""
        headers = [(b"content-type", self.media), (b"cache-control", b"no-store"), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        sending = asyncio.ensure_future(self._send_parts(send))
        leaving = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
                await asyncio.wait((sending,))
        if not sending.cancelled():
            sending.result()  # raises what it raised

    async def _send_parts(self, send: Send) -> None:
        try:
            async for part in self.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            close: Callable[[], Awaitable[None]] | None = getattr(self.parts, "aclose", None)
            if close is not None:
                await close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


Answer = Reply | StreamedReply


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def json_reply(document: Any, status: int = 200, headers: Headers = (), **more: Any) -> Reply:
    """A document as JSON."""
    return Reply(json_text.dumps(document), status, JSON_TYPE, headers, **more)
