"""Schedules with a busy Prefect: requests are retried, and a final failure is reported."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.core.errors import StackError
from components.core.project import Project
from flows.pipelines import schedules
from flows.platform import flow_run, prefect_client
from flows.platform.lifecycle import Endpoints
from flows.retention import schedule as retention

TIMEOUT_SECONDS = 1.0  # beside other tests a request may take long


class Busy(ThreadingHTTPServer):
    """Answers like Prefect's deployment API; the first answers to changes are late or 503."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.late = 0
        self.refusals = 0
        self.present: dict[str, object] = {}
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that no longer waits for its answer is what is tested."""


class Answer(BaseHTTPRequestHandler):
    server: Busy

    def do_POST(self) -> None:
        self._answer({"id": "1", "name": "d"} if not self.path.endswith("filter") else [*self.server.present.values()])

    def do_GET(self) -> None:
        self._answer(next(iter(self.server.present.values()), {}))

    def do_DELETE(self) -> None:
        self._answer(None)

    def _answer(self, document: object) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"{self.command} {self.path}")
        code = 200
        if not self.path.endswith("filter"):
            if self.command == "DELETE":
                code = 204 if self.server.present.pop("d", None) else 404
            if self.server.refusals:
                self.server.refusals -= 1
                code = 503
            elif self.server.late:
                self.server.late -= 1
                time.sleep(2 * TIMEOUT_SECONDS)
        body = b"" if code == 204 else json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    monkeypatch.setattr(prefect_client, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    with Busy() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "pipelines" / "d.yaml").write_text(
        "name: d\ntask: image-classification\ndataset: digits\nmodel: {family: cnn, name: textbook}\n"
        "train: {epochs: 1}\nschedule: {cron: '0 3 * * *', timezone: UTC}\n"
    )
    return Project(tmp_path)


def at(port: int) -> Endpoints:
    return Endpoints(f"http://127.0.0.1:{port}", "", "", None)


def of(busy: Busy) -> Endpoints:
    return at(int(busy.server_address[1]))


@pytest.mark.slow
def test_a_late_answer_and_a_503_are_retried(busy: Busy, project: Project) -> None:
    busy.late, busy.refusals = 1, 1
    (added,) = schedules.register(project, of(busy))
    assert added.done == "added"
    assert busy.requests.count("POST /flows/") + busy.requests.count("POST /deployments/") >= 4
    assert (busy.late, busy.refusals) == (0, 0)


def test_what_was_removed_in_spite_of_a_late_answer_is_removed(busy: Busy, project: Project) -> None:
    busy.present["d"] = {"id": "1", "name": "d", "parameters": {"name": "d"}, "schedules": []}
    busy.late = 1
    (removed,) = schedules.remove(project, of(busy))
    assert (removed.pipeline, removed.done) == ("d", "removed")
    assert busy.requests.count("DELETE /deployments/1") >= 2
    assert busy.late == 0


def test_every_request_to_a_busy_prefect_is_repeated(
    busy: Busy, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy.present["d"] = {"id": "1", "flow_id": "2", "name": "retention", "schedules": []}
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "3")
    monkeypatch.setenv("PREFECT_API_URL", of(busy).prefect_api)
    monkeypatch.setenv("MODELYARD_PROJECT", str(project.root))
    busy.refusals = 1
    assert flow_run._flow_name() == "retention"
    (project.root / "modelyard.toml").write_text('[retention]\ncron = "0 4 * * 0"\n')
    busy.refusals = 1
    assert [change.pipeline for change in retention.register(project, of(busy))] == ["retention"]
    busy.refusals = 1
    assert [change.done for change in retention.remove(project, of(busy))] == ["removed"]
    assert busy.refusals == 0


@pytest.mark.slow
def test_a_prefect_that_does_not_answer_is_an_error(
    busy: Busy, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_client, "PATIENCE_SECONDS", 3 * TIMEOUT_SECONDS)
    monkeypatch.setattr(prefect_client, "QUIET_SECONDS", 0.0)
    busy.late = 100
    messages: list[str] = []
    with pytest.raises(StackError, match="Prefect does not answer"):
        schedules.register(project, of(busy), log=messages.append)
    assert any("Prefect is busy" in line for line in messages)


def test_a_closed_port_is_an_error_at_once(project: Project) -> None:
    started_at = time.monotonic()
    with pytest.raises(StackError, match="Prefect does not answer"):
        schedules.register(project, at(9))
    assert time.monotonic() - started_at < prefect_client.TIMEOUT_SECONDS
