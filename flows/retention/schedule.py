"""The Prefect schedule of gc, configured by `[retention]` in modelyard.toml."""

from __future__ import annotations

from typing import Any

from components.core.log import Log
from components.core.project import Project
from flows.pipelines.schedules import ScheduleChange, next_runs
from flows.platform import connections
from flows.platform.flow_run import RETENTION_FLOW, RETENTION_FLOW_NAME
from flows.platform.lifecycle import Endpoints
from flows.platform.prefect_client import PrefectClient
from flows.retention.collection import settings_of

NAME = "retention"


def register(project: Project, endpoints: Endpoints, log: Log = lambda _: None) -> tuple[ScheduleChange, ...]:
    """Create, update or remove Prefect's deployment of gc, as modelyard.toml configures.

    Args:
        log: called when a request to Prefect is repeated.

    Raises:
        SpecError: modelyard.toml is wrong.
        StackError: Prefect rejected the request or did not answer.
    """
    settings = settings_of(project)
    with _client(endpoints, log) as prefect:
        existing = _existing(project, prefect)
        if settings.cron is None:
            return _removed(prefect, existing)
        flow = prefect.request("POST", "/flows/", {"name": RETENTION_FLOW_NAME, "tags": [connections.OWN_NAME]})
        deployment = _deployment(project, settings.cron, settings.timezone) | {"flow_id": flow["id"]}
        prefect.request("POST", "/deployments/", deployment)
    change = (
        "added" if existing is None else "kept" if _cron(existing) == (settings.cron, settings.timezone) else "changed"
    )
    runs = next_runs(settings.cron, settings.timezone)
    return (ScheduleChange(NAME, settings.cron, settings.timezone, change, runs),)


def remove(project: Project, endpoints: Endpoints, log: Log = lambda _: None) -> tuple[ScheduleChange, ...]:
    """Remove the schedule of gc; modelyard.toml stays unchanged.

    Raises:
        StackError: Prefect rejected the request or did not answer.
    """
    with _client(endpoints, log) as prefect:
        return _removed(prefect, _existing(project, prefect))


def _client(endpoints: Endpoints, log: Log) -> PrefectClient:
    return PrefectClient(endpoints.prefect_credentials, endpoints.prefect_api, log)


def _existing(project: Project, prefect: PrefectClient) -> dict[str, Any] | None:
    path = f"/deployments/name/{RETENTION_FLOW_NAME}/{connections.deployment_name(project, NAME)}"
    deployment: dict[str, Any] | None = prefect.request("GET", path, missing_is_fine=True)
    return deployment


def _removed(prefect: PrefectClient, existing: dict[str, Any] | None) -> tuple[ScheduleChange, ...]:
    if existing is None:
        return ()
    prefect.request("DELETE", f"/deployments/{existing['id']}", missing_is_fine=True)
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
