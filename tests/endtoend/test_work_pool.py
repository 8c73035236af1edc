"""Stages in a Prefect work pool, by Prefect's own worker: the same artifacts, resumed, submitted once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import PoolSpec
from components.contracts.stage_request import StageRequest
from components.core import located_yaml
from components.core.errors import Interrupted, StackError, StageKilled
from components.core.project import Project
from flows.pipelines import fingerprints, stage_requests
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.runners import pool_engine, stage_runner
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.pool_engine import PoolEngine
from tests.house import House
from tests.runners.digits_requests import ROOT, keys_of, requests
from tests.training.prepared_digits import prepare

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

POOL = "machines"


@pytest.fixture
def spec() -> PipelineSpec:
    settings = {"train.epochs": 1, "train.threads": 1}
    return located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, settings)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "project"
    (folder / "pipelines").mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    prepare(folder / "data" / "digits" / "prepared")
    return Project(folder)


class Worker:
    """A worker of the pool in a folder that has none of our code."""

    def __init__(self, house: House, folder: Path) -> None:
        self._house, self._folder = house, folder
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(exist_ok=True)
        server = connections.configured(self._house.project)
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {
            **inherited, **connections.variables(self._house.root), "PREFECT_API_URL": server.prefect_api,
            "PREFECT_HOME": str(self._folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "1",
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        with (self._folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """The worker and all of its jobs, as when its machine is switched off."""
        everyone = [self.process.pid, *(one.pid for one in psutil.Process(self.process.pid).children(recursive=True))]
        for number in everyone:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        """Another worker."""
        self.process = self._start()

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[PrefectClient]:
    server = connections.configured(house.project)
    with PrefectClient(server.prefect_credentials, server.prefect_api) as client:
        client.request("POST", "/work_pools/", {"name": POOL, "type": "process"})
        yield client


@pytest.fixture(scope="module")
def worker(house: House, client: PrefectClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    found = Worker(house, tmp_path_factory.mktemp("machine"))
    try:
        yield found
    finally:
        found.stop()


def runner(project: Project, spec: PipelineSpec, client: PrefectClient, log: list[str], shared: Path) -> JobRunner:
    modules = [*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)]
    place = JobPlace(project.root, str(shared / "store"), shared / "jobs", ROOT, modules)
    return JobRunner(place, PoolEngine(PoolSpec(runner="pool", pool=POOL), client), log.append)


def eventually(done: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def long_training(project: Project, spec: PipelineSpec) -> tuple[PipelineSpec, StageRequest]:
    longer = spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": 40})})
    return longer, stage_requests.training(project, longer, keys_of(project, longer), None)


def has_begun(shared: Path) -> Callable[[], bool]:
    return lambda: any(shared.glob("jobs/modelyard-*/workspace/.modelyard/runs/*/checkpoints/*"))


def test_a_worker_makes_the_artifacts_that_this_machine_makes(
    worker: Worker, client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    def through(one: stage_runner.StageRunner) -> dict[str, str]:
        digests: dict[str, str] = {}
        for request in requests(project, spec):
            result = stage_runner.run(one, request, events.append, lambda _: None)
            digests |= {artifact.path: artifact.digest for artifact in result.artifacts if artifact.kind != "report"}
        return digests

    events: list[str] = []
    log: list[str] = []
    elsewhere = through(runner(project, spec, client, log, tmp_path / "shared"))
    assert {json.loads(line)["event"] for line in events} >= {"started", "metrics", "finished"}
    assert any("runs" in line for line in log)
    assert elsewhere == through(LocalProcessRunner(project.root))


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


def test_a_pool_without_workers_and_no_pool(
    client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    request = next(requests(project, spec))
    modules = fingerprints.training_modules(spec)
    place = JobPlace(project.root, str(tmp_path / "store"), tmp_path / "jobs", ROOT, modules)
    with pytest.raises(StackError, match="no such work pool"):
        JobRunner(place, PoolEngine(PoolSpec(runner="pool", pool="none"), client), print).submit(request)
    client.request("POST", "/work_pools/", {"name": "idle", "type": "process"})
    idle = JobRunner(place, PoolEngine(PoolSpec(runner="pool", pool="idle"), client), print)
    handle = idle.submit(request)
    state = PoolEngine(PoolSpec(runner="pool", pool="idle"), client).state(handle.id, tmp_path)
    assert "none is online" in state.text
    assert idle.cancel(handle, grace_seconds=20) is None
    assert client.request("GET", f"/flow_runs/{handle.id}")["state_type"] == "CANCELLED"
    shutil.rmtree(tmp_path / "jobs")
