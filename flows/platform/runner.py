"""`python -m flows.platform.runner`: keeps the work pool's job template as it is to be, then is Prefect's worker.

A run of the pool chooses parameters, and nothing else: command and folder are constants of the template, which has no
variables. It has no environment either, since Prefect merges a deployment's variables into one, whatever the template
allows. The command names the flow, so a deployment's entry point and pull steps, which could name any command, are not
carried out.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import httpx

from components.core.project import Project
from flows.platform import connections, lifecycle
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
        httpx.HTTPError: Prefect refused, or did not answer.
    """
    template, pool = job_template(project), connections.shared_name(project)
    response = client.patch(f"/work_pools/{pool}", json={"base_job_template": template})
    if response.status_code == httpx.codes.NOT_FOUND:
        body = {"name": pool, "type": TYPE, "base_job_template": template}
        response = client.post("/work_pools/", json=body)
    response.raise_for_status()


def disable_flow_hooks() -> None:
    """Have the worker look for the hooks of a cancelled or crashed run nowhere: it would carry out the pull steps.

    Raises:
        AttributeError: Prefect has no such function any more; then its hooks must be kept out another way.
    """
    from prefect.workers import process

    function = "load_flow_from_flow_run"
    getattr(process, function)  # it must be there
    setattr(process, function, _flow_without_hooks)


async def _flow_without_hooks(_flow_run: FlowRun) -> Flow[[], None]:
    from prefect import flow

    @flow
    def nothing() -> None:
        """The pipeline's flow has no hooks."""

    return nothing


def main() -> None:
    """Set the pool up and be the worker."""
    project = Project.find()
    endpoints = lifecycle.configured(project)
    deadline = time.monotonic() + SETUP_TIMEOUT_SECONDS
    with connections.client(endpoints.prefect_credentials, endpoints.prefect_api, timeout=30) as client:
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
    from prefect.cli import app

    pool = connections.shared_name(project)
    arguments = ["worker", "start", "--pool", pool, "--type", TYPE, "--name", "modelyard-runner", "--limit", "2"]
    sys.argv = ["prefect", *arguments, "--install-policy", "never"]
    app()


if __name__ == "__main__":
    main()
