"""A small application behind a door, on a real port of this process, and raw requests to it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from components.access import cookie, project_door
from components.access import secret as secrets
from components.access.door import ACTOR, Actor, Door

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
GUARDED = b"x-version"


@dataclass
class Reached:
    """What came through the door."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    actors: list[Actor | None] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@dataclass
class Answer:
    """One answer; all header fields in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Where it listens, and what it let through."""

    port: int
    secret: str
    project: str
    used_codes: Path
    reached: Reached

    @property
    def origin(self) -> str:
        """The origin of its own pages."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        """The name of its cookie."""
        return cookie.name(self.project)

    @property
    def authorization(self) -> dict[str, str]:
        """The right credentials."""
        return secrets.Credentials("ada", self.secret).headers

    def ask(
        self, method: str = "GET", path: str = "/thing", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return Answer(
                response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
            )

    def raw(self, *lines: str) -> bytes:
        """What the server answers to bytes that no HTTP client sends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connected:
            connected.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
            parts = []
            while part := connected.recv(65536):
                parts.append(part)
            return b"".join(parts)

    def open(self, **query: str) -> Answer:
        """Open it with a fresh code, as a browser does."""
        words = "&".join(f"{key}={value}" for key, value in query.items())
        return self.ask("GET", f"/.modelyard/open?code={cookie.new_code(self.secret)}&{words}")

    def fresh_cookie(self) -> str:
        """The header `Cookie` that a browser sends after it was opened."""
        return self.open().headers["set-cookie"].partition(";")[0]


def application(reached: Reached) -> Starlette:
    """Notes what reaches it."""

    async def thing(request: Request) -> Response:
        reached.requests.append((request.method, request.url.path))
        says = request.scope.get(ACTOR)
        reached.actors.append(says() if says else None)
        return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})

    async def talk(websocket: WebSocket) -> None:
        subprotocols = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol=subprotocols[0] if subprotocols else None)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                reached.messages.append(await websocket.receive_text())
                await websocket.send_text("heard")

    async def chatter(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="prefect")
        await websocket.send_text("something of the owner's")

    return Starlette(
        routes=[
            WebSocketRoute("/talk", talk),
            WebSocketRoute("/chatter", chatter),
            Route("/{path:path}", thing, methods=METHODS),
        ]
    )


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """The application behind the door, until the block ends."""
    secret = secrets.create(folder / "secret")
    reached, project = Reached(), project_door.project_id(secret)
    door = Door(
        application(reached),
        secret=secret,
        project=project,
        used_codes=folder / "used-codes",
        opened_by="modelyard open thing",
        open_paths=frozenset({"/predict"}),
        guarded_headers=frozenset({GUARDED}),
        handshake="prefect",
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    settings: dict[str, Any] = {
        "log_config": None,
        "log_level": "critical",
        "lifespan": "off",
        "ws": "websockets-sansio",
    }
    server = uvicorn.Server(uvicorn.Config(door, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Server(port, secret, project, folder / "used-codes", reached)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
