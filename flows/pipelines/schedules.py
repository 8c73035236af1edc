"""Applies the schedules of pipeline files to Prefect deployments over its REST API; importing Prefect takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from components.contracts.pipeline import PipelineSpec, ScheduleSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, UsageError
from components.core.log import Log
from components.core.project import Project
from flows.pipelines import named_pipeline
from flows.platform import connections
from flows.platform.lifecycle import Endpoints
from flows.platform.prefect_client import PrefectClient
from flows.platform.programs import ENTRYPOINT

FLOW = "pipeline"
PARAMETERS = {
    "type": "object",
    "title": "Parameters",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "title": "pipeline", "position": 0},
        "force": {"type": "array", "items": {"type": "string"}, "title": "stages to run again", "position": 1},
        "overrides": {"type": "object", "title": "values in place of the file's", "position": 2},
    },
}


@dataclass(frozen=True)
class ScheduleChange:
    """One pipeline's schedule after the change.

    Args:
        done: the change: `added`, `changed`, `kept` or `removed`.
        next_runs: ISO 8601 times with offset.
    """

    pipeline: str
    cron: str
    timezone: str
    done: str
    next_runs: tuple[str, ...]


def register(
    project: Project, endpoints: Endpoints, pipeline: str | None = None, log: Log = lambda _: None
) -> tuple[ScheduleChange, ...]:
    """Create or update the deployments of all pipeline files, or of one; remove the project's other deployments.

    Args:
        pipeline: the only pipeline to register; then no deployment is removed.
        log: called when a request to Prefect is retried.

    Raises:
        SpecError: a pipeline file is wrong; nothing was changed.
        NotFoundError: there is no pipeline of that name.
        UsageError: `pipeline` has no `schedule:`.
        StackError: Prefect rejected the request or did not answer.
    """
    file_schedules = _file_schedules(project, pipeline)
    with _deployments(project, endpoints, log) as known:
        deployments = known.all()
        changes = [_apply(known, project, name, spec, deployments.get(name)) for name, spec in file_schedules.items()]
        if pipeline is None:
            for name in sorted(deployments.keys() - file_schedules.keys()):
                known.delete(deployments[name])
                changes.append(_change(name, deployments[name], "removed"))
    return tuple(changes)


def remove(
    project: Project, endpoints: Endpoints, pipeline: str | None = None, log: Log = lambda _: None
) -> tuple[ScheduleChange, ...]:
    """Remove the project's deployments, or one pipeline's; returns the removed schedules.

    Raises:
        NotFoundError: the pipeline is not scheduled.
    """
    with _deployments(project, endpoints, log) as known:
        deployments = known.all()
        if pipeline is not None and pipeline not in deployments:
            raise NotFoundError(
                f"{pipeline} is not scheduled", expected=", ".join(sorted(deployments)) or "no schedule"
            )
        chosen = sorted(deployments) if pipeline is None else [pipeline]
        for name in chosen:
            known.delete(deployments[name])
        return tuple(_change(name, deployments[name], "removed") for name in chosen)


def has_schedule(project: Project, pipeline: str) -> bool:
    """Whether a pipeline file has a `schedule:`."""
    return located_yaml.read(project.pipeline_file(pipeline), PipelineSpec).schedule is not None


def is_registered(project: Project, endpoints: Endpoints, pipeline: str, log: Log = lambda _: None) -> bool:
    """Whether a pipeline's schedule is registered with Prefect."""
    with _deployments(project, endpoints, log) as known:
        return pipeline in known.all()


@contextmanager
def _deployments(project: Project, endpoints: Endpoints, log: Log) -> Iterator[_Deployments]:
    with PrefectClient(endpoints.prefect_credentials, endpoints.prefect_api, log) as prefect:
        yield _Deployments(prefect, connections.shared_name(project))


def next_runs(cron: str, timezone: str, count: int = 3, now: datetime | None = None) -> tuple[str, ...]:
    """The next times of a cron expression, as ISO 8601 with the zone's offset."""
    zone: tzinfo = ZoneInfo(timezone)
    times = CronSim(cron, now or datetime.now(zone))
    return tuple(time.isoformat(timespec="minutes") for time, _ in zip(times, range(count), strict=False))


