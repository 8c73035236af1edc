"""Slow, large and broken connections are cut off, and the next request is answered."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving import connection_limits, exchange
from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package
from tests.serving.service import listening

IMAGE = small_package.image(0)
HEAD = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: image/png\r\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> ModelApp:
    folder = tmp_path_factory.mktemp("bundle")
    small_package.bundle(folder, "7")
    app = ModelApp()
    app.serve(Worker(folder, None, threads=1))
    return app


@pytest.fixture
def address(app: ModelApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(HttpToolsProtocol, "data_received", HttpToolsProtocol.data_received)
    monkeypatch.setattr(uvicorn.Server, "startup", uvicorn.Server.startup)
    for module, name, value in ((connection_limits, "HEAD_SECONDS", 0.3), (connection_limits, "SWEEP_SECONDS", 0.05),
                                (connection_limits, "READ_SECONDS", 0.5), (exchange, "BODY_SECONDS", 0.3)):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    connection_limits.install()
    with listening(app.asgi) as url:
        parsed = httpx.URL(url)
        yield parsed.host, int(parsed.port or 0)
        assert httpx.post(f"{url}/predict", content=IMAGE, headers={"content-type": "image/png"}).status_code == 200


def answer(connection: socket.socket, seconds: float = 5.0) -> bytes:
    """Everything that comes until the server closes the connection."""
    connection.settimeout(seconds)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def is_cut_off(connection: socket.socket, sent: bytes, pause_seconds: float) -> bool:
    """Whether the server ends a connection on which something is sent again and again, within 4 s."""
    connection.settimeout(4)
    begin = time.monotonic()
    while time.monotonic() - begin < 4:
        try:
            connection.sendall(sent)
        except (ConnectionError, TimeoutError) as error:
            return isinstance(error, ConnectionError)
        time.sleep(pause_seconds)
    return False


@pytest.mark.parametrize("sent", [b"", b"GET /mo", HEAD])
def test_a_head_that_does_not_come_is_cut_off(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        begin = time.monotonic()
        assert answer(connection) == b""
        assert 0.2 < time.monotonic() - begin < 3


def test_a_head_that_trickles_is_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD)
        assert is_cut_off(connection, b"a: b\r\n", 0.02)


def test_a_body_that_trickles_is_refused_with_408(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n" + IMAGE[:5])
        received = answer(connection)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"slow"' in received


def test_what_is_left_of_a_refused_body_is_not_waited_for(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"content-length: 99999999\r\n\r\n")
        received = b""
        assert is_cut_off(connection, b"x", 0.02)
        with contextlib.suppress(OSError):
            received = connection.recv(100)
        assert received[:12] in (b"HTTP/1.1 413", b"")


def test_large_heads_and_many_headers_are_refused(address: tuple[str, int]) -> None:
    for head in (b"a: " + b"b" * 10_000_000, b"a: b\r\n" * 1_000_000):
        with socket.create_connection(address) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD + head)
            assert answer(connection)[:12] in (b"HTTP/1.1 431", b"")
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"a: b\r\n" * 101 + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(("size", "status"), [(70_000, b"431"), (60_000, b"422")])
def test_a_large_head_is_refused_even_if_it_comes_at_once(address: tuple[str, int], size: int, status: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"a: " + b"b" * size + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 " + status)


def test_a_client_that_reads_nothing_is_cut_off(address: tuple[str, int]) -> None:
    ended = list[bool]()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(200):
                await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            ended.append(True)

    with listening(large) as url, socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        begin = time.monotonic()
        while not ended and time.monotonic() - begin < 4:  # `send` returns at once where the client has gone
            time.sleep(0.02)
        assert ended
        assert time.monotonic() - begin > 0.4
        assert len(answer(connection)) < 20_000_000


def test_requests_without_end_are_not_kept(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        assert is_cut_off(connection, b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 1000, 0)


def test_an_offer_of_another_protocol_is_ignored(address: tuple[str, int]) -> None:
    whole = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n"
    for offered in (b"h2c", b"websocket"):
        with socket.create_connection(address) as connection:
            for _ in range(2):
                connection.sendall(whole % offered + b"content-length: %d\r\n\r\n" % len(IMAGE) + IMAGE)
                connection.settimeout(5)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_compressed_body_is_refused(address: tuple[str, int]) -> None:
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    response = httpx.post(f"http://{address[0]}:{address[1]}/predict", content=IMAGE, headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "content_encoding")


def test_half_closed_and_broken_connections_do_no_harm(address: tuple[str, int]) -> None:
    whole = HEAD + b"content-length: %d\r\n\r\n" % len(IMAGE) + IMAGE
    for sent in (whole, whole[:-10], HEAD, b"", b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"\xff\xfe\r\n\r\n",
                 b"POST /predict HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\n\r\n",
                 b"POST /predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"):  # fmt: skip
        with socket.create_connection(address) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                received = answer(connection, 2)
                assert b" 5" not in received[8:11]
        with socket.create_connection(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            connection.sendall(sent)
