"""A pipeline says where its stages run, else modelyard.toml; nothing else changes by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.stage_request import StageOutput, StageRequest
from components.core import located_yaml
from components.core.errors import SpecError, UsageError
from components.core.project import Project
from components.identity.manifest import Kind
from flows.pipelines import fingerprints, stage_placement
from flows.runners.job_runner import JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.shared_results import SharingRunner

ROOT = Path(__file__).resolve().parents[2]
SLURM = {"run.train.runner": "slurm"}


def spec(**overrides: object) -> PipelineSpec:
    return located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, overrides)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def kinds(project: Project, spec: PipelineSpec) -> list[type]:
    rooms = ("training", "evaluation", "packaging", "comparison")
    return [type(stage_placement.place(project, spec, request(room), print)[0]) for room in rooms]


def request(room: str, *kinds: Kind) -> StageRequest:
    outputs = tuple(StageOutput(kind=kind, path=f"runs/{kind}") for kind in kinds or ("trained",))
    return StageRequest(stage=room, document="{}", request_file="runs/a/request.json", outputs=outputs)


def test_all_runs_here_unless_something_is_said(project: Project) -> None:
    assert kinds(project, spec()) == [LocalProcessRunner] * 4
    assert stage_placement.remote_stages(project, spec()) == frozenset()


def test_a_pipeline_is_heard_before_the_settings(project: Project) -> None:
    assert kinds(project, spec(**SLURM)) == [JobRunner, *[LocalProcessRunner] * 3]
    (project.root / "modelyard.toml").write_text("[run.train]\nrunner = 'slurm'\n[run.evaluate]\nrunner = 'slurm'\n")
    assert stage_placement.remote_stages(project, spec()) == {"train", "evaluate"}
    assert stage_placement.remote_stages(project, spec(**{"run.train.runner": "local"})) == {"evaluate"}


def test_what_leaves_nothing_runs_here_and_checkpoints_go_along(project: Project) -> None:
    nothing = request("training").model_copy(update={"outputs": ()})
    assert isinstance(stage_placement.place(project, spec(**SLURM), nothing, print)[0], LocalProcessRunner)
    begun = project.root / "runs" / "a" / "checkpoints"
    begun.mkdir(parents=True)
    (begun / "1.json").write_text("{}")
    _, sent = stage_placement.place(project, spec(**SLURM), request("training"), print)
    assert [(one.kind, one.path) for one in sent.inputs] == [("report", "runs/a/checkpoints")]
    afresh = request("training").model_copy(update={"discard": ("runs/a",)})
    assert stage_placement.place(project, spec(**SLURM), afresh, print)[1] == afresh
    assert stage_placement.place(project, spec(), request("training"), print)[1] == request("training")


def test_results_are_shared_where_there_is_a_store_for_it(project: Project) -> None:
    def kind(*kinds: Kind) -> type:
        return type(stage_placement.place(project, spec(), request("training", *kinds), print)[0])

    (project.root / "modelyard.toml").write_text("[connections]\nartifacts = 'store'\n")
    assert (kind("trained", "report"), kind("report")) == (SharingRunner, LocalProcessRunner)
    (project.root / "modelyard.toml").write_text("[connections]\nartifacts = 'store'\nshare_results = false\n")
    assert kind("trained") is LocalProcessRunner


def test_nodes_take_equal_shares_of_the_processes(project: Project) -> None:
    nodes = {**SLURM, "run.train.nodes": 2}
    assert stage_placement.remote_stages(project, spec(**nodes, **{"train.processes": 4})) == {"train"}
    for processes in (1, 3):
        with pytest.raises(UsageError, match="digits cannot train on 2 nodes") as caught:
            stage_placement.remote_stages(project, spec(**nodes, **{"train.processes": processes}))
        assert (caught.value.where, caught.value.expected) == ("run.train.nodes of the pipeline", "a multiple of 2")
    few = spec(**nodes, **{"train.processes": 4, "run.train.gpus": 1})
    with pytest.raises(UsageError, match="fewer GPUs on a node"):
        stage_placement.remote_stages(project, few)
    (project.root / "modelyard.toml").write_text("[run.train]\nrunner = 'slurm'\nnodes = 2\n")
    with pytest.raises(UsageError) as caught:
        stage_placement.remote_stages(project, spec())
    assert caught.value.where == "run.train.nodes of modelyard.toml"
    assert stage_placement.remote_stages(project, spec(**{"run.train.runner": "slurm"})) == {"train"}


def test_where_a_stage_runs_is_in_no_fingerprint_and_in_no_dump_that_says_nothing() -> None:
    here, there = (fingerprints.of(one, "d" * 64, ROOT) for one in (spec(), spec(**SLURM)))
    assert here == there
    assert "run" not in spec().model_dump()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("run.train.runner", "lsf", "'local', 'slurm', 'pool'"),
        ("run.train", {"runner": "slurm", "options": ["-p gpu"]}, "long option of sbatch"),
        ("run.train", {"runner": "slurm", "options": ["--requeue"]}, "set by Modelyard"),
        ("run.train", {"runner": "slurm", "minutes": 1}, "greater than or equal to 2"),
        ("run.train", {"runner": "slurm", "options": ["--nodes=2"]}, "--nodes is set by Modelyard"),
        ("run.train", {"runner": "local", "nodes": 2}, "nodes goes with runner: slurm; runner: local takes one"),
        ("run.train", {"runner": "pool", "pool": "a", "nodes": 2}, "runner: pool takes one machine"),
        ("run.evaluate", {"runner": "slurm", "nodes": 2}, "evaluate is one process"),
        ("run.bundle", {"runner": "slurm"}, "bundle"),
    ],
)
def test_what_is_wrong_is_said(key: str, value: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**{key: value})
    assert message in str(caught.value)
