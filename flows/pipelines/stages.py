"""The stages of a pipeline run as plain functions; `flows.pipelines.flow` wraps them as Prefect tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from components import tasks, versioning
from components.contracts.metric_sink import MetricSink
from components.contracts.pipeline import PipelineSpec
from components.contracts.stage_request import StageRequest, StageResult
from components.contracts.training_request import AUGMENTED_FILE, Event
from components.core import git
from components.core.errors import DiskFullError, GateRefused, ModelyardError, RegistryError
from components.core.log import Log
from components.core.project import Project
from components.core.waiting import announced
from components.evaluation import budget, gates
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.package import Package
from components.packaging import requirements
from components.packaging.bundle import Bundle
from components.registry import registration, tracking, versions
from components.registry.api import Api
from components.registry.registration import Registration
from components.registry.tracking import Run
from components.registry.versions import Version
from flows.pipelines import (
    data_placement,
    last_run,
    pretrained,
    signing,
    stage_placement,
    stage_requests,
    training_duration,
)
from flows.pipelines.bundle_plan import BundlePlan
from flows.pipelines.fingerprints import Fingerprints
from flows.pipelines.progress_line import ProgressLine
from flows.pipelines.training_duration import Stopwatch
from flows.platform import people
from flows.runners import stage_runner
from flows.runners.stage_runner import LineSink, StageRunner

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


@dataclass(frozen=True)
class RunContext:
    """The project, spec and clients of a pipeline run. Stages do not receive the context, only a `StageRequest`.

    Args:
        log: called with each message for the user.
        runner: runs the stages; default: those that pipeline and settings name, else `LocalProcessRunner`.
    """

    project: Project
    spec: PipelineSpec
    api: Api
    log: Log
    runner: StageRunner | None = None

    def run(
        self,
        request: StageRequest,
        on_event: LineSink | None = None,
        grace_seconds: float = stage_runner.GRACE_SECONDS,
    ) -> StageResult:
        """Run a stage to its end.

        Args:
            on_event: called with each of the stage's events; default: `log`.
            grace_seconds: time for a cancelled stage to save its work before it is killed.
        """
        runner = self.runner
        if runner is None:
            runner, request = stage_placement.place(self.project, self.spec, request, self.log)
        return stage_runner.run(runner, request, on_event or self.log, self.log, grace_seconds)


def data_stage(context: RunContext, stage: str, *, force: bool) -> None:
    """Run ingest, validate or prepare through DVC."""
    environment = data_placement.environment(context.project, context.spec, stage)
    versioning.reproduce(
        context.project, context.spec.dataset, stage, force=force, on_output=context.log, environment=environment
    )


def is_current(context: RunContext, stage: str) -> bool:
    """Whether a data stage is up to date, according to DVC."""
    statuses = versioning.status(context.project, context.spec.dataset)
    return next(status.current for status in statuses if status.stage == stage)


def begin_run(context: RunContext, fingerprints: Fingerprints, flow_run: str) -> Run:
    """Create or reopen the MLflow run of this training; logs parameters, dataset and the URL of the flow run."""
    facts = _environment_facts(context.project, context.log)
    tags = {f"modelyard.{name}": value for name, value in facts.items()}
    tags |= {"modelyard.pipeline": context.spec.name, "modelyard.flow_run": flow_run}
    tags |= {"mlflow.source.git.commit": facts["git_commit"]} if "git_commit" in facts else {}
    run = tracking.ensure(context.api, context.spec.name, fingerprints.train.digest, tags)
    spec = context.spec.model_dump(mode="json", include={"model", "train"})
    tracking.log_parameters(context.api, run, spec)
    folder = context.project.dataset(context.spec.dataset)
    prepared = manifests.load(folder / "prepared", "prepared")
    source = {"path": f"data/{context.spec.dataset}/prepared", "digest": fingerprints.data_digest}
    profile = json.dumps(prepared.facts.get("counts", {}))
    tracking.log_dataset(context.api, run, context.spec.dataset, fingerprints.data_digest, source, profile)
    tracking.log_data(context.api, run, folder)
    return run


def train(
    context: RunContext,
    fingerprints: Fingerprints,
    run: Run,
    *,
    force: bool,
    afresh: bool = False,
    profile: bool = False,
) -> None:
    """Train in a child process; metrics go to the MLflow run and to the progress line.

    Args:
        force: the training was asked for although its result is known.
        afresh: discard what there is of it; not the checkpoint of a forced training that was interrupted.
        profile: record where the time goes; the files are artifacts of the MLflow run.
    """
    folder = context.project.run_folder(fingerprints.train.digest)
    sinks: list[MetricSink] = [tracking.RunSink(context.api, run), ProgressLine(context.log), Stopwatch(folder)]

    start = pretrained.package(context.api, context.project, context.spec, fingerprints.train)
    if afresh and stage_requests.forced_and_interrupted(folder):
        context.log("a forced training was interrupted here: it goes on from its checkpoint")
        afresh = False
    request = stage_requests.training(
        context.project, context.spec, fingerprints, start, afresh=afresh, force=force, profile=profile
    )

    def on_event(line: str) -> None:
        try:
            event = _EVENT.validate_json(line)
        except ValidationError:
            context.log(line)
            return
        for sink in sinks:
            sink.emit(event)

    try:
        context.run(request, on_event)
    except ModelyardError:
        _log_failure(context, lambda: tracking.finish(context.api, run, "FAILED"))
        raise
    except BaseException:
        _log_failure(context, lambda: tracking.finish(context.api, run, "KILLED"))
        raise
    finally:
        for sink in reversed(sinks):
            _log_failure(context, sink.close)
    tracking.log_plots(context.api, run, (folder / AUGMENTED_FILE).parent)
    if profile and (folder / "profile").is_dir():
        _log_failure(context, lambda: tracking.log_profile(context.api, run, folder / "profile"))
    last_run.record(context.project, context.spec.name, "train", fingerprints.train.inputs)


def _log_failure(context: RunContext, action: Callable[[], None]) -> None:
    """Call `action`; log its error, so that it replaces neither the training's result nor its error."""
    try:
        action()
    except (RegistryError, DiskFullError) as error:
        context.log("\n".join(error.lines()))


