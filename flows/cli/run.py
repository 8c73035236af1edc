"""`modelyard run`"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from typing import Any

import click

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import ModelyardError, StackError, UsageError
from components.core.project import Project
from flows.pipelines.plan import STAGES, Plan


@click.command(epilog="Example:  modelyard run digits --set train.epochs=3")
@click.argument("pipeline")
@click.option(
    "--force", multiple=True, metavar="STAGE", help=f"Run a stage although it is up to date: {', '.join(STAGES)}."
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key of the pipeline for this run."
)
@click.option(
    "--profile",
    is_flag=True,
    help="Train again and record where the time goes; the model is the same. See docs/training.md.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def run(pipeline: str, force: tuple[str, ...], settings: tuple[str, ...], profile: bool, as_json: bool) -> int:
    """Run the stages of PIPELINE that are out of date, and print why.

    Starts the stack if it is not running. Ctrl-C keeps the training's checkpoint; the next run resumes from it.
    """
    started_at = time.monotonic()
    project = Project.find()
    overrides = parse_settings(settings)
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec, overrides)
    forced = frozenset(force) | ({"train"} if profile else frozenset())
    outcome = bring_up_to_date(project, spec, forced, overrides, profile=profile)
    seconds = time.monotonic() - started_at
    if as_json:
        click.echo(json.dumps({**summary(outcome), "seconds": round(seconds, 1)}, indent=2))
    else:
        facts = summary(outcome)
        click.echo(
            f"{pipeline}: up to date after {seconds:.1f} s: model version {facts['version']}, "
            f"package {facts['package'][:12]}, bundle {facts['bundle']}"
        )
    return 0


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """`--set a.b=3` as dotted keys and YAML values.

    Raises:
        UsageError: not of the form KEY=VALUE.
    """
    overrides = {}
    for text in settings:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError("--set takes KEY=VALUE", got=text, expected="as in --set train.epochs=3")
        try:
            overrides[key] = located_yaml.parse_value(value)
        except ValueError as error:
            raise UsageError("the value of --set cannot be read", got=text, expected=str(error)) from error
    return overrides


def bring_up_to_date(
    project: Project, spec: PipelineSpec, force: frozenset[str], overrides: dict[str, Any], *, profile: bool = False
) -> Plan:
    """Plan, run the stages that are out of date through the flow, and return the plan after the run."""
    from components.core.waiting import announced
    from components.registry.api import Api
    from flows.pipelines import plan
    from flows.platform import connections, lifecycle, people
    from flows.releases import authority

    if people.are_enabled(project):
        people.required(project)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    user = authority.trainer(project, spec.name)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        with announced("the registry and DVC, to see what is out of date", log):
            planned = plan.make(project, spec, api, force)
        log_plan(planned)
        if planned.current:
            return planned
    return _run_flow(project, spec, force, overrides, planned, endpoints.prefect_api, profile=profile, user=user)


def _run_flow(
    project: Project,
    spec: PipelineSpec,
    force: frozenset[str],
    overrides: dict[str, Any],
    planned: Plan,
    prefect_api: str,
    *,
    profile: bool,
    user: str | None = None,
) -> Plan:
    from flows.pipelines import prewarm, stage_placement
    from flows.platform import server_watch, stack_status

    os.environ["PREFECT_API_URL"] = prefect_api
    # The terminal shows Modelyard's messages only; Prefect keeps both its own and ours in the log of the run.
    os.environ["MODELYARD_TERMINAL"] = "1"
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    with ExitStack() as during:
        hosts = prewarm.stages_to_prewarm(planned, stage_placement.remote_stages(project, spec))
        during.enter_context(prewarm.prewarmed(hosts, project.root))
        during.enter_context(server_watch.watched(project, log))
        from flows.pipelines.flow import pipeline as flow

        if user is not None:
            from prefect import tags

            during.enter_context(tags(f"by: {user}"))
        try:
            return flow(spec.name, sorted(force), overrides, profile)
        except ModelyardError as error:
            # The traceback consists of Prefect's frames; the error names the cause and the next step.
            raise error.with_traceback(None) from None
        except Exception as error:
            unreachable = stack_status.unreachable_servers(project)
            if not unreachable:
                raise
            raise StackError(
                f"{' and '.join(unreachable)} stopped answering during the run",
                got=f"{type(error).__name__}: {error}"[:500],
                next_step="`modelyard status`, `modelyard up`, then run again: the run resumes",
            ) from None


def log_plan(planned: Plan) -> None:
    """Print the plan to stderr, one stage a line."""
    for stage in planned.stages:
        if stage.current:
            log(f"{stage.stage:<9} up to date")
        else:
            log(f"{stage.stage:<9} will run: {'; '.join(stage.reasons[:3]) or 'out of date'}" + _more(stage.reasons))


def _more(reasons: tuple[str, ...]) -> str:
    return f" (and {len(reasons) - 3} more, see `modelyard why`)" if len(reasons) > 3 else ""


def summary(planned: Plan) -> dict[str, Any]:
    """The stages, digests, version and bundle of a plan, for `--json`."""
    return {
        "stages": {stage.stage: "up to date" if stage.current else list(stage.reasons) for stage in planned.stages},
        "data": planned.fingerprints.data_digest if planned.fingerprints else None,
        "train_fingerprint": planned.fingerprints.train.digest if planned.fingerprints else None,
        "package": planned.package_digest,
        "version": planned.bundle.version.version if planned.bundle else None,
        "bundle": planned.bundle.bundle.tag if planned.bundle else None,
    }


def log(text: str) -> None:
    """Print a message to stderr."""
    click.echo(text, err=True)
