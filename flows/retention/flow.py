"""The Prefect flow `retention`: gc on the schedule of `[retention]` in modelyard.toml."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, Failed

from components.core.errors import StackError
from components.core.project import Project
from components.registry.api import Api
from flows.platform import crashed_runs, lifecycle
from flows.retention import removal
from flows.retention.collection import Collection, settings_of


@flow(name="retention", flow_run_name="retention")
def collect() -> State[Any]:
    """Remove unreferenced artifacts."""
    project = Project.find()
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", next_step="`modelyard up`")
    own_run, log = str(this_flow_run.id), get_run_logger().info
    with ExitStack() as during:
        during.enter_context(removal.lock(project))
        during.enter_context(crashed_runs.tracked(project, own_run))
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials))
        removal.finish(project, log)
        collection = Collection(project, settings_of(project), api, endpoints, log, own_run)
        collected = collection.collect(collection.judge_all())
    rows = [
        {
            "kind": removed_item.item.kind,
            "name": removed_item.item.name,
            "bytes": removed_item.item.bytes,
            "why": removed_item.why,
        }
        for removed_item in collected.removed
    ]
    create_table_artifact(key="retention", table=rows, description=f"{collected.bytes / 1e6:,.1f} MB removed")
    message = f"{len(collected.removed)} things removed, {collected.bytes / 1e6:,.1f} MB"
    if collected.failed:
        return Failed(
            message=f"{message}; not removed: {'; '.join(f'{name}: {why}' for name, why in collected.failed)}"
        )
    return Completed(message=message)