def _file_schedules(project: Project, pipeline: str | None) -> dict[str, ScheduleSpec]:
    if pipeline is not None:
        path = project.pipeline_file(pipeline)
        spec = named_pipeline.read(project, pipeline)
        if spec.schedule is None:
            raise UsageError(
                f"{pipeline} has no schedule",
                where=str(path),
                expected='a line such as  schedule: {cron: "0 3 * * *", timezone: UTC}',
                next_step=f"add it, or start it by hand: modelyard run {pipeline}",
            )
        return {spec.name: spec.schedule}
    files: list[Path] = sorted(project.pipelines.glob("*.yaml"))
    specs = [located_yaml.read(path, PipelineSpec) for path in files]
    return {spec.name: spec.schedule for spec in specs if spec.schedule is not None}


def _apply(
    known: _Deployments, project: Project, name: str, schedule: ScheduleSpec, deployment: dict[str, Any] | None
) -> ScheduleChange:
    document = _deployment(project, name, schedule)
    if deployment is not None and _is_same(document, deployment):
        return _change(name, document, "kept")
    known.put(document)
    return _change(name, document, "added" if deployment is None else "changed")


def _deployment(project: Project, name: str, schedule: ScheduleSpec) -> dict[str, Any]:
    root, owner = str(project.root), connections.shared_name(project)
    return {
        "name": connections.deployment_name(project, name),
        "description": f"Runs pipelines/{name}.yaml",
        "tags": [owner],
        "work_pool_name": owner,
        "path": root,
        "entrypoint": ENTRYPOINT,
        "pull_steps": None,
        "job_variables": {},
        "parameters": {"name": name},
        "parameter_openapi_schema": PARAMETERS,
        "enforce_parameter_schema": True,
        "concurrency_limit": 1,
        "concurrency_options": {"collision_strategy": "ENQUEUE"},
        "schedules": [{"schedule": {"cron": schedule.cron, "timezone": schedule.timezone, "day_or": True}}],
    }


def _is_same(document: dict[str, Any], deployment: dict[str, Any]) -> bool:
    fields = ("tags", "work_pool_name", "path", "entrypoint", "pull_steps", "job_variables", "parameters")
    return _cron_of(document) == _cron_of(deployment) and all(document[field] == deployment[field] for field in fields)


def _cron_of(deployment: dict[str, Any]) -> tuple[str, str]:
    for entry in deployment["schedules"]:
        if entry.get("active", True) and "cron" in entry["schedule"]:
            return entry["schedule"]["cron"], entry["schedule"]["timezone"] or "UTC"
    return "", "UTC"


def _change(name: str, deployment: dict[str, Any], done: str) -> ScheduleChange:
    cron, timezone = _cron_of(deployment)
    return ScheduleChange(name, cron, timezone, done, next_runs(cron, timezone) if cron and done != "removed" else ())


class _Deployments:
    """The deployments of pipelines that carry a project's tag."""

    def __init__(self, prefect: PrefectClient, tag: str) -> None:
        self._prefect, self._tag = prefect, tag

    def all(self) -> dict[str, dict[str, Any]]:
        """The project's deployments by pipeline."""
        query = {"deployments": {"tags": {"all_": [self._tag]}}, "flows": {"name": {"any_": [FLOW]}}, "limit": 200}
        deployments: dict[str, dict[str, Any]] = {}
        while True:
            page = self._prefect.request("POST", "/deployments/filter", {**query, "offset": len(deployments)})
            deployments.update({str(deployment["parameters"]["name"]): deployment for deployment in page})
            if len(page) < 200:
                return deployments

    def put(self, deployment: dict[str, Any]) -> None:
        """Create a deployment, or update the deployment of that name."""
        flow = self._prefect.request("POST", "/flows/", {"name": FLOW, "tags": [connections.OWN_NAME]})
        self._prefect.request("POST", "/deployments/", {**deployment, "flow_id": flow["id"]})

    def delete(self, deployment: dict[str, Any]) -> None:
        """Remove a deployment and its scheduled runs; a missing deployment is no error."""
        self._prefect.request("DELETE", f"/deployments/{deployment['id']}", missing_is_fine=True)
