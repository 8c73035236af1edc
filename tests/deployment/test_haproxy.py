"""HAProxy takes the files that are written for it, and asks whom they say; skipped where it is not installed."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from components.deployment.haproxy import LeaseOver, configuration
from flows.platform import ports
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


class Host(ThreadingHTTPServer):
    """A host's service whose lease is over, or not; it says its name."""

    def __init__(self, name: str, *, is_over: bool, refuses: bool) -> None:
        self.name, self.is_over, self.refuses = name, is_over, refuses
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        host = self.server
        is_refused = host.is_over and (self.path == "/readyz" or (host.refuses and self.path == "/predict"))
        content = host.name.encode()
        self.send_response(503 if is_refused else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def balanced(folder: Path, hosts: list[Host], lease_over: LeaseOver | None) -> Iterator[httpx.Client]:
    """A client of the balancer before the hosts."""
    port = ports.choose(24700, ())
    text = configuration("digits", {host.name: host.url for host in hosts}, f"127.0.0.1:{port}", lease_over)
    (folder / "haproxy.cfg").write_text(text)
    balancer = subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            eventually(lambda: not ports.is_free(port), "the balancer listens")
            yield client
    finally:
        balancer.terminate()
        balancer.wait()
        for host in hosts:
            host.shutdown()
            host.server_close()


def asked(client: httpx.Client) -> tuple[int, str]:
    """The status, and who answers."""
    with suppress(httpx.TransportError):
        response = client.get("/predict")
        return response.status_code, response.text if response.is_success else ""
    return 0, ""


@pytest.mark.parametrize("lease_over", [None, "refuse", "unready"])
def test_haproxy_takes_the_file(tmp_path: Path, lease_over: LeaseOver | None) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(configuration("digits", {"a": "http://10.0.0.1:3000"}, ":8080", lease_over))
    done = subprocess.run(["haproxy", "-c", "-f", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_one_host_refuses_another_one_answers(tmp_path: Path) -> None:
    hosts = [Host("over", is_over=False, refuses=True), Host("good", is_over=False, refuses=True)]
    with balanced(tmp_path, hosts, "refuse") as client:
        eventually(lambda: {asked(client) for _ in range(4)} == {(200, "over"), (200, "good")}, "both answer")
        hosts[0].is_over = True  # the balancer does not know yet
        assert {asked(client) for _ in range(4)} == {(200, "good")}


@pytest.mark.slow
def test_where_no_host_is_ready_those_that_live_are_asked(tmp_path: Path) -> None:
    hosts = [Host("one", is_over=True, refuses=False), Host("two", is_over=False, refuses=False)]
    with balanced(tmp_path, hosts, "unready") as client:
        eventually(lambda: {asked(client) for _ in range(4)} == {(200, "two")}, "the one that is ready answers")
        hosts[1].is_over = True
        eventually(lambda: (200, "one") in {asked(client) for _ in range(4)}, "all that live answer")
        assert {asked(client)[0] for _ in range(4)} == {200}
