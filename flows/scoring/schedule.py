"""The Prefect schedules of scoring, as `score:` of the pipeline files says."""

from __future__ import annotations

from flows.pipelines.flow_schedules import FlowSchedule
from flows.platform.flow_run import SCORE_FLOW, SCORE_FLOW_NAME

SCHEDULE = FlowSchedule(
    flow=SCORE_FLOW_NAME,
    entrypoint=SCORE_FLOW,
    describe=lambda name: f"Scores what `score:` of pipelines/{name}.yaml names",
    schedule_of=lambda spec: None if spec.score is None else spec.score.schedule,
)
