"""What is out of date in a pipeline, and why. Asks the owners: DVC for data, the registry for models, disk for bundles.

Light: DVC and the registry's REST API; none of the libraries that the stages need.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components import versioning
from components.contracts import manifest as manifests
from components.contracts.errors import CorruptArtifactError, NotFoundError, UsageError
from components.contracts.pipeline import PipelineSpec
from components.contracts.project import Project
from components.packaging import bundle as bundles
from components.packaging import requirements
from components.packaging.bundle import Bundle
from components.registry import versions
from components.registry.api import Api
from components.registry.versions import Version
from flows import keys, last_run
from flows.keys import Key

DATA_STAGES = ("ingest", "validate", "prepare")
STAGES = (*DATA_STAGES, "train", "evaluate", "register", "bundle")


@dataclass(frozen=True)
class StagePlan:
    """One stage: whether its product stands, and if not, why it will be made."""

    stage: str
    current: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All stages of a pipeline, with the keys and products known by now.

    Args:
        data_digest: of the prepared dataset; None while that is out of date.
        train_key, package_key: None while the data is out of date.
        version: the registered version of that package key.
        package_digest: of the package, where it is made.
        bundle: the bundle of that version, whether built or not; None before there is a version.
    """

    stages: tuple[StagePlan, ...]
    data_digest: str | None = None
    train_key: Key | None = None
    package_key: Key | None = None
    version: Version | None = None
    package_digest: str | None = None
    bundle_key: Key | None = None
    bundle: Bundle | None = None
    requirements: list[str] = field(default_factory=list)

    @property
    def current(self) -> bool:
        """Whether there is nothing to do."""
        return all(stage.current for stage in self.stages)

    def stage(self, name: str) -> StagePlan:
        """One stage by name."""
        return next(stage for stage in self.stages if stage.stage == name)


def make(project: Project, spec: PipelineSpec, api: Api, force: frozenset[str] = frozenset()) -> Plan:
    """Look at everything and decide.

    Args:
        force: stages that are to run although they are up to date; what follows them runs if their product changes.

    Raises:
        UsageError: `force` names no stage.
        CorruptArtifactError: a product on disk is not as sealed.
    """
    if unknown := force - set(STAGES):
        raise UsageError("no such stage", got=", ".join(sorted(unknown)), expected=", ".join(STAGES))
    data = _data(project, spec, force)
    if not all(stage.current for stage in data):
        waiting = tuple(
            StagePlan(stage, False, ("--force",) if stage in force else ("waits for its data",))
            for stage in STAGES[len(DATA_STAGES) :]
        )
        return Plan((*data, *waiting))
    return after_data(project, spec, api, force, data)


def after_data(
    project: Project,
    spec: PipelineSpec,
    api: Api,
    force: frozenset[str] = frozenset(),
    data: tuple[StagePlan, ...] | None = None,
) -> Plan:
    """The plan where the data is up to date."""
    data_digest = versioning.data_digest(project, spec.dataset)
    train_key = keys.training(spec, data_digest, project.source_root)
    package_key = keys.package(train_key.digest, project.source_root)
    return with_keys(project, spec, api, force, data, data_digest, train_key, package_key)


def with_keys(
    project: Project,
    spec: PipelineSpec,
    api: Api,
    force: frozenset[str],
    data: tuple[StagePlan, ...] | None,
    data_digest: str,
    train_key: Key,
    package_key: Key,
) -> Plan:
    """The plan for keys that stand: a run keeps those that it began with, also when files are edited under it."""
    before = last_run.read(project, spec.name)
    version = versions.by_key(api, spec.name, package_key.digest)
    trained = trained_digest(project, train_key.digest)
    package_digest = version.package_digest if version else sealed_digest(project.package(package_key.digest))
    evaluated = package_digest is not None
    plan = Plan(
        stages=(
            *(data or tuple(StagePlan(stage, True) for stage in DATA_STAGES)),
            _decide("train", trained is not None or evaluated, train_key, before, force),
            _decide("evaluate", evaluated, package_key, before, force, same=train_key.parts == before.get("train")),
            StagePlan(
                "register",
                version is not None and "register" not in force,
                () if version and "register" not in force else ("no version of this package in the registry",),
            ),
        ),
        data_digest=data_digest,
        train_key=train_key,
        package_key=package_key,
        version=version,
        package_digest=package_digest,
    )
    return _with_bundle(project, spec, plan, before, force)


def registered(project: Project, spec: PipelineSpec, api: Api, planned: Plan, force: frozenset[str]) -> Plan:
    """The plan after registration, with the keys that the run began with."""
    assert planned.data_digest is not None  # noqa: S101  # planned after the data
    assert planned.train_key is not None  # noqa: S101
    assert planned.package_key is not None  # noqa: S101
    keys_then = planned.data_digest, planned.train_key, planned.package_key
    return with_keys(project, spec, api, force & {"bundle"}, None, *keys_then)


def done(planned: Plan) -> Plan:
    """A plan whose stages have all been run."""
    return replace(planned, stages=tuple(StagePlan(stage.stage, True) for stage in planned.stages))


def _with_bundle(
    project: Project, spec: PipelineSpec, plan: Plan, before: dict[str, dict[str, Any]], force: frozenset[str]
) -> Plan:
    if plan.version is None or plan.package_digest is None:
        return replace(plan, stages=(*plan.stages, StagePlan("bundle", False, ("waits for its model version",))))
    pinned = requirements.pinned(project.lock_file)
    key = Key(
        bundles.parts(
            plan.package_digest, plan.version.version, spec.serving, pinned, bundles.code(project.source_root)
        )
    )
    bundle = Bundle(project.bundles, spec.name, key.digest)
    stage = _decide("bundle", bundle.exists(), key, before, force)
    return replace(plan, stages=(*plan.stages, stage), bundle_key=key, bundle=bundle, requirements=pinned)


def _data(project: Project, spec: PipelineSpec, force: frozenset[str]) -> tuple[StagePlan, ...]:
    try:
        found = versioning.status(project, spec.dataset)
    except CorruptArtifactError:
        if force & set(DATA_STAGES):
            return tuple(StagePlan(stage, False, ("--force",)) for stage in DATA_STAGES)
        raise
    return tuple(
        StagePlan(stage.stage, False, ("--force", *stage.reasons))
        if stage.stage in force
        else StagePlan(stage.stage, stage.current, stage.reasons)
        for stage in found
    )


def _decide(
    stage: str,
    stands: bool,
    key: Key,
    before: dict[str, dict[str, Any]],
    force: frozenset[str],
    *,
    same: bool = True,
) -> StagePlan:
    if stage in force:
        return StagePlan(stage, False, ("--force",))
    if stands:
        return StagePlan(stage, True)
    if stage not in before:
        return StagePlan(stage, False, ("never run here",))
    if not same:
        return StagePlan(stage, False, ("train runs before it",))
    return StagePlan(stage, False, tuple(key.changes(before[stage])) or ("its product is gone",))


def trained_digest(project: Project, train_key: str) -> str | None:
    """The digest of what a training left, if it was sealed for that very key."""
    return sealed_digest(project.run_folder(train_key) / "trained", "trained")


def sealed_digest(folder: Path, kind: manifests.Kind = "package") -> str | None:
    """The digest of a sealed folder, or None where there is none."""
    try:
        return manifests.load(folder, kind).digest
    except NotFoundError:
        return None
