"""The Prefect flow of a pipeline run: one task a stage, in order; stages that are up to date are skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed
from prefect.tasks import Task

from components import versioning
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import RegistryError, SourceError, StackError, StageKilled
from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from components.identity.package import Package
from components.registry.api import Api
from components.registry.tracking import Run
from flows.pipelines import data_report, fingerprints, plan, pretrained, prewarm, stage_placement, stages
from flows.pipelines.bundle_plan import BundlePlan
from flows.pipelines.fingerprints import Fingerprints
from flows.pipelines.plan import DATA_STAGES, Plan
from flows.pipelines.stages import RunContext
from flows.platform import connections, crashed_runs, lifecycle

TERMINAL = "MODELYARD_TERMINAL"


async def _is_retryable(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry can succeed: the stage was killed (training resumes from its checkpoint) or a source failed."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, StageKilled | SourceError)


@contextmanager
def _logging_retries(context: RunContext) -> Iterator[None]:
    """Log why a stage fails, where it is tried again; the last failure is the run's error."""
    try:
        yield
    except (StageKilled, SourceError) as error:
        attempt = TaskRunContext.get()
        if attempt is not None and attempt.task_run.run_count <= attempt.task.retries:
            context.log(f"  {error.what}{f': {error.got}' if error.got else ''}; trying again")
        raise


@task(
    name="data",
    task_run_name="{stage}",
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=_is_retryable,
    cache_policy=NO_CACHE,
)
def data_task(context: RunContext, stage: str, needs_run: bool, force: bool) -> State[Any] | None:
    """Run ingest, validate or prepare."""
    if not needs_run:
        return _up_to_date(stage)
    try:
        with _logging_retries(context):
            stages.data_stage(context, stage, force=force)
    finally:
        if stage in ("validate", "prepare"):
            report = data_report.markdown(context.project, context.spec.dataset)
            create_markdown_artifact(key=f"{context.spec.dataset}-data-report", markdown=report)
    return None


@task(
    name="train",
    task_run_name="train",
    retries=2,
    retry_delay_seconds=1,
    retry_condition_fn=_is_retryable,
    cache_policy=NO_CACHE,
)
def train_task(
    context: RunContext, needs_run: bool, run_fingerprints: Fingerprints, run: Run, force: bool, profile: bool = False
) -> State[Any] | None:
    """Train; a retry resumes from the checkpoint."""
    if not needs_run:
        return _up_to_date("train")
    # Only the first attempt discards the checkpoint.
    from prefect.runtime import task_run

    with _logging_retries(context):
        afresh = force and task_run.run_count <= 1
        stages.train(context, run_fingerprints, run, force=force, afresh=afresh, profile=profile)
    return None


@task(name="evaluate", task_run_name="evaluate", retries=1, retry_condition_fn=_is_retryable, cache_policy=NO_CACHE)
def evaluate_task(context: RunContext, needs_run: bool, run_fingerprints: Fingerprints, run: Run) -> State[Any] | None:
    """Score the model on the test split and seal the package."""
    if not needs_run:
        return _up_to_date("evaluate")
    with _logging_retries(context):
        package = stages.evaluate(context, run_fingerprints, run)
    overall = package.metrics()["overall"]
    create_table_artifact(
        key=f"{context.spec.name}-metrics",
        table=[
            *({"metric": name, "value": value} for name, value in sorted(overall.items())),
            *(
                {"metric": f"{name}, {baseline['name']}", "value": value}
                for baseline in package.metrics().get("baselines", [])
                for name, value in sorted(baseline["figures"].items())
            ),
        ],
        description=f"Test split, package {digest.short(package.digest)}",
    )
    return None


@task(
    name="register",
    task_run_name="register",
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=_is_retryable,
    cache_policy=NO_CACHE,
)
def register_task(
    context: RunContext, needs_run: bool, run_fingerprints: Fingerprints, run: Run, server: str
) -> State[Any] | None:
    """Check the metric floors, then register a version."""
    if not needs_run:
        return _up_to_date("register")
    package = Package.open(context.project.package(run_fingerprints.package.digest))
    stages.check(context, run_fingerprints, run, package)
    version = stages.register(context, run_fingerprints, run, package)
    create_link_artifact(
        key=f"{context.spec.name}-model",
        link=version.url(server),
        link_text=f"{version.name} version {version.version}",
    )
    return None


