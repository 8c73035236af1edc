"""Artifacts go to the registry and come back in pieces; a connection that breaks in the middle is tried again."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.core.errors import RegistryError
from components.registry.api import Api, MissingError

SIZE = 48_000_000
PLACE = "mlflow-artifacts:/1"


class Store(ThreadingHTTPServer):
    """Keeps files on disk; breaks off in the middle as often as it is told to."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Files)
        self.folder = folder
        self.breaks = 0
        self.chunked = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A broken connection is what is tested."""


class Files(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        self.server.chunked |= "Transfer-Encoding" in self.headers
        left = int(self.headers["Content-Length"])
        if self.server.breaks:
            self.server.breaks -= 1
            self.rfile.read(left // 2)
            self.connection.close()
            return
        with self._file().open("wb") as stream:
            while left:
                left -= stream.write(self.rfile.read(min(left, 1 << 16)))
        self._head(200, 2)
        self.wfile.write(b"{}")

    def do_GET(self) -> None:
        if not self._file().is_file():
            body = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such file"}'
            self._head(404, len(body))
            self.wfile.write(body)
            return
        self._head(200, self._file().stat().st_size)
        with self._file().open("rb") as stream:
            if self.server.breaks:
                self.server.breaks -= 1
                self.wfile.write(stream.read(1000))
                self.connection.close()
                return
            while piece := stream.read(1 << 16):
                self.wfile.write(piece)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _file(self) -> Path:
        return self.server.folder / self.path.rpartition("/")[2]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "store").mkdir()
    with Store(tmp_path / "store") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def api(store: Store) -> Iterator[Api]:
    with Api(f"http://127.0.0.1:{store.server_port}") as api:
        yield api


def test_memory_does_not_grow_with_an_artifact(api: Api, store: Store, tmp_path: Path) -> None:
    big = tmp_path / "weights"
    with big.open("wb") as stream:
        stream.truncate(SIZE)
    tracemalloc.start()
    api.upload_file(PLACE, "weights", big)
    api.download_file(PLACE, "weights", tmp_path / "back")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "back").stat().st_size == SIZE
    assert peak < SIZE / 4
    assert not store.chunked


def test_a_transfer_that_breaks_off_begins_again(api: Api, store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "file").write_bytes(content)
    store.breaks = 1
    api.upload_file(PLACE, "file", tmp_path / "file")
    assert (store.folder / "file").read_bytes() == content
    store.breaks = 2
    api.download_file(PLACE, "file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_what_is_not_there_leaves_no_file(api: Api, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        api.download_file(PLACE, "nothing", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_empty_file_is_a_file(api: Api, store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    api.upload_file(PLACE, "empty", tmp_path / "empty")
    api.download_file(PLACE, "empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_store_of_which_the_server_is_no_proxy_is_refused(api: Api, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="not proxied"):
        api.download_file("s3://bucket/1", "x", tmp_path / "back")
