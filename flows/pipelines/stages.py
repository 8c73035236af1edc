"""What each stage of a pipeline run does, as plain functions; `flows.pipelines.flow` wraps them as Prefect tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from components import tasks, versioning
from components.contracts.metric_sink import MetricSink
from components.contracts.pipeline import PipelineSpec
from components.contracts.stage_request import StageRequest, StageResult
from components.contracts.training_request import Event
from components.core import git
from components.core.errors import DiskFullError, ModelyardError, RegistryError
from components.core.project import Project
from components.core.waiting import announced
from components.evaluation import gates
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
from flows.pipelines import last_run, pretrained, stage_requests, stage_runner
from flows.pipelines.bundle_plan import BundlePlan
from flows.pipelines.fingerprints import Fingerprints
from flows.pipelines.local_runner import LocalProcessRunner
from flows.pipelines.progress_line import ProgressLine
from flows.pipelines.stage_runner import LineSink, StageRunner
from flows.pipelines.training_duration import Stopwatch

Log = Callable[[str], None]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


@dataclass(frozen=True)
class RunContext:
    """What a run of a pipeline works with in this process. A stage gets nothing of it: it gets a `StageRequest`.

    Args:
        runner: runs the stages; default: processes of this machine.
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
            on_event: takes the stage's events; default: they are logged.
            grace_seconds: how long a cancelled stage has to keep its work, before it is killed.
        """
        runner = self.runner or LocalProcessRunner(self.project.root)
        return stage_runner.run(runner, request, on_event or self.log, self.log, grace_seconds)


def data_stage(work: RunContext, stage: str, *, force: bool) -> None:
    """ingest, validate or prepare, through DVC."""
    versioning.reproduce(work.project, work.spec.dataset, stage, force=force, on_output=work.log)


def is_current(work: RunContext, stage: str) -> bool:
    """Whether a data stage's product stands."""
    found = versioning.status(work.project, work.spec.dataset)
    return next(entry.current for entry in found if entry.stage == stage)


def begin_run(work: RunContext, keys: Fingerprints, flow_run: str) -> Run:
    """The MLflow run of this training, with its parameters, its dataset and the way back to the flow run."""
    facts = _environment_facts(work.project, work.log)
    tags = {f"modelyard.{name}": value for name, value in facts.items()}
    tags |= {"modelyard.pipeline": work.spec.name, "modelyard.flow_run": flow_run}
    tags |= {"mlflow.source.git.commit": facts["git_commit"]} if "git_commit" in facts else {}
    run = tracking.ensure(work.api, work.spec.name, keys.train.digest, tags)
    spec = work.spec.model_dump(mode="json", include={"model", "train"})
    tracking.log_parameters(work.api, run, spec)
    folder = work.project.dataset(work.spec.dataset)
    prepared = manifests.load(folder / "prepared", "prepared")
    source = {"path": f"data/{work.spec.dataset}/prepared", "digest": keys.data_digest}
    profile = json.dumps(prepared.facts.get("counts", {}))
    tracking.log_dataset(work.api, run, work.spec.dataset, keys.data_digest, source, profile)
    tracking.log_data(work.api, run, folder)
    return run


def train(work: RunContext, keys: Fingerprints, run: Run, *, force: bool) -> None:
    """Train in a process of its own; metrics stream to the run and to the progress line."""
    folder = work.project.run_folder(keys.train.digest)
    sinks: list[MetricSink] = [tracking.RunSink(work.api, run), ProgressLine(work.log), Stopwatch(folder)]

    start = pretrained.package(work.api, work.project, work.spec, keys.train)
    request = stage_requests.training(work.project, work.spec, keys, start, afresh=force)

    def on_line(line: str) -> None:
        try:
            event = _EVENT.validate_json(line)
        except ValidationError:
            work.log(line)
            return
        for sink in sinks:
            sink.emit(event)

    try:
        work.run(request, on_line)
    except ModelyardError:
        _say_failure(work, lambda: tracking.finish(work.api, run, "FAILED"))
        raise
    except BaseException:
        _say_failure(work, lambda: tracking.finish(work.api, run, "KILLED"))
        raise
    finally:
        for sink in reversed(sinks):
            _say_failure(work, sink.close)
    last_run.record(work.project, work.spec.name, "train", keys.train.parts)


