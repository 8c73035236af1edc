"""Which runner runs a stage: as the pipeline's `run:` says, else `[run]` of modelyard.toml, else on this machine."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

from components.contracts import settings
from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import LocalSpec, PoolSpec, RunnerSpec, SlurmSpec
from components.contracts.stage_request import PlacedArtifact, StageRequest
from components.core.errors import UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import manifest as manifests
from components.identity import remote_artifact_store
from flows.pipelines import fingerprints
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.platform.user_name import user_name
from flows.runners.job_engine import JobEngine
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.pool_engine import PoolEngine
from flows.runners.shared_results import SharingRunner
from flows.runners.slurm_engine import SlurmEngine
from flows.runners.stage_runner import StageRunner

NAMES = {"training": "train", "evaluation": "evaluate"}  # of the stages that can run elsewhere, by their room


def of(project: Project, spec: PipelineSpec, stage: str) -> RunnerSpec:
    """Where a stage runs.

    Args:
        stage: as in `run:`.

    Raises:
        SpecError: modelyard.toml is wrong.
        UsageError: the processes of a training cannot be shared out among its nodes.
    """
    named: RunnerSpec | None = getattr(spec.run, stage, None)
    default: RunnerSpec | None = getattr(settings.read(project.root).run, stage, None)
    placed = named or default or LocalSpec(runner="local")
    if isinstance(placed, SlurmSpec) and placed.nodes > 1:
        _check_nodes(placed, spec, "the pipeline" if named else settings.FILE_NAME)
    return placed


def _check_nodes(placed: SlurmSpec, spec: PipelineSpec, said_by: str) -> None:
    """Refuse nodes among which the processes of a training cannot be shared out.

    Raises:
        UsageError: there are no equal shares, or a node has fewer GPUs than processes.
    """
    count, nodes = spec.train.processes, placed.nodes
    if count % nodes:
        raise UsageError(
            f"{spec.name} cannot train on {nodes} nodes: each needs as many processes",
            where=f"run.train.nodes of {said_by}", got=f"train.processes: {count}",
            expected=f"a multiple of {nodes}",
            next_step=f"set train.processes: {nodes} or a multiple of it; or nodes: 1 for this pipeline",
        )  # fmt: skip
    if 0 < placed.gpus < count // nodes:
        raise UsageError(
            f"{spec.name} has fewer GPUs on a node than processes there",
            where=f"run.train.gpus of {said_by}", got=placed.gpus, expected=count // nodes,
            next_step="raise gpus, which is of each node, or nodes; or lower train.processes",
        )  # fmt: skip


def remote_stages(project: Project, spec: PipelineSpec) -> frozenset[str]:
    """The stages of a pipeline that another machine runs.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    return frozenset(stage for stage in NAMES.values() if of(project, spec, stage).runner != "local")


def cores(project: Project, spec: PipelineSpec) -> int | None:
    """The processors that a training has on another machine; None if that is not said, or it runs here.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    placed = of(project, spec, "train")
    return None if isinstance(placed, LocalSpec) else placed.cpus


class JobFolder(NamedTuple):
    """The folder of one person's jobs on an engine."""

    engine: JobEngine
    folder: Path


def job_folders(project: Project, spec: PipelineSpec, log: Log) -> list[JobFolder]:
    """Where the jobs of a pipeline's stages have their folders.

    Raises:
        SpecError: modelyard.toml is wrong.
        StackError: the engine's server was never started.
    """
    placed = [one for stage in NAMES.values() if not isinstance(one := of(project, spec, stage), LocalSpec)]
    return [JobFolder(_engine(project, one, log), _place(project, spec, one.folder).jobs) for one in placed]


def place(project: Project, spec: PipelineSpec, request: StageRequest, log: Log) -> tuple[StageRunner, StageRequest]:
    """The runner of a request, and the request as that runner gets it.

    A request that leaves nothing, as a trial of some batches, runs here. A training that was begun here goes on there:
    its checkpoints travel with it.

    Args:
        log: called with each message of the runner.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    here = LocalProcessRunner(project.root)
    if request.stage not in NAMES or not request.outputs:
        return here, request
    placed = of(project, spec, NAMES[request.stage])
    chosen: StageRunner = here
    if not isinstance(placed, LocalSpec):
        chosen = JobRunner(_place(project, spec, placed.folder), _engine(project, placed, log), log)
        request = _with_checkpoints(project, request)
    shared = settings.read(project.root).connections
    is_shared = shared.artifacts is not None and shared.share_results
    if not is_shared or all(output.kind == "report" for output in request.outputs):
        return chosen, request
    store = connections.artifact_store(project)
    return SharingRunner(chosen, project, store, _who(), log), request


def _with_checkpoints(project: Project, request: StageRequest) -> StageRequest:
    """A training's request with the checkpoints that it has here, unless it begins afresh."""
    folder = Path(request.request_file).parent / "checkpoints"
    if request.stage != "training" or request.discard or not any((project.root / folder).glob("*")):
        return request
    found = manifests.describe(project.root / folder, "report", {})
    checkpoints = PlacedArtifact(kind="report", digest=found.digest, path=str(folder))
    return request.model_copy(update={"inputs": (*request.inputs, checkpoints)})


def _who() -> str:
    """Who runs this, for others that take the result."""
    name = f"{user_name()} at {socket.gethostname()}"
    return f"CI ({name})" if os.environ.get("CI") else name


def _engine(project: Project, placed: SlurmSpec | PoolSpec, log: Log) -> JobEngine:
    if isinstance(placed, SlurmSpec):
        return SlurmEngine(placed)
    server = connections.configured(project)
    return PoolEngine(placed, PrefectClient(server.prefect_credentials, server.prefect_api), log)


def _place(project: Project, spec: PipelineSpec, folder: str | None) -> JobPlace:
    store = connections.artifact_place(project)
    if folder is None and remote_artifact_store.is_url(store):
        raise UsageError(
            "jobs need a folder that all machines see, and the artifact store is none",
            where="run", got=store, next_step="name one: `folder` of `run:`, or of [run] in modelyard.toml",
        )  # fmt: skip
    jobs = project.root / Path(folder).expanduser() if folder else Path(store) / "jobs"
    return JobPlace(
        workspace=project.root,
        store=store,
        jobs=jobs.absolute() / re.sub(r"[^\w.-]", "_", user_name()),
        source_root=project.source_root,
        modules=[*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)],
    )