def evaluate(context: RunContext, fingerprints: Fingerprints, run: Run) -> Package:
    """Score the exported graph on the test split; the sealed package replaces an existing one."""
    folder = context.project.run_folder(fingerprints.train.digest)
    package_folder = context.project.package(fingerprints.package.digest)
    context.run(stage_requests.evaluation(context.project, context.spec, fingerprints))
    package = Package.open(package_folder)
    tracking.log_plots(context.api, run, folder / "plots")
    overall = package.metrics()["overall"]
    tracking.log_metrics(context.api, run, {f"test/{name}": value for name, value in overall.items()}, step=0)
    last_run.record(context.project, context.spec.name, "evaluate", fingerprints.package.inputs)
    return package


def check(context: RunContext, fingerprints: Fingerprints, run: Run, package: Package) -> None:
    """Check floors and budget; a refusal ends the MLflow run.

    Raises:
        GateRefused: as of `check_floors` and `check_budget`.
    """
    try:
        check_floors(context, package)
        check_budget(context, fingerprints, package)
    except GateRefused:
        _log_failure(context, lambda: tracking.finish(context.api, run, "FAILED"))
        raise


def check_floors(context: RunContext, package: Package) -> None:
    """Refuse a package whose metrics are below the pipeline's floors.

    Raises:
        GateRefused: a metric is below its floor.
    """
    gates.floors(package.metrics()["overall"], context.spec.gates.floors)


def check_budget(context: RunContext, fingerprints: Fingerprints, package: Package) -> None:
    """Refuse a package whose training cost more than the pipeline's budget.

    Raises:
        GateRefused: a limit is exceeded, or the cost was not recorded.
    """
    if context.spec.budget is None:
        return
    folder = context.project.run_folder(fingerprints.train.digest)
    cost = budget.TrainingCost(
        package.parameters(), training_duration.seconds(folder), training_duration.energy_wh(folder)
    )
    budget.check(context.spec.budget, cost)


def register(context: RunContext, fingerprints: Fingerprints, run: Run, package: Package) -> Version:
    """Register the package as a model version; returns the existing version if it is registered already.

    Raises:
        RegistryError: another package was registered under the same fingerprint.
    """
    request = Registration(
        name=context.spec.name,
        package_key=fingerprints.package.digest,
        package=package,
        requirements=pyfunc_requirements(context.project, tasks.find(package.facts.task).libraries),
        source_root=context.project.source_root,
        tags=_environment_facts(context.project, context.log) | _trained_by(context.project),
    )
    with announced(f"the registry, or another run that registers {context.spec.name}", context.log):
        version = registration.register(context.api, run, request, context.project.locks)
    tracking.finish(context.api, run, "FINISHED")
    if version.package_digest != package.digest:
        raise RegistryError(
            "retraining with the same fingerprint gave another package than the registered version, which is kept",
            where=f"{version.name} version {version.version}",
            got=package.digest,
            expected=version.package_digest,
            next_step="change train.seed to register another model",
        )
    return version


def _trained_by(project: Project) -> dict[str, str]:
    """The user of MLflow whose login registers the model, where people have names of their own."""
    person = people.person(project) if people.are_enabled(project) else None
    return {} if person is None else {"trained_by": person.user}


def package_of(context: RunContext, version: Version) -> Package:
    """The sealed package of a version, from the project or else downloaded from the registry.

    Raises:
        CorruptArtifactError: a file differs from the package's manifest.
        ServingError: Modelyard did not register this version.
    """
    return versions.local_or_download(context.api, version, context.project.package(version.package_key))


def build_bundle(context: RunContext, plan: BundlePlan, *, force: bool) -> Bundle:
    """Build the bundle of a version.

    Raises:
        CorruptArtifactError: the package or the bundle differs from its manifest.
        ServingError: BentoML could not build the bundle.
    """
    package = package_of(context, plan.version)
    context.log(f"building the bundle {plan.bundle.tag}")
    context.run(stage_requests.packaging(context.project, context.spec, plan, package, force=force))
    plan.bundle.verify()
    signing.ensure_signed(context.project, plan.bundle, context.log)
    last_run.record(context.project, context.spec.name, "bundle", plan.fingerprint.inputs)
    return plan.bundle


def pyfunc_requirements(project: Project, libraries: Sequence[str]) -> str:
    """Pinned requirements of a registered version under `mlflow models serve`, one a line."""
    locked = requirements.locked(project.lock_file)
    mlflow = [f"{name}=={locked[name]}" for name in ("mlflow", "pandas")]
    serving = requirements.kept(project.lock_file, project.state / "cache", libraries)
    return "\n".join([*mlflow, *serving]) + "\n"


def _environment_facts(project: Project, log: Log) -> dict[str, str]:
    """The digest of the locked environment, and the project's git commit.

    The commit ends in `-dirty` if tracked files differ from it. If git names no commit, the reason is logged.
    """
    answer = git.ask(project.root, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    if answer.text is None:
        hint = f" (`{answer.next_step}`)" if answer.next_step else ""
        log(f"the commit is not recorded: {answer.reason}{hint}")
        return {"lock_digest": digest.of_file(project.lock_file)}
    return {"lock_digest": digest.of_file(project.lock_file), "git_commit": answer.text}
