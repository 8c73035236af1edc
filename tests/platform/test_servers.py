"""The real servers: started, queried, killed, stopped. The tests of this module share one stack and run in order."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.project import Project
from flows.pipelines import schedules
from flows.platform import connections, lifecycle, orphans, ports, stack_status, state, supervisor
from flows.platform.lifecycle import Endpoints
from flows.platform.state import StackState

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

FLOW = """
from pathlib import Path
from typing import Any
from prefect import flow

@flow
def pipeline(name: str, force: list[str] = [], overrides: dict[str, Any] = {}) -> None:
    Path(f"ran-{name}.txt").write_text(str(Path.cwd()))
"""
PIPELINE = """\
name: tick
task: image-classification
dataset: digits
model: {family: cnn, name: textbook}
schedule: {cron: "* * * * *", timezone: Europe/Berlin}
"""


@pytest.fixture(scope="module")
def messages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("servers")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "pipelines").mkdir()
    # Programs start in the project's folder: its `flows` comes before the one that is installed, so it is whole.
    shutil.copytree(ROOT / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "flows" / "pipelines" / "flow.py").write_text(FLOW)
    (root / "pipelines" / "tick.yaml").write_text(PIPELINE)
    found = Project(root)
    yield found
    lifecycle.down(found)


@pytest.fixture(scope="module")
def endpoints(project: Project, messages: list[str]) -> Iterator[Endpoints]:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]
        chosen_ports = {"prefect": taken, "mlflow": ports.choose(25000, ())}
        state.save(project, StackState(str(project.root), ports=chosen_ports))
        started = lifecycle.up(project, log=messages.append)
        assert str(taken) not in started.prefect_api
        assert any(f"port {taken} is taken by" in line and f"(pid {os.getpid()})" in line for line in messages)
        yield started


def test_up_again_is_quick_and_changes_nothing(project: Project, endpoints: Endpoints) -> None:
    def processes() -> dict[str, int | None]:
        return {row.name: row.pid for row in stack_status.status(project)}

    before = processes()
    endpoint_seconds, up_seconds = [], []
    for _ in range(5):  # the least of several: other tests have the machine too
        started_at = time.perf_counter()
        assert lifecycle.endpoints(project) == endpoints
        endpoint_seconds.append(time.perf_counter() - started_at)
        started_at = time.perf_counter()
        assert lifecycle.up(project, log=lambda _: None) == endpoints
        up_seconds.append(time.perf_counter() - started_at)
    assert min(endpoint_seconds) < 0.5
    assert min(up_seconds) < 2.0
    assert processes() == before
    assert {row.name: row.state for row in stack_status.status(project)} == dict.fromkeys(
        ("prefect", "mlflow", "runner", "controller", "console"), "ready"
    )


def test_a_schedule_fires_in_the_runner(project: Project, endpoints: Endpoints) -> None:
    (first,) = schedules.register(project, endpoints)
    assert (first.pipeline, first.done, len(first.next_runs)) == ("tick", "added", 3)
    assert schedules.register(project, endpoints)[0].done == "kept"
    deadline = time.monotonic() + 120
    while not (project.root / "ran-tick.txt").exists():
        assert time.monotonic() < deadline, supervisor.tail(state.folder(project) / "logs" / "runner.log")
        time.sleep(0.5)
    assert (project.root / "ran-tick.txt").read_text() == str(project.root)
    (project.root / "pipelines" / "tick.yaml").unlink()
    assert [(row.pipeline, row.done) for row in schedules.register(project, endpoints)] == [("tick", "removed")]
    assert schedules.remove(project, endpoints) == ()


def test_mlflow_keeps_what_it_is_given_over_a_kill_of_both_servers(project: Project, endpoints: Endpoints) -> None:
    api = f"{endpoints.mlflow}/api/2.0"
    with connections.client(endpoints.credentials, api, timeout=30) as client:
        made = client.post(f"{api}/mlflow/experiments/create", json={"name": "kept"}).raise_for_status().json()
        artifact = f"{api}/mlflow-artifacts/artifacts/{made['experiment_id']}/note.txt"
        client.put(artifact, content=b"a note").raise_for_status()
        before = {row.name: row.pid for row in stack_status.status(project)}
        for name in ("prefect", "mlflow"):
            os.kill(before[name] or 0, signal.SIGKILL)
        assert lifecycle.up(project, log=lambda _: None) == endpoints
        after = {row.name: row.pid for row in stack_status.status(project)}
        assert after["prefect"] != before["prefect"]
        assert after["mlflow"] != before["mlflow"]
        assert client.get(artifact).content == b"a note"
        answer = client.get(f"{api}/mlflow/experiments/get-by-name", params={"experiment_name": "kept"})
        assert answer.json()["experiment"]["experiment_id"] == made["experiment_id"]


def test_down_leaves_no_process_even_if_the_api_is_gone_and_the_runner_hangs(
    project: Project, endpoints: Endpoints
) -> None:
    pids = {row.name: row.pid for row in stack_status.status(project)}
    os.kill(pids["runner"] or 0, signal.SIGSTOP)
    os.kill(pids["prefect"] or 0, signal.SIGKILL)
    begin = time.monotonic()
    lifecycle.down(project)
    assert time.monotonic() - begin < 25
    assert orphans.find(str(project.root)) == []
    assert lifecycle.endpoints(project) is None
    assert ports.is_free(int(endpoints.mlflow.rpartition(":")[2]))
    assert Path(project.state / "mlflow" / "mlflow.db").exists()
