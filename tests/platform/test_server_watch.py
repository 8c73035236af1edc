"""A server that does not answer during a run is logged until it answers again."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from components.access import challenge, project_door
from components.core.project import Project
from flows.platform import ports, server_watch, state
from flows.platform.state import StackState


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    state.claim(found)
    return found


def answering(project: Project) -> http.server.ThreadingHTTPServer:
    """A server that proves that it is the project's."""
    secret = project_door.secret_of(project) or ""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonce = parse_qs(urlsplit(self.path).query)["nonce"][0]
            body = challenge.answer(secret, nonce, int(self.server.server_address[1])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_only_the_server_that_does_not_answer_is_logged_and_periodically(project: Project) -> None:
    logged_twice = threading.Event()
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            logged_twice.set()

    with answering(project) as mlflow:
        away = ports.choose(29000, ())
        chosen_ports = {"prefect": away, "mlflow": int(mlflow.server_address[1])}
        state.save(project, StackState(str(project.root), wanted=True, ports=chosen_ports))
        with server_watch.watched(project, log, poll_seconds=0.05, log_period_seconds=0.2):
            assert logged_twice.wait(20)
        mlflow.shutdown()
    assert all(line.startswith("prefect has not answered for") for line in lines)
