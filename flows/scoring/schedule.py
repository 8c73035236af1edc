"""The Prefect schedules of scoring, as `score:` of the pipeline files says."""

from __future__ import annotations

from typing import Any

from components.contracts.pipeline import PipelineSpec
from components.contracts.schedule_spec import ScheduleSpec
from components.core import located_yaml
from components.core.log import Log
from components.core.project import Project
from flows.pipelines.schedules import ScheduleChange, next_runs
from flows.platform import connections
from flows.platform.flow_run import SCORE_FLOW, SCORE_FLOW_NAME
from flows.platform.lifecycle import Endpoints
from flows.platform.prefect_client import PrefectClient

_PAGE = 200


def scheduled(project: Project, pipeline: str | None = None) -> dict[str, ScheduleSpec]:
    """The schedules of all pipeline files with a `score:`, or of one.

    Raises:
        SpecError: a pipeline file is wrong.
    """
    paths = sorted(project.pipelines.glob("*.yaml")) if pipeline is None else [project.pipeline_file(pipeline)]
    specs = [located_yaml.read(path, PipelineSpec) for path in paths if path.is_file()]
    return {spec.name: spec.score.schedule for spec in specs if spec.score is not None}


def register(
    project: Project, endpoints: Endpoints, pipeline: str | None = None, log: Log = lambda _: None
) -> tuple[ScheduleChange, ...]:
    """Create or update the deployments of scoring, of all pipeline files or of one; remove those of others.

    Args:
        pipeline: the only pipeline to register; then no deployment is removed.
        log: called when a request to Prefect is repeated.

    Raises:
        SpecError: a pipeline file is wrong; nothing was changed.
        StackError: Prefect rejected the request or did not answer.
    """
    wanted = scheduled(project, pipeline)
    changes = []
    with _client(endpoints, log) as prefect:
        present = _present(project, prefect)
        if wanted:
            flow = prefect.request("POST", "/flows/", {"name": SCORE_FLOW_NAME, "tags": [connections.OWN_NAME]})
        for name, schedule in wanted.items():
            prefect.request("POST", "/deployments/", {**_deployment(project, name, schedule), "flow_id": flow["id"]})
            before = _cron(present[name]) if name in present else None
            done = "added" if before is None else "kept" if before == (schedule.cron, schedule.timezone) else "changed"
            runs = next_runs(schedule.cron, schedule.timezone)
            changes.append(ScheduleChange(f"{name} (score)", schedule.cron, schedule.timezone, done, runs))
        if pipeline is None:
            changes += _removed(prefect, {name: one for name, one in present.items() if name not in wanted})
    return tuple(changes)


def remove(
    project: Project, endpoints: Endpoints, pipeline: str | None = None, log: Log = lambda _: None
) -> tuple[ScheduleChange, ...]:
    """Remove the schedules of scoring, of all pipelines or of one; the pipeline files stay unchanged.

    Raises:
        StackError: Prefect rejected the request or did not answer.
    """
    with _client(endpoints, log) as prefect:
        present = _present(project, prefect)
        return tuple(_removed(prefect, {name: one for name, one in present.items() if pipeline in (None, name)}))


def _client(endpoints: Endpoints, log: Log) -> PrefectClient:
    return PrefectClient(endpoints.prefect_credentials, endpoints.prefect_api, log)


def _present(project: Project, prefect: PrefectClient) -> dict[str, dict[str, Any]]:
    """The project's deployments of scoring by pipeline."""
    found: dict[str, dict[str, Any]] = {}
    query = {
        "deployments": {"tags": {"all_": [connections.shared_name(project)]}},
        "flows": {"name": {"any_": [SCORE_FLOW_NAME]}},
        "limit": _PAGE,
    }
    while True:
        page = prefect.request("POST", "/deployments/filter", {**query, "offset": len(found)})
        found.update({str(one["parameters"]["name"]): one for one in page})
        if len(page) < _PAGE:
            return found


def _removed(prefect: PrefectClient, present: dict[str, dict[str, Any]]) -> list[ScheduleChange]:
    for deployment in present.values():
        prefect.request("DELETE", f"/deployments/{deployment['id']}", missing_is_fine=True)
    return [ScheduleChange(f"{name} (score)", *_cron(one), "removed", ()) for name, one in present.items()]


def _deployment(project: Project, name: str, schedule: ScheduleSpec) -> dict[str, Any]:
    return {
        "name": connections.deployment_name(project, f"score-{name}"),
        "description": f"Scores what `score:` of pipelines/{name}.yaml names",
        "tags": [connections.shared_name(project)],
        "work_pool_name": connections.shared_name(project),
        "path": str(project.root),
        "entrypoint": SCORE_FLOW,
        "pull_steps": None,
        "job_variables": {},
        "parameters": {"name": name},
        "concurrency_limit": 1,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
        "schedules": [{"schedule": {"cron": schedule.cron, "timezone": schedule.timezone, "day_or": True}}],
    }


def _cron(deployment: dict[str, Any]) -> tuple[str, str]:
    for entry in deployment["schedules"]:
        if "cron" in entry["schedule"]:
            return entry["schedule"]["cron"], entry["schedule"]["timezone"] or "UTC"
    return "", "UTC"
