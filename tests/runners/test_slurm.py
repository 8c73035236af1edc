"""Stages as jobs of a real Slurm: the same artifacts, resumed where they were killed, submitted once."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import SlurmSpec
from components.contracts.settings import RetentionSettings
from components.contracts.stage_request import StageRequest
from components.contracts.training_request import FIGURES_FILE, TrainingFigures
from components.core.errors import Interrupted, ModelyardError, NotFoundError, StackError, StageKilled
from components.core.project import Project
from components.retention import reachability
from flows.pipelines import fingerprints, stage_placement, stage_requests
from flows.retention import job_folders
from flows.runners import slurm, stage_runner
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.slurm_engine import SlurmEngine
from tests.runners import slurm_cluster
from tests.runners.digits_requests import ROOT, keys_of, requests

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(500),
    pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing())),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="yard-"))
    try:
        with slurm_cluster.running(folder / "c"):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def runner(project: Project, spec: PipelineSpec, log: list[str], shared: Path, **settings: object) -> JobRunner:
    modules = [*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)]
    place = JobPlace(project.root, str(shared / "store"), shared / "jobs", ROOT, modules)
    return JobRunner(place, SlurmEngine(SlurmSpec(runner="slurm", **settings)), log.append)


def eventually(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def long_training(project: Project, spec: PipelineSpec, epochs: int = 40) -> tuple[PipelineSpec, StageRequest]:
    longer = spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": epochs})})
    return longer, stage_requests.training(project, longer, keys_of(project, longer), None)


def test_jobs_make_the_artifacts_that_this_machine_makes(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    def through(one: stage_runner.StageRunner) -> dict[str, str]:
        digests: dict[str, str] = {}
        for request in requests(project, spec):
            result = stage_runner.run(one, request, events.append, messages.append)
            digests |= {artifact.path: artifact.digest for artifact in result.artifacts if artifact.kind != "report"}
        return digests

    events: list[str] = []
    messages: list[str] = []
    log: list[str] = []
    elsewhere = through(runner(project, spec, log, tmp_path / "shared", cpus=1, memory_mb=2000, partition="train"))
    assert {json.loads(line)["event"] for line in events} >= {"started", "metrics", "finished"}
    assert any("runs on yard" in line for line in log)
    assert not list((tmp_path / "shared" / "jobs").glob("modelyard-*"))
    assert elsewhere == through(LocalProcessRunner(project.root))


def test_a_job_that_is_queued_again_goes_on_and_comes_to_the_same(
    project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    events: list[str] = []
    once = threading.Event()

    def on_event(line: str) -> None:
        events.append(line)
        if json.loads(line)["event"] == "metrics" and len(events) > 6 and not once.is_set():
            once.set()
            slurm.requeue(slurm.open_job(name()) or "")

    def name() -> str:
        return next((tmp_path / "shared" / "jobs").glob("modelyard-*")).name

    log: list[str] = []
    result = stage_runner.run(runner(project, longer, log, tmp_path / "shared"), request, on_event, lambda _: None)
    assert once.is_set()
    kinds = [json.loads(line)["event"] for line in events]
    assert kinds.count("started") == 2
    assert [one["resumed"] for one in map(json.loads, events) if one["event"] == "started"] == [False, True]
    shutil.rmtree(project.run_folder(keys_of(project, longer).train.digest))
    local = stage_runner.run(LocalProcessRunner(project.root), request, lambda _: None, lambda _: None)
    trained = [one.digest for one in result.artifacts if one.kind == "trained"]
    assert trained == [one.digest for one in local.artifacts if one.kind == "trained"]


def test_what_a_killed_submitter_left_is_followed_or_taken(
    project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    _, request = long_training(project, spec, epochs=12)
    log: list[str] = []
    first = runner(project, spec, log, tmp_path / "shared").submit(request)  # and it is gone
    second = runner(project, spec, log, tmp_path / "shared")
    assert second.submit(request) == first
    assert "is followed" in log[-1]
    eventually(lambda: not slurm.state(first.id).is_open)
    third = runner(project, spec, log, tmp_path / "shared")
    events: list[str] = []
    result = stage_runner.run(third, request, events.append, lambda _: None)
    assert "its result is taken" in " ".join(log)
    assert result.artifacts[0].kind == "trained"
    assert json.loads(events[-1])["event"] == "finished"
    jobs = subprocess.run(["squeue", "--states=all", "--noheader", "--format=%i"], capture_output=True, text=True)
    assert jobs.stdout.split().count(first.id) == 1


def test_ctrl_c_saves_a_checkpoint_and_the_next_run_goes_on(
    project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    log: list[str] = []
    one = runner(project, longer, log, tmp_path / "shared")
    handle = one.submit(request)
    workspace = next((tmp_path / "shared" / "jobs").glob("modelyard-*")) / "workspace"
    eventually(lambda: any(workspace.rglob("checkpoints/*")))
    error = one.cancel(handle, grace_seconds=30)
    assert isinstance(error, Interrupted)
    assert not slurm.state(handle.id).is_open
    events: list[str] = []
    stage_runner.run(runner(project, longer, log, tmp_path / "shared"), request, events.append, lambda _: None)
    assert json.loads(events[0])["event"] == "started"
    assert json.loads(events[0])["resumed"]


def test_a_job_that_is_killed_on_its_node_is_killed_here_and_goes_on(
    project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    one = runner(project, longer, [], tmp_path / "shared")
    handle = one.submit(request)
    workspace = next((tmp_path / "shared" / "jobs").glob("modelyard-*")) / "workspace"
    eventually(lambda: any(workspace.rglob("checkpoints/*")))
    subprocess.run(["pkill", "-KILL", "-f", f"node_job {workspace.parent}"], check=True)
    with pytest.raises(StageKilled):
        one.follow(handle, lambda _: None, lambda _: None)
    events: list[str] = []
    stage_runner.run(runner(project, longer, [], tmp_path / "shared"), request, events.append, lambda _: None)
    assert json.loads(events[0])["resumed"]


def test_a_waiting_job_is_taken_out_of_the_queue(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    _, request = long_training(project, spec)
    log: list[str] = []
    one = runner(project, spec, log, tmp_path / "shared", options=["--begin=now+1hour"])
    handle = one.submit(request)
    assert slurm.state(handle.id).name == "PENDING"
    assert one.cancel(handle, grace_seconds=30) is None
    assert not slurm.state(handle.id).is_open


def test_a_job_without_its_folder_is_ended_and_submitted_anew(
    project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    _, request = long_training(project, spec, epochs=1)
    log: list[str] = []
    one = runner(project, spec, log, tmp_path / "shared", options=["--hold"])
    stale = one.submit(request)
    shutil.rmtree(next((tmp_path / "shared" / "jobs").glob("modelyard-*")))  # as when its result was collected
    two = runner(project, spec, log, tmp_path / "shared")
    result = stage_runner.run(two, request, lambda _: None, lambda _: None)
    assert result.artifacts
    assert f"job {stale.id} of Slurm has no folder any more: it is ended" in log
    assert not slurm.state(stale.id).is_open


def test_a_job_that_slurm_holds_says_what_lets_it_go(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    _, request = long_training(project, spec, epochs=1)
    log: list[str] = []
    one = runner(project, spec, log, tmp_path / "shared", options=["--hold"])
    handle = one.submit(request)
    following = threading.Thread(target=one.follow, args=(handle, lambda _: None, lambda _: None))
    following.start()
    eventually(lambda: f"`scontrol release {handle.id}` lets it go" in log[-1])
    subprocess.run(["scontrol", "release", handle.id], check=True)
    following.join(120)
    assert one.collect(handle, request).artifacts


def test_gc_removes_what_nobody_asked_for_again_and_no_job_that_waits(
    project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    project.pipelines.mkdir(exist_ok=True)
    shutil.copy(ROOT / "pipelines" / "digits.yaml", project.pipelines)
    (project.root / "modelyard.toml").write_text(
        f"[connections]\nartifacts = '{tmp_path}/store'\n"
        "[run.train]\nrunner = 'slurm'\noptions = ['--begin=now+1hour']\n"
    )
    _, request = long_training(project, spec)
    one, sent = stage_placement.place(project, spec, request, lambda _: None)
    handle = one.submit(sent)
    jobs = {item.name: item for item in job_folders.find(project, print)}
    (name,) = [name for name in jobs if name.startswith("modelyard-")]
    (code,) = [name for name in jobs if name.startswith("code ")]
    for held in (jobs[name].held, jobs[code].held, job_folders.remove(project, name, print)):
        assert held == f"job {handle.id} of Slurm is not over"
    one.cancel(handle, grace_seconds=5)
    jobs = {item.name: item for item in job_folders.find(project, print)}
    assert (jobs[name].held, jobs[code].held) == (None, None)
    assert jobs[name].bytes > 0
    settings = RetentionSettings(logs_days=14, min_age_minutes=0)
    young = reachability.judge(jobs.values(), reachability.Roots(), settings, time.time())
    assert not any(verdict.removable for verdict in young)
    old = reachability.judge(jobs.values(), reachability.Roots(), settings, time.time() + 15 * 86_400)
    assert all(verdict.removable for verdict in old)
    for gone in (name, code):
        assert job_folders.remove(project, gone, print) is None
        assert job_folders.remove(project, gone, print) == "it is gone"
    assert job_folders.find(project, print) == []


def test_errors_of_a_stage_and_of_slurm_are_told_apart(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    request = next(requests(project, spec))
    wrong = request.model_copy(update={"document": request.document.replace('"epochs":1', '"epochs":"one"')})
    with pytest.raises(ModelyardError) as caught:
        stage_runner.run(runner(project, spec, [], tmp_path / "a"), wrong, print, lambda _: None)
    assert "epochs" in str(caught.value)
    with pytest.raises(ModelyardError, match="sbatch failed") as caught:
        stage_runner.run(runner(project, spec, [], tmp_path / "b", partition="nowhere"), request, print, print)
    assert "partition" in str(caught.value)
    with pytest.raises(ModelyardError, match="failed on a node") as caught:
        stage_runner.run(runner(project, spec, [], tmp_path / "c", python="/no/python"), request, print, lambda _: None)
    assert "/no/python" in str(caught.value)
    missing = request.model_copy(update={"inputs": (request.inputs[0].model_copy(update={"path": "data/none"}),)})
    with pytest.raises(NotFoundError):
        runner(project, spec, [], tmp_path / "d").submit(missing)


def test_a_trial_brings_its_figures_and_its_training_goes_on_from_there(
    project: Project, spec: PipelineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "modelyard.toml").write_text(
        f"[connections]\nartifacts = '{tmp_path}/store'\nshare_results = false\n[run.train]\nrunner = 'slurm'\n"
    )
    keys = keys_of(project, spec)
    prepared = project.dataset("digits") / "prepared"
    request = stage_requests.trial_training(
        project, spec, keys.train.digest, keys.data_digest, prepared, None, cores=1, is_remote=True
    )
    one, sent = stage_placement.place(project, spec, request, lambda _: None)
    stage_runner.run(one, sent, lambda _: None, lambda _: None)
    folder = project.run_folder(keys.train.digest)
    figures = TrainingFigures.model_validate_json((folder / FIGURES_FILE).read_bytes())
    assert figures.train_fingerprint == keys.train.digest
    events: list[str] = []
    whole, sent = stage_placement.place(
        project, spec, stage_requests.training(project, spec, keys, None), lambda _: None
    )
    assert [artifact.kind for artifact in sent.inputs] == ["prepared", "report"]
    stage_runner.run(whole, sent, events.append, lambda _: None)
    begun, *others = map(json.loads, events)
    assert begun["resumed"]
    assert not any("train/loss" in one.get("values", {}) for one in others)  # no epoch is trained again
    assert (folder / "trained" / "model.onnx").is_file()


def test_the_time_limit_is_no_end(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    longer, request = long_training(project, spec, epochs=900)
    messages: list[str] = []
    events: list[str] = []
    one = runner(project, longer, [], tmp_path / "shared", minutes=2)  # 60 s of work, and 60 s to save it
    stage_runner.run(one, request, events.append, messages.append)
    assert any("the time limit is near" in line for line in messages)
    begun = [json.loads(line) for line in events if json.loads(line)["event"] == "started"]
    assert [one["resumed"] for one in begun] == [False, *[True] * (len(begun) - 1)]
    assert len(begun) > 1
    assert json.loads(events[-1])["event"] == "finished"


def test_slurm_may_be_silent_for_a_while(
    project: Project, spec: PipelineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = next(requests(project, spec))
    asked = slurm.state
    calls = iter(range(1000))

    def sometimes(job: str) -> slurm.SlurmState:
        if next(calls) < 3:
            raise StackError("squeue failed", got="Unable to contact slurm controller")
        return asked(job)

    monkeypatch.setattr(slurm, "state", sometimes)
    result = stage_runner.run(runner(project, spec, [], tmp_path / "shared"), request, lambda _: None, lambda _: None)
    assert result.artifacts
