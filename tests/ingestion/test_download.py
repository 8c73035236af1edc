"""Downloads against a real server on loopback that misbehaves on demand; and the mirror."""

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.contracts.dataset import RemoteFile
from components.core import outward
from components.core.errors import SourceError
from components.ingestion import download, mirror, unpacked
from tests import proxy

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; breaks off `breaks` times in the middle, answers 503 `refusals` times."""

    daemon_threads = True
    breaks = 0
    refusals = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    def file(self, sha256: str = SHA256, path: str = "x.bin") -> RemoteFile:
        return RemoteFile(url=f"http://127.0.0.1:{self.server_address[1]}/{path}", sha256=sha256, name="x.bin")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        if server.refusals or self.path != "/x.bin":
            server.refusals -= 1
            self.send_response(503 if self.path == "/x.bin" else 404)
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT)
        if server.breaks:
            server.breaks -= 1
            end = start + (len(CONTENT) - start) // 2
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        assert download.fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_broken_download_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.breaks, server.refusals = 2, 1
    assert download.fetch(server.file(), tmp_path, wait_seconds=0.01).read_bytes() == CONTENT
    assert server.ranges[:2] == [None, None]
    half, more = (int(str(asked).removeprefix("bytes=").rstrip("-")) for asked in server.ranges[2:])
    assert 0 < half < more < len(CONTENT)


def test_another_file_than_asked_for_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing of it was kept") as caught:
        download.fetch(server.file(sha256="0" * 64), tmp_path)
    assert SHA256 in str(caught.value.got)
    assert list(tmp_path.iterdir()) == []


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:100] + b"wrong")
    with pytest.raises(SourceError, match="nothing of it was kept"):
        download.fetch(server.file(), tmp_path)
    assert download.fetch(server.file(), tmp_path).read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be fetched") as caught:
        download.fetch(server.file(path="gone.bin"), tmp_path)
    assert "404" in str(caught.value.got)
    assert len(server.ranges) == 1
    assert caught.value.next_step is not None
    assert "MODELYARD_MIRROR" in caught.value.next_step


def test_the_mirror_finds_a_file_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror/deep").mkdir(parents=True)
    (tmp_path / "mirror/deep/another-name").write_bytes(CONTENT)
    (tmp_path / "mirror/x.bin").write_bytes(b"the right name, another content")
    cache = tmp_path / "cache.json"
    assert mirror.find(SHA256, "x.bin", cache) is None
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path / "mirror"))
    for _ in range(2):
        assert mirror.find(SHA256, "x.bin", cache) == tmp_path / "mirror/deep/another-name"
    assert mirror.find("0" * 64, "x.bin", cache) is None


def test_a_mirrored_file_that_changed_unseen_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path = tmp_path / "mirror" / "x.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    monkeypatch.setenv(mirror.VARIABLE, str(path.parent))
    cache = tmp_path / "cache.json"
    assert mirror.find(SHA256, "x.bin", cache) == path
    facts = path.stat()
    path.write_bytes(b"X" + CONTENT[1:])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert mirror.find(SHA256, "x.bin", cache) is None


def test_a_file_that_only_a_mirror_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path / "mirror"))
    file = RemoteFile(sha256=SHA256, name="x.bin", origin="ask the museum")
    with pytest.raises(SourceError, match="no URL") as caught, unpacked.files([file], "things"):
        pass
    assert "ask the museum" in str(caught.value.next_step)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/of another name").write_bytes(CONTENT)
    with unpacked.files([file], "things") as place:
        assert (place / "x.bin").read_bytes() == CONTENT
    with pytest.raises(ValueError, match="origin"):
        RemoteFile(sha256=SHA256, name="x.bin")


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxy and no certificates named."""
    for name in (*outward.NAMES, outward.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("kind", ["http", "socks"])
@pytest.mark.parametrize("quiet", [True, False])
def test_a_download_goes_through_the_proxy(
    server: Server, tmp_path: Path, plain_environment: pytest.MonkeyPatch, kind: str, quiet: bool
) -> None:
    with proxy.running() as found:
        plain_environment.setenv("ALL_PROXY", getattr(found, kind))
        if quiet:  # as in a stage that the flow starts
            outward.set_aside(os.environ)
        assert download.fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert found.asked == [("127.0.0.1", server.server_address[1])]


def test_a_proxy_of_an_unknown_kind_is_refused(tmp_path: Path, plain_environment: pytest.MonkeyPatch) -> None:
    plain_environment.setenv("HTTP_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(SourceError, match="the proxy that the environment names cannot be used"):
        download.fetch(RemoteFile(url="http://127.0.0.1:1/x", sha256=SHA256, name="x"), tmp_path)


def test_certificates_that_are_not_there_are_named(tmp_path: Path, plain_environment: pytest.MonkeyPatch) -> None:
    remote = RemoteFile(url="http://127.0.0.1:1/x", sha256=SHA256, name="x")
    plain_environment.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    outward.set_aside(os.environ)
    with pytest.raises(SourceError) as caught:
        download.fetch(remote, tmp_path)
    assert "SSL_CERT_FILE" in str(caught.value.where)
    assert caught.value.got == str(tmp_path / "nowhere.pem")
    (tmp_path / "nowhere.pem").write_text("no certificates")
    with pytest.raises(SourceError, match="the certificates that the environment names cannot be read"):
        download.fetch(remote, tmp_path)
