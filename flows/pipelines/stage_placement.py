"""Which runner runs a stage: as the pipeline's `run:` says, else `[run]` of modelyard.toml, else on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from components.contracts import settings
from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import LocalSpec, PoolSpec, RunnerSpec, SlurmSpec
from components.core.log import Log
from components.core.project import Project
from components.identity.artifact_store import LocalArtifactStore
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
    """
    named: RunnerSpec | None = getattr(spec.run, stage, None)
    default: RunnerSpec | None = getattr(settings.read(project.root).run, stage, None)
    return named or default or LocalSpec(runner="local")


def elsewhere(project: Project, spec: PipelineSpec) -> frozenset[str]:
    """The stages of a pipeline that another machine runs.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    return frozenset(stage for stage in NAMES.values() if of(project, spec, stage).runner != "local")


def runner(project: Project, spec: PipelineSpec, room: str, log: Log) -> StageRunner:
    """The runner of a stage.

    Args:
        room: the stage's, as in `StageRequest.stage`.
        log: called with each message of the runner.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    if room not in NAMES:
        return LocalProcessRunner(project.root)
    placed = of(project, spec, NAMES[room])
    chosen: StageRunner = LocalProcessRunner(project.root)
    if not isinstance(placed, LocalSpec):
        chosen = JobRunner(_place(project, spec, placed.folder), _engine(project, placed), log)
    shared = settings.read(project.root).connections
    if shared.artifacts is None or not shared.share_results:
        return chosen
    return SharingRunner(chosen, project, LocalArtifactStore(connections.artifact_folder(project)), _who(), log)


def _who() -> str:
    """Who runs this, for others that take the result."""
    name = f"{user_name()} at {socket.gethostname()}"
    return f"CI ({name})" if os.environ.get("CI") else name


def _engine(project: Project, placed: SlurmSpec | PoolSpec) -> JobEngine:
    if isinstance(placed, SlurmSpec):
        return SlurmEngine(placed)
    server = connections.configured(project)
    return PoolEngine(placed, PrefectClient(server.prefect_credentials, server.prefect_api))


def _place(project: Project, spec: PipelineSpec, folder: str | None) -> JobPlace:
    store = connections.artifact_folder(project)
    return JobPlace(
        workspace=project.root,
        store=store.absolute(),
        jobs=(project.root / Path(folder).expanduser() if folder else store / "jobs").absolute(),
        source_root=project.source_root,
        modules=[*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)],
    )
