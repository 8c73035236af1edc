"""Stages through a work pool of Prefect: a project, Prefect's own worker, the runner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import PoolSpec
from components.contracts.stage_request import StageRequest
from components.core import located_yaml
from components.core.project import Project
from flows.pipelines import fingerprints, stage_requests
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.runners import stage_runner
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.pool_engine import PoolEngine
from tests.house import House
from tests.runners.digits_requests import ROOT, keys_of, requests
from tests.training.prepared_digits import prepare


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
    """A worker of a pool in a folder that has none of our code.

    Args:
        kind: of the pool.
        variables: further ones of its environment.
    """

    def __init__(
        self, house: House, folder: Path, pool: str, kind: str = "process", variables: Mapping[str, str] | None = None
    ) -> None:
        self._house, self._folder, self._pool, self._kind = house, folder, pool, kind
        self._variables = variables or {}
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(exist_ok=True)
        server = connections.configured(self._house.project)
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {
            **inherited, **connections.variables(self._house.root), "PREFECT_API_URL": server.prefect_api,
            "PREFECT_HOME": str(self._folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "1",
            **self._variables,
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", self._pool, "--type", self._kind]
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


def runner(
    project: Project, spec: PipelineSpec, client: PrefectClient, log: list[str], shared: Path, pool: PoolSpec
) -> JobRunner:
    modules = [*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)]
    place = JobPlace(project.root, str(shared / "store"), shared / "jobs", ROOT, modules)
    return JobRunner(place, PoolEngine(pool, client, log.append), log.append)


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


def through(one: stage_runner.StageRunner, project: Project, spec: PipelineSpec, events: list[str]) -> dict[str, str]:
    """Train and evaluate; the digests of the artifacts."""
    digests: dict[str, str] = {}
    for request in requests(project, spec):
        result = stage_runner.run(one, request, events.append, lambda _: None)
        digests |= {artifact.path: artifact.digest for artifact in result.artifacts if artifact.kind != "report"}
    return digests
