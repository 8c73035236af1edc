"""Schedules of flows beside the pipeline's own: a Prefect deployment for each pipeline file that asks for the flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.contracts.pipeline import PipelineSpec
from components.contracts.schedule_spec import ScheduleSpec
from components.core import located_yaml
from components.core.log import Log
from components.core.project import Project
from flows.pipelines.schedules import ScheduleChange, next_runs
from flows.platform import connections
from flows.platform.lifecycle import Endpoints
from flows.platform.prefect_client import PrefectClient

_PAGE = 200


@dataclass(frozen=True)
class FlowSchedule:
    """The deployments of one flow, whose parameter `name` is the pipeline.

    Args:
        flow: name of the flow.
        entrypoint: of the flow, relative to the project.
        describe: the deployment's description of a pipeline.
        schedule_of: the schedule that a pipeline file asks for, or None.
    """

    flow: str
    entrypoint: str
    describe: Callable[[str], str]
    schedule_of: Callable[[PipelineSpec], ScheduleSpec | None]

    def scheduled(self, project: Project, pipeline: str | None = None) -> dict[str, ScheduleSpec]:
        """The schedules of all pipeline files that ask for the flow, or of one.

        Raises:
            SpecError: a pipeline file is wrong.
        """
        paths = sorted(project.pipelines.glob("*.yaml")) if pipeline is None else [project.pipeline_file(pipeline)]
        specs = [located_yaml.read(path, PipelineSpec) for path in paths if path.is_file()]
        found = {spec.name: self.schedule_of(spec) for spec in specs}
        return {name: schedule for name, schedule in found.items() if schedule is not None}

    def register(
        self, project: Project, endpoints: Endpoints, pipeline: str | None = None, log: Log = lambda _: None
    ) -> tuple[ScheduleChange, ...]:
        """Create or update the deployments of all pipeline files or of one; remove those of files that ask no more.

        Args:
            pipeline: the only pipeline to register; then no deployment is removed.
            log: called when a request to Prefect is repeated.

        Raises:
            SpecError: a pipeline file is wrong; nothing was changed.
            StackError: Prefect rejected the request or did not answer.
        """
        wanted = self.scheduled(project, pipeline)
        changes = []
        with _client(endpoints, log) as prefect:
            present = self._present(project, prefect)
            if wanted:
                flow = prefect.request("POST", "/flows/", {"name": self.flow, "tags": [connections.OWN_NAME]})
            for name, schedule in wanted.items():
                document = {**self._deployment(project, name, schedule), "flow_id": flow["id"]}
                prefect.request("POST", "/deployments/", document)
                before = _cron(present[name]) if name in present else None
                asked = (schedule.cron, schedule.timezone)
                done = "added" if before is None else "kept" if before == asked else "changed"
                changes.append(ScheduleChange(self._label(name), *asked, done, next_runs(*asked)))
            if pipeline is None:
                changes += self._removed(prefect, {name: one for name, one in present.items() if name not in wanted})
        return tuple(changes)

    def remove(
        self, project: Project, endpoints: Endpoints, pipeline: str | None = None, log: Log = lambda _: None
    ) -> tuple[ScheduleChange, ...]:
        """Remove the schedules of all pipelines or of one; the pipeline files stay unchanged.

        Raises:
            StackError: Prefect rejected the request or did not answer.
        """
        with _client(endpoints, log) as prefect:
            present = self._present(project, prefect)
            chosen = {name: one for name, one in present.items() if pipeline in (None, name)}
            return tuple(self._removed(prefect, chosen))

    def _present(self, project: Project, prefect: PrefectClient) -> dict[str, dict[str, Any]]:
        """The project's deployments of the flow by pipeline."""
        found: dict[str, dict[str, Any]] = {}
        query = {
            "deployments": {"tags": {"all_": [connections.shared_name(project)]}},
            "flows": {"name": {"any_": [self.flow]}},
            "limit": _PAGE,
        }
        while True:
            page = prefect.request("POST", "/deployments/filter", {**query, "offset": len(found)})
            found.update({str(one["parameters"]["name"]): one for one in page})
            if len(page) < _PAGE:
                return found

    def _removed(self, prefect: PrefectClient, present: dict[str, dict[str, Any]]) -> list[ScheduleChange]:
        for deployment in present.values():
            prefect.request("DELETE", f"/deployments/{deployment['id']}", missing_is_fine=True)
        return [ScheduleChange(self._label(name), *_cron(one), "removed", ()) for name, one in present.items()]

    def _label(self, name: str) -> str:
        return f"{name} ({self.flow})"

    def _deployment(self, project: Project, name: str, schedule: ScheduleSpec) -> dict[str, Any]:
        return {
            "name": connections.deployment_name(project, f"{self.flow}-{name}"),
            "description": self.describe(name),
            "tags": [connections.shared_name(project)],
            "work_pool_name": connections.shared_name(project),
            "path": str(project.root),
            "entrypoint": self.entrypoint,
            "pull_steps": None,
            "job_variables": {},
            "parameters": {"name": name},
            "concurrency_limit": 1,
            "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
            "schedules": [{"schedule": {"cron": schedule.cron, "timezone": schedule.timezone, "day_or": True}}],
        }


def _client(endpoints: Endpoints, log: Log) -> PrefectClient:
    return PrefectClient(endpoints.prefect_credentials, endpoints.prefect_api, log)


def _cron(deployment: dict[str, Any]) -> tuple[str, str]:
    for entry in deployment["schedules"]:
        if "cron" in entry["schedule"]:
            return entry["schedule"]["cron"], entry["schedule"]["timezone"] or "UTC"
    return "", "UTC"
