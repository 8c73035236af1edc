from __future__ import annotations

import http.server
import os
import socket
import threading
from pathlib import Path

import pytest

from components.contracts.errors import StackError
from components.contracts.project import Project
from flows import stack
from flows.stack import health, ports, state
from flows.stack.state import StackState


def test_a_taken_port_is_seen_and_its_holder_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert f"(pid {os.getpid()})" in ports.holder(port)
        assert ports.choose(port, ()) > port
    assert ports.is_free(port)


def test_a_port_taken_on_all_interfaces_is_taken() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104  # that is what is tested
        assert not ports.is_free(server.getsockname()[1])


def test_no_free_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(StackError, match="no free port"):
        ports.choose(server.getsockname()[1], (), span=1)


def test_ports_are_remembered_and_a_broken_state_is_made_anew(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert state.load(project) is None
    known = state.load_or_new(project).with_port("mlflow", 5007)
    state.save(project, known)
    assert state.load(project) == known
    (state.folder(project) / "state.json").write_text("{")
    assert state.load(project) is None
    assert state.load_or_new(project).token != known.token


def test_a_foreign_server_is_never_taken_for_ours(tmp_path: Path) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(health.TOKEN_HEADER, "mine" if self.path == "/mine" else "another")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        assert health.is_ready(port, "/mine", "mine")
        assert health.is_ready(port, "/health", None)
        assert not health.is_ready(port, "/health", "mine")
        project = Project(tmp_path)
        state.save(project, StackState("mine", wanted=True, ports={"prefect": port, "mlflow": port}))
        assert stack.endpoints(project) is None
        server.shutdown()
    assert not health.is_ready(port, "/mine", "mine")