def _say_failure(work: RunContext, tell_registry: Callable[[], None]) -> None:
    """Tell the registry something; its failure is said, and hides neither the training's end nor its error."""
    try:
        tell_registry()
    except (RegistryError, DiskFullError) as error:
        work.log("\n".join(error.lines()))


def evaluate(work: RunContext, keys: Fingerprints, run: Run) -> Package:
    """Score the graph on the frozen test split; the sealed package takes the place of one that stood there."""
    folder = work.project.run_folder(keys.train.digest)
    place = work.project.package(keys.package.digest)
    work.run(stage_requests.evaluation(work.project, work.spec, keys))
    package = Package.open(place)
    tracking.log_plots(work.api, run, folder / "plots")
    overall = package.metrics()["overall"]
    tracking.log_metrics(work.api, run, {f"test/{name}": value for name, value in overall.items()}, step=0)
    last_run.record(work.project, work.spec.name, "evaluate", keys.package.parts)
    return package


def check_floors(work: RunContext, package: Package) -> None:
    """Refuse a package whose figures are below the pipeline's floors.

    Raises:
        GateRefused: names the gate, the figure and the limit.
    """
    gates.floors(package.metrics()["overall"], work.spec.gates.floors)


def register(work: RunContext, keys: Fingerprints, run: Run, package: Package) -> Version:
    """The package's version in the registry.

    Raises:
        RegistryError: the same key was registered with another result.
    """
    asked = Registration(
        name=work.spec.name,
        package_key=keys.package.digest,
        package=package,
        requirements=_pyfunc_requirements(work.project, tasks.find(package.facts.task).libraries),
        source_root=work.project.source_root,
        tags=_environment_facts(work.project, work.log),
    )
    with announced(f"the registry, or another run that registers {work.spec.name}", work.log):
        version = registration.register(work.api, run, asked, work.project.locks)
    tracking.finish(work.api, run, "FINISHED")
    if version.package_digest != package.digest:
        raise RegistryError(
            "training again gave another result than the version of the same key; that version stands",
            where=f"{version.name} version {version.version}",
            got=package.digest,
            expected=version.package_digest,
            next_step="change train.seed to register another model",
        )
    return version


def package_of(work: RunContext, version: Version) -> Package:
    """The sealed package of a version: the one here, else the registry's.

    Raises:
        CorruptArtifactError: a byte of it is not as sealed.
        ServingError: Modelyard did not register this version.
    """
    return versions.local_or_download(work.api, version, work.project.package(version.package_key))


def build_bundle(work: RunContext, plan: BundlePlan, *, force: bool) -> Bundle:
    """The Bento of a version.

    Raises:
        CorruptArtifactError: the package, or what came out, is not as sealed.
        ServingError: BentoML could not build it.
    """
    package = package_of(work, plan.version)
    work.log(f"building the bundle {plan.bundle.tag}")
    work.run(stage_requests.packaging(work.project, work.spec, plan, package, force=force))
    plan.bundle.verify()
    last_run.record(work.project, work.spec.name, "bundle", plan.key.parts)
    return plan.bundle


def _pyfunc_requirements(project: Project, libraries: Sequence[str]) -> str:
    """What a registered version needs to answer under `mlflow models serve`, pinned, one a line."""
    locked = requirements.locked(project.lock_file)
    mlflow = [f"{name}=={locked[name]}" for name in ("mlflow", "pandas")]
    serving = requirements.kept(project.lock_file, project.state / "cache", libraries)
    return "\n".join([*mlflow, *serving]) + "\n"


def _environment_facts(project: Project, log: Log) -> dict[str, str]:
    """The digest of the locked environment, and the commit that the project stands on.

    The commit ends in `-dirty` where files differ from it; where git names none, why is said.
    """
    named = git.ask(project.root, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    if named.text is None:
        again = f" (`{named.next_step}`)" if named.next_step else ""
        log(f"the commit is not recorded: {named.reason}{again}")
        return {"lock_digest": digest.of_file(project.lock_file)}
    return {"lock_digest": digest.of_file(project.lock_file), "git_commit": named.text}
