"""What Prefect says, for pages: runs and the stages that they are in, deployments with their schedules."""

from __future__ import annotations

from typing import Any

import httpx

from components.core.errors import StackError
from components.core.project import Project
from flows.pipelines import schedules
from flows.platform import connections

TIMEOUT_SECONDS = 4.0
SHOWN_RUNS = 60
FLOWS = ("pipeline", "release", "gc", "compare", "tune", "advise")
ACTIVE = ("RUNNING", "PENDING", "PAUSED", "CANCELLING")


def request(project: Project, method: str, path: str, body: object = None) -> Any:
    """One request to Prefect's API; it is not repeated, since a page waits for it.

    Raises:
        StackError: Prefect refused it, or does not answer.
    """
    server = connections.of(project).prefect
    if server.url is None:
        raise StackError("Prefect was never started here", next_step="`modelyard up`")
    try:
        with connections.client(server.credentials, server.url, timeout=TIMEOUT_SECONDS) as client:
            response = client.request(method, path, json=body)
            response.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise StackError(
            f"Prefect answered {error.response.status_code}", where=path, got=error.response.text[:300]
        ) from error
    except httpx.HTTPError as error:
        raise StackError("Prefect does not answer", where=path, got=error, next_step="`modelyard status`") from error
    return response.json() if response.content else None


def runs(project: Project) -> list[dict[str, Any]]:
    """The last runs, newest first, those that go on with the tasks that they are in.

    Raises:
        StackError: Prefect does not answer.
    """
    page = str(connections.of(project).prefect.page)
    found = request(
        project,
        "POST",
        "/flow_runs/filter",
        {"flows": {"name": {"any_": list(FLOWS)}}, "sort": "START_TIME_DESC", "limit": SHOWN_RUNS,
         "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}},
    )  # fmt: skip
    going_on = [run["id"] for run in found if run["state_type"] in ACTIVE]
    tasks: dict[str, list[dict[str, Any]]] = {}
    if going_on:
        body = {"flow_runs": {"id": {"any_": going_on}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 200}
        for task in request(project, "POST", "/task_runs/filter", body):
            tasks.setdefault(task["flow_run_id"], []).append(task)
    return [
        {
            "id": run["id"],
            "name": run["name"],
            "subject": (run.get("parameters") or {}).get("name"),
            "state": run["state_name"],
            "type": run["state_type"],
            "message": (run.get("state") or {}).get("message"),
            "started": run.get("start_time"),
            "seconds": run.get("total_run_time"),
            "stages": [
                {"name": task["name"], "state": task["state_name"]} for task in reversed(tasks.get(run["id"], []))
            ],
            "url": f"{page}/runs/flow-run/{run['id']}",
        }
        for run in found
    ]  # fmt: skip


def deployments(project: Project) -> list[dict[str, Any]]:
    """The project's scheduled pipelines, with the next times.

    Raises:
        StackError: Prefect does not answer.
    """
    page = str(connections.of(project).prefect.page)
    body = {"deployments": {"tags": {"all_": [connections.shared_name(project)]}}, "limit": 200}
    rows = []
    for found in request(project, "POST", "/deployments/filter", body):
        crons = [one["schedule"] for one in found["schedules"] if one.get("active", True) and "cron" in one["schedule"]]
        cron, timezone = (crons[0]["cron"], crons[0].get("timezone") or "UTC") if crons else ("", "UTC")
        rows.append(
            {
                "id": found["id"],
                "name": str((found.get("parameters") or {}).get("name") or found["name"]),
                "cron": cron,
                "timezone": timezone,
                "paused": bool(found.get("paused")),
                "next": list(schedules.next_runs(cron, timezone)) if cron and not found.get("paused") else [],
                "url": f"{page}/deployments/deployment/{found['id']}",
            }
        )
    return sorted(rows, key=lambda row: str(row["name"]))
