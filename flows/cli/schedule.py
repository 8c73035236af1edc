"""`modelyard schedule` and `modelyard unschedule`"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from components.core.errors import StackError
from components.core.project import Project

if TYPE_CHECKING:
    from flows.pipelines.flow_schedules import FlowSchedule
    from flows.pipelines.schedules import ScheduleChange
    from flows.platform.lifecycle import Endpoints


@click.command(epilog="Example:  modelyard schedule digits")
@click.argument("pipeline", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def schedule(pipeline: str | None, as_json: bool) -> None:
    """Register `schedule:`, `score:` and `monitor:` of every pipeline file (or of one PIPELINE) with Prefect.

    The stack's runner starts the runs, one at a time for each pipeline. A schedule whose pipeline file or line is gone
    is removed. The schedule of gc follows `[retention]` in modelyard.toml. Needs the stack: modelyard up.
    """
    project = Project.find()
    from flows.cli.run import log
    from flows.pipelines.schedules import has_schedule, register
    from flows.retention import schedule as retention

    endpoints = _endpoints(project)
    others = [one for flow in _other_flows() for one in flow.register(project, endpoints, pipeline, log)]
    gc = retention.register(project, endpoints, log) if pipeline is None else ()
    only_others = bool(others) and pipeline is not None and not has_schedule(project, pipeline)
    _show((*(() if only_others else register(project, endpoints, pipeline, log)), *others, *gc), as_json)


@click.command(epilog="Example:  modelyard unschedule digits")
@click.argument("pipeline", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def unschedule(pipeline: str | None, as_json: bool) -> None:
    """Remove the schedule of PIPELINE, or all schedules, from Prefect. The pipeline files stay unchanged."""
    project = Project.find()
    from flows.cli.run import log
    from flows.pipelines.schedules import is_registered, remove
    from flows.retention import schedule as retention

    endpoints = _endpoints(project)
    others = [one for flow in _other_flows() for one in flow.remove(project, endpoints, pipeline, log)]
    gc = retention.remove(project, endpoints, log) if pipeline is None else ()
    only_others = bool(others) and pipeline is not None and not is_registered(project, endpoints, pipeline, log)
    _show((*(() if only_others else remove(project, endpoints, pipeline, log)), *others, *gc), as_json)


def _other_flows() -> tuple[FlowSchedule, ...]:
    from flows.monitoring import schedule as monitoring
    from flows.scoring import schedule as scoring

    return monitoring.SCHEDULE, scoring.SCHEDULE


def _endpoints(project: Project) -> Endpoints:
    from flows.platform import lifecycle

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", where=str(project.root), next_step="modelyard up")
    return endpoints


def _show(rows: Sequence[ScheduleChange], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    if not rows:
        click.echo("nothing is scheduled: no pipeline file has a line `schedule:`, `score:` or `monitor:`")
        return
    from flows.cli import table

    table.show(
        ["pipeline", "cron", "timezone", "", "next runs"],
        [[row.pipeline, row.cron, row.timezone, row.done, "  ".join(row.next_runs)] for row in rows],
    )
