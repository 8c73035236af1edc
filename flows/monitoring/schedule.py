"""The Prefect schedules of the monitor, as `monitor:` of the pipeline files says."""

from __future__ import annotations

from flows.pipelines.flow_schedules import FlowSchedule
from flows.platform.flow_run import MONITOR_FLOW, MONITOR_FLOW_NAME

SCHEDULE = FlowSchedule(
    flow=MONITOR_FLOW_NAME,
    entrypoint=MONITOR_FLOW,
    describe=lambda name: f"Judges what {name} answered, as `monitor:` of pipelines/{name}.yaml says",
    schedule_of=lambda spec: None if spec.monitor is None else spec.monitor.schedule,
)
