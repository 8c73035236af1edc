"""The plan of a pipeline run: which stages are out of date, and why.

DVC decides for data, the registry for models, the disk for bundles. None of the stages' heavy libraries is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import versioning
from components.contracts.pipeline import PipelineSpec
from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.core.project import Project
from components.identity import manifest as manifests
from components.registry import versions
from components.registry.api import Api
from components.tasks import compatibility
from flows.pipelines import bundle_plan, data_placement, fingerprints, last_run, pretrained
from flows.pipelines.bundle_plan import BundlePlan
from flows.pipelines.fingerprints import Fingerprint, Fingerprints

DATA_STAGES = ("ingest", "validate", "prepare")
STAGES = (*DATA_STAGES, "train", "evaluate", "register", "bundle")


@dataclass(frozen=True)
class StagePlan:
    """One stage.

    Args:
        current: whether the stage's product is up to date.
        reasons: why the stage will run; empty if it is current.
    """

    stage: str
    current: bool
    reasons: tuple[str, ...] = ()


DATA_UP_TO_DATE = tuple(StagePlan(stage, True) for stage in DATA_STAGES)


@dataclass(frozen=True)
class Plan:
    """All stages of a pipeline, and the identities of its products.

    Args:
        fingerprints: None while the data is out of date.
        package_digest: digest of the sealed package; None if there is none.
        bundle: the bundle of the registered version; None if no version is registered.
    """

    stages: tuple[StagePlan, ...]
    fingerprints: Fingerprints | None = None
    package_digest: str | None = None
    bundle: BundlePlan | None = None

    @property
    def current(self) -> bool:
        """Whether every stage is up to date."""
        return all(stage.current for stage in self.stages)

    def needs_run(self, name: str) -> bool:
        """Whether a stage is out of date."""
        return not next(stage for stage in self.stages if stage.stage == name).current


def make(project: Project, spec: PipelineSpec, api: Api, force: frozenset[str] = frozenset()) -> Plan:
    """Make the plan of a pipeline run.

    Args:
        force: stages to run even if they are up to date; later stages run if the product of a forced stage changes.

    Raises:
        UsageError: `force` names an unknown stage, or a stage cannot run where `run:` says.
        SpecError: the pipeline is not compatible with its task.
        CorruptArtifactError: a product on disk differs from its manifest.
    """
    if unknown := force - set(STAGES):
        raise UsageError("no such stage", got=", ".join(sorted(unknown)), expected=", ".join(STAGES))
    compatibility.check(spec, project.pipeline_file(spec.name), project.dataset(spec.dataset))
    data_placement.check(project, spec)
    data = _data(project, spec, force)
    if not all(stage.current for stage in data):
        waiting = tuple(
            StagePlan(stage, False, ("--force",) if stage in force else ("waits for its data",))
            for stage in STAGES[len(DATA_STAGES) :]
        )
        return Plan((*data, *waiting))
    pretrained_digest = pretrained.digest(api, spec)
    run_fingerprints = fingerprints.of(
        spec, versioning.data_digest(project, spec.dataset), project.source_root, pretrained_digest
    )
    return after_data(project, spec, api, force, run_fingerprints, data)


def after_data(
    project: Project,
    spec: PipelineSpec,
    api: Api,
    force: frozenset[str],
    run_fingerprints: Fingerprints,
    data: tuple[StagePlan, ...] = DATA_UP_TO_DATE,
) -> Plan:
    """The plan for the fingerprints of a run, once the data is up to date."""
    last_inputs = last_run.read(project, spec.name)
    version = versions.by_key(api, spec.name, run_fingerprints.package.digest)
    package_digest = (
        version.package_digest if version else sealed_digest(project.package(run_fingerprints.package.digest))
    )
    evaluated = package_digest is not None
    trained = (
        evaluated or sealed_digest(project.run_folder(run_fingerprints.train.digest) / "trained", "trained") is not None
    )
    bundle = bundle_plan.of(project, spec, version) if version else None
    registered = version is not None and "register" not in force
    stages = (
        *data,
        _decide("train", trained, run_fingerprints.train, last_inputs, force),
        _decide(
            "evaluate",
            evaluated,
            run_fingerprints.package,
            last_inputs,
            force,
            upstream_current=run_fingerprints.train.inputs == last_inputs.get("train"),
        ),
        StagePlan("register", registered, () if registered else ("no version of this package in the registry",)),
        _decide("bundle", bundle.bundle.exists(), bundle.fingerprint, last_inputs, force)
        if bundle
        else StagePlan("bundle", False, ("waits for its model version",)),
    )
    return Plan(stages, run_fingerprints, package_digest, bundle)


def known_by(planned: Plan) -> str:
    """Why nothing is trained, for who was told before the data was there that a training waits for it."""
    if planned.bundle is None:
        return "what was trained from equal inputs is here"
    version = planned.bundle.version
    registered = datetime.fromtimestamp(version.created_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return (
        f"version {version.version} in the registry was trained from equal inputs (run {version.run_id[:8]}, "
        f"registered {registered} UTC), so nothing is trained again"
    )


def done(planned: Plan) -> Plan:
    """The plan with every stage marked current."""
    return replace(planned, stages=tuple(StagePlan(stage.stage, True) for stage in planned.stages))


def _data(project: Project, spec: PipelineSpec, force: frozenset[str]) -> tuple[StagePlan, ...]:
    try:
        statuses = versioning.status(project, spec.dataset)
    except CorruptArtifactError:
        if force & set(DATA_STAGES):
            return tuple(StagePlan(stage, False, ("--force",)) for stage in DATA_STAGES)
        raise
    return tuple(
        StagePlan(stage.stage, False, ("--force", *stage.reasons))
        if stage.stage in force
        else StagePlan(stage.stage, stage.current, stage.reasons)
        for stage in statuses
    )


def _decide(
    stage: str,
    exists: bool,
    fingerprint: Fingerprint,
    last_inputs: dict[str, dict[str, Any]],
    force: frozenset[str],
    *,
    upstream_current: bool = True,
) -> StagePlan:
    if stage in force:
        return StagePlan(stage, False, ("--force",))
    if exists:
        return StagePlan(stage, True)
    if stage not in last_inputs:
        return StagePlan(stage, False, ("never run here",))
    if not upstream_current:
        return StagePlan(stage, False, ("train runs before it",))
    return StagePlan(stage, False, tuple(fingerprint.changes(last_inputs[stage])) or ("its product is gone",))


def sealed_digest(folder: Path, kind: manifests.Kind = "package") -> str | None:
    """The digest of a sealed folder; None if the folder is missing or not sealed."""
    try:
        return manifests.load(folder, kind).digest
    except NotFoundError:
        return None
