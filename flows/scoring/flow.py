"""The Prefect flow `score`: what `score:` of a pipeline file says, on its schedule."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import UsageError
from components.core.project import Project
from flows.platform import connections, crashed_runs
from flows.scoring import nightly, scoring


@flow(name="score", flow_run_name="score {name}")
def score(name: str) -> State[Any]:
    """Score the input of a pipeline's `score:`; nothing to do if it and the model are as in the last output."""
    project = Project.find()
    connections.enter(project)
    path = project.pipeline_file(name)
    spec = located_yaml.read(path, PipelineSpec).score
    if spec is None:
        raise UsageError(f"{name} has no score:", where=str(path), next_step=f"`modelyard unschedule {name}`")
    moment = this_flow_run.scheduled_start_time or datetime.now(UTC)
    out = nightly.folder(project, spec, moment)
    before = nightly.last(project, spec, out)
    model = name if spec.alias == "champion" else f"{name}@{spec.alias}"
    with crashed_runs.tracked(project, str(this_flow_run.id)):
        outcome = scoring.run(
            project,
            model,
            spec.inputs,
            out,
            spec.options,
            processes=spec.processes,
            force=False,
            log=get_run_logger().info,
            unless_as=before,
        )
    if outcome.state == "unchanged":
        assert before is not None  # noqa: S101  # it is what the output is as
        shown = before.relative_to(project.root) if before.is_relative_to(project.root) else before
        return Completed(name="Skipped", message=f"skipped: input and model are as in {shown}")
    summary = json.loads((out / "summary.json").read_text())
    verdict = summary["expectations"]
    row = {
        "output": str(out),
        "version": summary["version"],
        "samples": summary["samples"],
        "without an answer": summary["errors"],
        "expectations met": "-" if verdict is None else f"{verdict['met']} of {verdict['judged']}",
        "digest": outcome.digest,
    }
    create_table_artifact(key=f"score-{name}", table=[row], description=f"Scored with {name} {summary['version']}")
    return Completed(message=f"{summary['answered']:,} of {summary['samples']:,} samples answered: {out}")
