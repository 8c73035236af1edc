"""`python -m flows.platform.runner`: sets the work pool's job template, then runs Prefect's worker.

A flow run chooses only its parameters: command and folder are constants of the template, which has no variables. The
template has no environment either, because Prefect would merge a deployment's variables into it. The command names the
flow, so a deployment's entry point and pull steps, which could name any command, are not executed.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

from components.core.project import Project
from flows.platform import connections, lifecycle, taken_runs
from flows.platform.programs import ENTRYPOINT

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun

TYPE = "process"
SETUP_TIMEOUT_SECONDS = 120


def job_template(project: Project) -> dict[str, object]:
    """The work pool's job template."""
    return {
        "job_configuration": {
            "command": f"python -m flows.platform.flow_run {ENTRYPOINT}",  # this interpreter's folder is first in PATH
            "labels": {},
            "name": None,
            "stream_output": True,
            "working_dir": str(project.root),
        },
        "variables": {"type": "object", "properties": {}, "additionalProperties": False},
    }


def apply_work_pool(project: Project, client: httpx.Client) -> None:
    """Create the project's work pool, or set its template.

    Raises:
        httpx.HTTPError: Prefect rejected the request or did not answer.
    """
    template, pool = job_template(project), connections.shared_name(project)
    response = client.patch(f"/work_pools/{pool}", json={"base_job_template": template})
    if response.status_code == httpx.codes.NOT_FOUND:
        body = {"name": pool, "type": TYPE, "base_job_template": template}
        response = client.post("/work_pools/", json=body)
    response.raise_for_status()


def disable_flow_hooks() -> None:
    """Keep the worker from loading the flow of a cancelled or crashed run for its hooks: that would run the pull steps.

    Raises:
        AttributeError: this version of Prefect has no such function, so the hooks must be disabled in another way.
    """
    from prefect.workers import process

    function = "load_flow_from_flow_run"
    getattr(process, function)  # raises if Prefect has removed the function
    setattr(process, function, _flow_without_hooks)


def release_slots_of_removed_deployments() -> None:
    """Let the worker take other runs after one whose deployment was removed: Prefect keeps its slot taken for good.

    Raises:
        AttributeError: this version of Prefect has no such function, so the slot must be released in another way.
    """
    from prefect.workers.base import BaseWorker

    cancel = BaseWorker._mark_flow_run_as_cancelled

    async def cancel_and_release(
        worker: BaseWorker[Any, Any, Any], flow_run: FlowRun, state_updates: dict[str, Any] | None = None
    ) -> None:
        await cancel(worker, flow_run, state_updates)
        if "no longer exists" in str((state_updates or {}).get("message")):
            worker._release_limit_slot(flow_run.id)

    BaseWorker._mark_flow_run_as_cancelled = cancel_and_release  # type: ignore[method-assign, assignment]


async def _flow_without_hooks(_flow_run: FlowRun) -> Flow[[], None]:
    from prefect import flow

    @flow
    def nothing() -> None:
        """The pipeline's flow has no hooks."""

    return nothing


def main() -> None:
    """Set up the work pool and run the worker."""
    project = Project.find()
    endpoints = lifecycle.configured(project)
    deadline = time.monotonic() + SETUP_TIMEOUT_SECONDS

    def opened() -> httpx.Client:
        return connections.client(endpoints.prefect_credentials, endpoints.prefect_api, timeout=30)

    with opened() as client:
        while True:
            try:
                apply_work_pool(project, client)
                break
            except httpx.HTTPError as error:
                print(f"the work pool could not be set up: {error}", flush=True)
                if time.monotonic() > deadline:
                    sys.exit(1)
                time.sleep(1)
    disable_flow_hooks()
    release_slots_of_removed_deployments()
    pool = connections.shared_name(project)
    taken_runs.watch(opened, pool)
    from prefect.cli import app

    arguments = ["worker", "start", "--pool", pool, "--type", TYPE, "--name", "modelyard-runner", "--limit", "2"]
    sys.argv = ["prefect", *arguments, "--install-policy", "never"]
    app()


if __name__ == "__main__":
    main()
