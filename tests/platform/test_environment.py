"""Our processes connect to servers on this machine directly, without the environment's proxies and certificates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.core import outward
from flows.platform import environment
from tests import proxy

CLIENTS = """
import os, sys
from flows.platform import environment
environment.quiet(os.environ)
import httpx, requests, urllib.request
url = sys.argv[1]
assert httpx.get(url).text == "here"
assert httpx.Client(verify=False).get(url).text == "here"
assert requests.get(url).text == "here"
assert urllib.request.urlopen(url).read() == b"here"
"""


class _Here(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["http", "socks"])
@pytest.mark.parametrize("upper", [True, False])
def test_no_client_asks_a_proxy_for_a_server_of_ours(kind: str, upper: bool) -> None:
    with proxy.running() as proxies, ThreadingHTTPServer(("127.0.0.1", 0), _Here) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        names = ["http_proxy", "https_proxy", "all_proxy"]
        variables = {name.upper() if upper else name: getattr(proxies, kind) for name in names}
        broken = {"SSL_CERT_FILE": "/nowhere.pem", "REQUESTS_CA_BUNDLE": "/nowhere.pem", "SSL_CERT_DIR": "/nowhere"}
        completed = subprocess.run(
            [sys.executable, "-c", CLIENTS, f"http://127.0.0.1:{server.server_address[1]}/"],
            env={**os.environ, **variables, **broken},
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert completed.returncode == 0, completed.stderr
    assert proxies.asked == []


def test_what_is_set_aside_comes_back_for_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*outward.NAMES, outward.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "intranet")
    for _ in range(2):  # a process of ours starts another one
        environment.quiet(os.environ)
        assert "HTTPS_PROXY" not in os.environ
        assert os.environ["no_proxy"] == "intranet,localhost,127.0.0.1,::1"
    with outward.restored():
        assert os.environ["HTTPS_PROXY"] == "http://proxy:3128"
        assert os.environ["no_proxy"] == "intranet"
        assert "NO_PROXY" not in os.environ
    assert "HTTPS_PROXY" not in os.environ
    assert json.loads(os.environ[outward.VARIABLE]) == {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "intranet"}


def test_a_proxy_set_later_takes_the_place_of_the_one_before() -> None:
    variables = {"http_proxy": "http://old:1"}
    outward.set_aside(variables)
    variables["http_proxy"] = "http://new:1"
    outward.set_aside(variables)
    assert json.loads(variables[outward.VARIABLE]) == {"http_proxy": "http://new:1"}
