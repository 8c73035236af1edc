"""A training on two nodes of a real Slurm: the package of two processes here, whatever is killed on the way."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import SlurmSpec
from components.contracts.stage_request import StageRequest
from components.core import located_yaml
from components.core.errors import Interrupted, ModelyardError, StageKilled
from components.core.project import Project
from flows.pipelines import fingerprints, stage_requests
from flows.runners import job_runner, slurm, stage_runner
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.slurm_engine import SlurmEngine
from tests.runners import slurm_cluster
from tests.runners.digits_requests import ROOT, keys_of
from tests.training.prepared_digits import prepare

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing())),
]
TRAIN = {"epochs": 12, "batch_size": 63, "threads": 2, "processes": 2, "augment.shift_pixels": 1}
PROCESSES = {"train.processes": 2, "train.threads": 2}
RANK = "components.training.slurm_rank_process"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="yard-"))
    try:
        with slurm_cluster.running(folder / "c"):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Training:
    """A training of digits in two processes, to be run on two nodes or here."""

    def __init__(self, folder: Path, **train: object) -> None:
        self.project = Project(folder / "project")
        prepare(self.project.dataset("digits") / "prepared")
        settings = {f"train.{key}": value for key, value in {**TRAIN, **train}.items()}
        self.spec: PipelineSpec = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, settings)
        self.shared = folder / "shared"
        self.log: list[str] = []
        self.messages: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.on_event: Callable[[dict[str, Any]], None] = lambda _: None

    @property
    def request(self) -> StageRequest:
        return stage_requests.training(self.project, self.spec, keys_of(self.project, self.spec), None)

    @property
    def job(self) -> Path:
        (folder,) = (self.shared / "jobs").glob("modelyard-*")
        return folder

    def runner(self, **settings: Any) -> JobRunner:
        modules = [*fingerprints.training_modules(self.spec), *fingerprints.evaluation_modules(self.spec)]
        place = JobPlace(self.project.root, str(self.shared / "store"), self.shared / "jobs", ROOT, modules)
        return JobRunner(place, SlurmEngine(SlurmSpec(runner="slurm", nodes=2, **settings)), self.log.append)

    def run(self, runner: stage_runner.StageRunner) -> str:
        """The digest of what is trained."""

        def take(line: str) -> None:
            self.events.append(json.loads(line))
            self.on_event(self.events[-1])

        result = stage_runner.run(runner, self.request, take, self.messages.append)
        return next(artifact.digest for artifact in result.artifacts if artifact.kind == "trained")

    def here(self) -> str:
        shutil.rmtree(self.project.run_folder(keys_of(self.project, self.spec).train.digest), ignore_errors=True)
        return self.run(LocalProcessRunner(self.project.root))

    def once_in_epoch(self, epoch: int, act: Callable[[], object]) -> None:
        """Act when an epoch has been trained."""
        once = threading.Event()

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "metrics" and event["epoch"] >= epoch and not once.is_set():
                once.set()
                act()

        self.on_event = on_event

    def ranks(self) -> dict[int, psutil.Process]:
        return {
            int(process.environ()["SLURM_PROCID"]): process
            for process in psutil.process_iter(["cmdline"])
            if RANK in (process.info["cmdline"] or []) and str(self.job) in " ".join(process.info["cmdline"])
            and "SLURM_PROCID" in process.environ() and process.info["cmdline"][0] != "srun"
        }  # fmt: skip

    @property
    def begun(self) -> list[bool]:
        return [event["resumed"] for event in self.events if event["event"] == "started"]


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def eventually(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_a_killed_rank_ends_the_job_and_the_next_makes_what_two_processes_here_make(
    tmp_path: Path, sharding: str
) -> None:
    training = Training(tmp_path, sharding=sharding)
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        training.ranks()[1].send_signal(signal.SIGKILL)

    training.once_in_epoch(3, kill)
    with pytest.raises(StageKilled) as caught:
        training.run(training.runner())
    assert time.monotonic() - killed[0] < 20
    assert caught.value.what == "process 1 of 2 of the training was killed"
    assert (caught.value.where, caught.value.got) == ("node yard2", "SIGKILL")
    assert not training.ranks()
    assert not any("Traceback" in line for line in training.messages)
    there = training.run(training.runner())
    assert any("runs on yard[1-2]" in line for line in training.log)
    assert training.begun == [False, True]
    assert there == training.here()


def test_a_job_that_is_queued_again_goes_on_and_comes_to_the_same(training: Training) -> None:
    def requeue() -> None:
        job = slurm.open_job(training.job.name) or ""
        slurm.requeue(job)
        threading.Thread(target=_start_now, args=(job,)).start()

    training.once_in_epoch(3, requeue)
    there = training.run(training.runner())
    assert training.begun == [False, True]
    assert there == training.here()


def test_a_node_that_fails_puts_the_job_back_into_the_queue(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first attempt has an outcome, as its first node lives; however long the job waits then, it is not the last.
    monkeypatch.setattr(job_runner, "UNHEARD_SECONDS", 8.0)
    job: list[str] = []

    def fail() -> None:
        job.append(slurm.open_job(training.job.name) or "")
        _scontrol("update", "NodeName=yard2", "State=DOWN", "Reason=test")
        threading.Thread(target=repair).start()

    def repair() -> None:
        eventually(lambda: slurm.state(job[0]).name == "PENDING")
        time.sleep(12)
        _scontrol("update", "NodeName=yard2", "State=IDLE")
        _start_now(job[0])

    training.once_in_epoch(3, fail)
    there = training.run(training.runner())
    assert training.begun == [False, True]
    assert there == training.here()


def test_ctrl_c_ends_all_ranks_with_a_checkpoint(training: Training) -> None:
    one = training.runner()
    handle = one.submit(training.request)
    workspace = training.job / "workspace"
    eventually(lambda: any(workspace.rglob("checkpoints/*.json")))
    error = one.cancel(handle, grace_seconds=30)
    assert isinstance(error, Interrupted)
    assert not slurm.state(handle.id).is_open
    assert not training.ranks()
    training.run(training.runner())
    assert training.begun == [True]


def test_scancel_ends_all_ranks_and_says_who_ended_them(training: Training) -> None:
    training.once_in_epoch(2, lambda: slurm.cancel(slurm.open_job(training.job.name) or ""))
    with pytest.raises(ModelyardError) as caught:
        training.run(training.runner())
    assert "cancelled" in caught.value.what or isinstance(caught.value, Interrupted)
    eventually(lambda: not training.ranks(), 15)


def test_two_ranks_on_each_node_make_what_four_here_make(tmp_path: Path) -> None:
    training = Training(tmp_path, processes=4, threads=4, epochs=2, batch_size=64)
    there = training.run(training.runner(cpus=1, memory_mb=2000))
    assert any("4 x cpu" in line for line in training.messages)
    assert there == training.here()


def test_the_error_of_a_rank_on_another_node_is_shown_once_with_its_traceback(tmp_path: Path) -> None:
    training = Training(tmp_path)
    model = {"family": "custom", "factory": "tests.runners.failing_network:build"}
    training.spec = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, {"model": model, **PROCESSES})
    with pytest.raises(ModelyardError) as caught:
        training.run(training.runner())
    assert caught.value.what == "process 1 of 2 of the training failed"
    assert caught.value.where == "node yard2"
    assert caught.value.got == "LookupError: no weights for the second process"
    said = "\n".join(training.messages)
    assert said.count("Traceback") == 1
    assert "LookupError: no weights for the second process" in said


def test_a_launcher_that_is_killed_while_the_ranks_look_for_each_other_ends_them(training: Training) -> None:
    one = training.runner()
    handle = one.submit(training.request)
    eventually(lambda: len(training.ranks()) == 2)
    (launcher,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[1:3] == ["-m", "components.training"]
        and str(training.job) in process.info["cmdline"][3]
    )
    begin = time.monotonic()
    launcher.kill()
    with pytest.raises(StageKilled):
        one.follow(handle, lambda _: None, lambda _: None)
    assert time.monotonic() - begin < 30
    assert not training.ranks()


def _start_now(job: str) -> None:
    """Slurm lets a job that is queued again wait for two minutes."""
    eventually(lambda: slurm.state(job).name == "PENDING")
    _scontrol("update", f"JobId={job}", "StartTime=now")


def _scontrol(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=True)