@task(name="bundle", task_run_name="bundle", retries=1, retry_condition_fn=_is_retryable, cache_policy=NO_CACHE)
def bundle_task(context: RunContext, needs_run: bool, planned: BundlePlan, force: bool) -> State[Any] | None:
    """Build the bundle of the version."""
    if not needs_run:
        return _up_to_date("bundle")
    bundle = stages.build_bundle(context, planned, force=force)
    facts = bundle.verify()
    lines = [
        f"Bundle `{bundle.tag}`",
        f"- package `{facts.facts['package_digest']}`",
        f"- data `{facts.facts['data_digest']}`",
        f"- bundle digest `{facts.digest}`",
        f"- `bentoml serve {bundle.tag}`",
    ]
    create_markdown_artifact(key=f"{context.spec.name}-bundle", markdown="\n".join(lines))
    return None


@flow(name="pipeline", flow_run_name="{name}")
def pipeline(
    name: str,
    force: list[str] = [],  # noqa: B006  # Prefect copies
    overrides: dict[str, Any] = {},  # noqa: B006
    profile: bool = False,
) -> Plan:
    """Run the stages of a pipeline that are out of date.

    Args:
        name: the pipeline, as in `pipelines/<name>.yaml`.
        force: stages to run even if they are up to date.
        overrides: dotted keys of the pipeline file and their values for this run.
        profile: record where the time of the training goes; for a forced training.

    Returns:
        The plan after the run, in which every stage is current.
    """
    project = Project.find()
    connections.enter(project)
    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec, overrides)
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", next_step="`modelyard up`")
    forced = frozenset(force)
    if "train" in forced:  # a new training needs a new evaluation and registration
        forced |= {"evaluate", "register"}
    flow_run = str(this_flow_run.id)
    with ExitStack() as during:
        during.enter_context(crashed_runs.tracked(project, flow_run))
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials))
        context = RunContext(project, spec, api, _run_logger(get_run_logger()))
        for crashed_run in crashed_runs.mark_crashed(project, endpoints.prefect_api):
            context.log(f"an earlier run was killed; flow run {crashed_run[:8]} is marked as crashed")
        pretrained.fetch(spec, context.log)
        planned = plan.make(project, spec, api, forced)
        elsewhere = stage_placement.remote_stages(project, spec)
        during.enter_context(prewarm.prewarmed(prewarm.stages_to_prewarm(planned, elsewhere), project.root))
        data_changed = False
        for stage in DATA_STAGES:
            # If an earlier stage produced the same data as before, the later stages stay current.
            current = (
                stages.is_current(context, stage)
                if data_changed and stage not in forced
                else not planned.needs_run(stage)
            )
            data_task(context, stage, not current, stage in forced)
            data_changed = data_changed or not current
        pretrained_digest = pretrained.digest(api, spec)
        run_fingerprints = fingerprints.of(
            spec, versioning.data_digest(project, spec.dataset), project.source_root, pretrained_digest
        )
        planned = plan.after_data(project, spec, api, forced, run_fingerprints)
        if data_changed and not planned.needs_run("train"):
            context.log(f"training: {plan.known_by(planned)}")
        run = stages.begin_run(context, run_fingerprints, f"{endpoints.prefect_ui}/runs/flow-run/{flow_run}")
        if planned.needs_run("train"):
            create_link_artifact(key=f"{name}-run", link=run.url(endpoints.mlflow), link_text="MLflow run")
        if planned.needs_run("train"):
            during.enter_context(prewarm.prewarmed([prewarm.RELEASE], project.root))
        train_task(context, planned.needs_run("train"), run_fingerprints, run, "train" in forced, profile)
        evaluate_task(context, planned.needs_run("evaluate"), run_fingerprints, run)
        register_task(context, planned.needs_run("register"), run_fingerprints, run, endpoints.mlflow)
        planned = plan.after_data(project, spec, api, forced & {"bundle"}, run_fingerprints)
        if planned.bundle is None:
            raise RegistryError("the registered version is missing from the registry", where=endpoints.mlflow)
        bundle_task(context, planned.needs_run("bundle"), planned.bundle, "bundle" in forced)
        return plan.done(planned)


def _run_logger(logger: Any) -> Log:
    """A log function that writes to Prefect's log of the run, and to stderr if a person started the run."""
    terminal = os.environ.get(TERMINAL) == "1"

    def log(text: str) -> None:
        logger.info(text)
        if terminal:
            print(f"  {text}", file=sys.stderr, flush=True)

    return log


def _up_to_date(stage: str) -> State[Any]:
    return Completed(name="UpToDate", message=f"{stage} is up to date")
