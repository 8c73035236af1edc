"""Stages in a Prefect work pool, by Prefect's own worker: the same artifacts, resumed, submitted once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import PoolSpec
from components.core.errors import Interrupted, StackError, StageKilled
from components.core.project import Project
from flows.pipelines import fingerprints
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.runners import pool_engine, stage_runner
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.pool_engine import PoolEngine
from tests.endtoend import pool_runs
from tests.endtoend.pool_runs import Worker, eventually, has_begun, long_training, through
from tests.endtoend.pool_runs import project as project  # fixtures
from tests.endtoend.pool_runs import spec as spec
from tests.house import House
from tests.runners.digits_requests import ROOT, requests

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

POOL = "machines"


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[PrefectClient]:
    server = connections.configured(house.project)
    with PrefectClient(server.prefect_credentials, server.prefect_api) as client:
        client.request("POST", "/work_pools/", {"name": POOL, "type": "process"})
        yield client


@pytest.fixture(scope="module")
def worker(house: House, client: PrefectClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    found = Worker(house, tmp_path_factory.mktemp("machine"), POOL)
    try:
        yield found
    finally:
        found.stop()


def runner(project: Project, spec: PipelineSpec, client: PrefectClient, log: list[str], shared: Path) -> JobRunner:
    return pool_runs.runner(project, spec, client, log, shared, PoolSpec(runner="pool", pool=POOL))


def test_a_worker_makes_the_artifacts_that_this_machine_makes(
    worker: Worker, client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    events: list[str] = []
    log: list[str] = []
    elsewhere = through(runner(project, spec, client, log, tmp_path / "shared"), project, spec, events)
    assert {json.loads(line)["event"] for line in events} >= {"started", "metrics", "finished"}
    assert any("runs" in line for line in log)
    assert elsewhere == through(LocalProcessRunner(project.root), project, spec, events)


def test_a_machine_that_is_switched_off_is_noticed_and_another_goes_on(
    worker: Worker, client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(pool_engine, "ALIVE_SECONDS", 12.0)
    longer, request = long_training(project, spec)
    one = runner(project, longer, client, [], tmp_path / "shared")
    handle = one.submit(request)
    eventually(has_begun(tmp_path / "shared"))
    worker.kill()
    with pytest.raises(StageKilled, match="killed"):
        one.follow(handle, lambda _: None, lambda _: None)
    assert client.request("GET", f"/flow_runs/{handle.id}")["state_type"] == "CRASHED"
    worker.start_again()
    events: list[str] = []
    stage_runner.run(runner(project, longer, client, [], tmp_path / "shared"), request, events.append, lambda _: None)
    assert json.loads(events[0])["resumed"]


def test_a_job_that_is_killed_says_so_at_once(
    worker: Worker, client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    one = runner(project, longer, client, [], tmp_path / "shared")
    handle = one.submit(request)
    eventually(has_begun(tmp_path / "shared"))
    words = f"flows.runners.node_job {tmp_path}"
    (job,) = [found for found in psutil.process_iter(["cmdline"]) if words in " ".join(found.info["cmdline"] or ())]
    job.kill()
    with pytest.raises(StageKilled) as caught:
        one.follow(handle, lambda _: None, lambda _: None)
    assert "killed by signal 9" in str(caught.value.got)


def test_ctrl_c_saves_a_checkpoint_and_a_killed_submitter_loses_nothing(
    worker: Worker, client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    log: list[str] = []
    one = runner(project, longer, client, log, tmp_path / "shared")
    handle = one.submit(request)
    eventually(has_begun(tmp_path / "shared"))
    second = runner(project, longer, client, log, tmp_path / "shared")  # the first submitter is gone
    assert second.submit(request) == handle
    assert "is followed" in log[-1]
    error = second.cancel(handle, grace_seconds=40)
    assert isinstance(error, Interrupted)
    assert client.request("GET", f"/flow_runs/{handle.id}")["state_type"] == "CANCELLED"
    events: list[str] = []
    third = runner(project, longer, client, log, tmp_path / "shared")
    stage_runner.run(third, request, events.append, lambda _: None)
    assert json.loads(events[0])["resumed"]
    assert json.loads(events[-1])["event"] == "finished"


def test_a_run_that_waited_between_two_attempts_is_not_taken_for_dead(
    client: PrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_engine, "ALIVE_SECONDS", 1.0)
    client.request("POST", "/work_pools/", {"name": "waiting", "type": "process"})
    engine = PoolEngine(PoolSpec(runner="pool", pool="waiting"), client, print)
    job = engine.submit("modelyard-waiting", tmp_path, {"PYTHONPATH": "/code"}, "/store")
    for kind, seconds in (("RUNNING", 0.0), ("SCHEDULED", 1.5), ("RUNNING", 0.0)):
        state = {"state": {"type": kind}, "force": True}
        client.request("POST", f"/flow_runs/{job}/set_state", state)
        assert engine.state(job, tmp_path).name == kind
        time.sleep(seconds)
    time.sleep(1.1)
    assert engine.state(job, tmp_path).name == "CRASHED"


def test_a_run_that_a_killed_worker_had_taken_is_given_up(
    client: PrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_engine, "TAKEN_SECONDS", 0.5)
    client.request("POST", "/work_pools/", {"name": "taken", "type": "process"})
    engine = PoolEngine(PoolSpec(runner="pool", pool="taken"), client, print)
    job = engine.submit("modelyard-taken", tmp_path, {"PYTHONPATH": "/code"}, "/store")
    client.request("POST", f"/flow_runs/{job}/set_state", {"state": {"type": "PENDING"}, "force": True})
    assert engine.state(job, tmp_path).is_open
    time.sleep(0.6)
    found = engine.state(job, tmp_path)
    assert (found.is_open, found.text) == (False, "a worker took it and did not start it within 0.5 s")
    assert client.request("GET", f"/flow_runs/{job}")["state_type"] == "CRASHED"


def test_a_pool_without_workers_and_no_pool(
    client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    request = next(requests(project, spec))
    modules = fingerprints.training_modules(spec)
    place = JobPlace(project.root, str(tmp_path / "store"), tmp_path / "jobs", ROOT, modules)
    with pytest.raises(StackError, match="no such work pool"):
        JobRunner(place, PoolEngine(PoolSpec(runner="pool", pool="none"), client, print), print).submit(request)
    client.request("POST", "/work_pools/", {"name": "idle", "type": "process"})
    idle = JobRunner(place, PoolEngine(PoolSpec(runner="pool", pool="idle"), client, print), print)
    handle = idle.submit(request)
    state = PoolEngine(PoolSpec(runner="pool", pool="idle"), client, print).state(handle.id, tmp_path)
    assert "none is online" in state.text
    assert idle.cancel(handle, grace_seconds=20) is None
    assert client.request("GET", f"/flow_runs/{handle.id}")["state_type"] == "CANCELLED"
    shutil.rmtree(tmp_path / "jobs")
