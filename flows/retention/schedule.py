"""The Prefect schedule of gc, configured by `[retention]` in modelyard.toml."""

from __future__ import annotations

from typing import Any

import httpx

from components.core.errors import StackError
from components.core.project import Project
from flows.pipelines.schedules import ScheduleChange, next_runs
from flows.platform import connections
from flows.platform.flow_run import RETENTION_FLOW, RETENTION_FLOW_NAME
from flows.platform.lifecycle import Endpoints
from flows.retention.collection import settings_of

NAME = "retention"
TIMEOUT_SECONDS = 60.0


def register(project: Project, endpoints: Endpoints) -> tuple[ScheduleChange, ...]:
    """Create, update or remove Prefect's deployment of gc, as modelyard.toml configures.

    Raises:
        SpecError: modelyard.toml is wrong.
        StackError: Prefect rejected the request or did not answer.
    """
    settings = settings_of(project)
    try:
        with _client(endpoints) as client:
            existing = _existing(project, client)
            if settings.cron is None:
                return _removed(client, existing)
            body = {"name": RETENTION_FLOW_NAME, "tags": [connections.OWN_NAME]}
            flow = client.post("/flows/", json=body).raise_for_status().json()
            deployment = _deployment(project, settings.cron, settings.timezone) | {"flow_id": flow["id"]}
            client.post("/deployments/", json=deployment).raise_for_status()
    except httpx.HTTPError as error:
        raise StackError(
            "Prefect did not accept the schedule of gc",
            where=endpoints.prefect_api,
            got=error,
            next_step="`modelyard status`, then `modelyard schedule` again",
        ) from error
    change = (
        "added" if existing is None else "kept" if _cron(existing) == (settings.cron, settings.timezone) else "changed"
    )
    runs = next_runs(settings.cron, settings.timezone)
    return (ScheduleChange(NAME, settings.cron, settings.timezone, change, runs),)


def remove(project: Project, endpoints: Endpoints) -> tuple[ScheduleChange, ...]:
    """Remove the schedule of gc; modelyard.toml stays unchanged.

    Raises:
        StackError: Prefect rejected the request or did not answer.
    """
    try:
        with _client(endpoints) as client:
            return _removed(client, _existing(project, client))
    except httpx.HTTPError as error:
        raise StackError("Prefect does not answer", where=endpoints.prefect_api, got=error) from error


def _client(endpoints: Endpoints) -> httpx.Client:
    return connections.client(endpoints.prefect_credentials, endpoints.prefect_api, timeout=TIMEOUT_SECONDS)


def _existing(project: Project, client: httpx.Client) -> dict[str, Any] | None:
    answer = client.get(f"/deployments/name/{RETENTION_FLOW_NAME}/{connections.deployment_name(project, NAME)}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    deployment: dict[str, Any] = answer.raise_for_status().json()
    return deployment


def _removed(client: httpx.Client, existing: dict[str, Any] | None) -> tuple[ScheduleChange, ...]:
    if existing is None:
        return ()
    answer = client.delete(f"/deployments/{existing['id']}")
    if answer.status_code != httpx.codes.NOT_FOUND:
        answer.raise_for_status()
    return (ScheduleChange(NAME, *_cron(existing), "removed", ()),)


def _deployment(project: Project, cron: str, timezone: str) -> dict[str, Any]:
    return {
        "name": connections.deployment_name(project, NAME),
        "description": "Removes what nothing needs any more (`modelyard gc`)",
        "tags": [connections.shared_name(project)],
        "work_pool_name": connections.shared_name(project),
        "path": str(project.root),
        "entrypoint": RETENTION_FLOW,
        "pull_steps": None,
        "job_variables": {},
        "parameters": {},
        "concurrency_limit": 1,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
        "schedules": [{"schedule": {"cron": cron, "timezone": timezone, "day_or": True}}],
    }


def _cron(deployment: dict[str, Any]) -> tuple[str, str]:
    for entry in deployment["schedules"]:
        if "cron" in entry["schedule"]:
            return entry["schedule"]["cron"], entry["schedule"]["timezone"] or "UTC"
    return "", "UTC"
