"""The Prefect flow `monitor`: one look at what serves, on the schedule of `monitor:` in the pipeline file."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, Failed

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import StackError
from components.core.project import Project
from components.registry.api import Api
from flows.monitoring import look as looks
from flows.monitoring.context import MonitorContext
from flows.platform import connections, crashed_runs, lifecycle


@flow(name="monitor", flow_run_name="monitor {name}")
def monitor(name: str) -> State[Any]:
    """Judge what a model answered until now, and carry out what follows from it."""
    project = Project.find()
    connections.enter(project)
    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec)
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", next_step="`modelyard up`")
    if not project.predictions(name).is_dir():
        return Completed(name="Skipped", message=f"{name} has logged no answer yet")
    with ExitStack() as during:
        during.enter_context(crashed_runs.tracked(project, str(this_flow_run.id)))
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials))
        found = looks.look(MonitorContext(project, spec, api, get_run_logger().info))
    rows = [
        {
            "window": order.alarm.window,
            "alarm": order.alarm.text,
            "action": order.action,
            "outcome": outcome.text,
            "evidence": order.alarm.evidence,
        }
        for order, outcome in found.orders
    ]
    if rows:
        create_table_artifact(key=f"{name}-monitor", table=rows, description=f"What followed from alarms of {name}")
    message = f"{len(found.alarms)} alarms, {len(found.orders)} new orders"
    if found.challenger:
        message += f"; {found.challenger}"
    for note in found.notes:
        get_run_logger().info(note)
    return Failed(message=message) if found.failed else Completed(message=message)
