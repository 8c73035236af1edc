"""`python -m flows.stack.runner`: keeps the work pool's job template as it is to be, then becomes Prefect's worker.

A run of the pool chooses parameters, and nothing else: command, environment, folder and flow are constants of the
template, which has no variables. The entry point is given to the engine directly, so the pull steps of a deployment,
which could name any command, are not carried out.
"""

from __future__ import annotations

import os
import sys
import time

import httpx

from components.contracts.project import Project
from flows import connections, stack
from flows.stack.programs import ENTRYPOINT, WORK_POOL

TYPE = "process"
PATIENCE_SECONDS = 120


def job_template(project: Project) -> dict[str, object]:
    """The work pool's job template."""
    return {
        "job_configuration": {
            "command": "python -m prefect.engine",  # this interpreter's folder is first in PATH
            "env": {"PREFECT__FLOW_ENTRYPOINT": ENTRYPOINT},
            "labels": {},
            "name": None,
            "stream_output": True,
            "working_dir": str(project.root),
        },
        "variables": {"type": "object", "properties": {}, "additionalProperties": False},
    }


def keep_work_pool(project: Project, client: httpx.Client) -> None:
    """Create the work pool, or set its template.

    Raises:
        httpx.HTTPError: Prefect refused, or did not answer.
    """
    template = job_template(project)
    changed = client.patch(f"/work_pools/{WORK_POOL}", json={"base_job_template": template})
    if changed.status_code == httpx.codes.NOT_FOUND:
        body = {"name": WORK_POOL, "type": TYPE, "base_job_template": template}
        changed = client.post("/work_pools/", json=body)
    changed.raise_for_status()


def main() -> None:
    """Set the pool up and become the worker."""
    project = Project.find()
    endpoints = stack.configured(project)
    until = time.monotonic() + PATIENCE_SECONDS
    with connections.client(endpoints.credentials, endpoints.prefect_api, timeout=30) as client:
        while True:
            try:
                keep_work_pool(project, client)
                break
            except httpx.HTTPError as error:
                print(f"the work pool could not be set up: {error}", flush=True)
                if time.monotonic() > until:
                    sys.exit(1)
                time.sleep(1)
    words = ["worker", "start", "--pool", WORK_POOL, "--type", TYPE, "--name", "modelyard-runner", "--limit", "2"]
    command = [sys.executable, "-m", "prefect", *words, "--install-policy", "never"]
    os.execv(command[0], command)  # noqa: S606  # becoming the worker is the point


if __name__ == "__main__":
    main()
