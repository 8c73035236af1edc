"""A comparison in MLflow: an experiment with one parent run and one child run for each model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from components.registry import tracking
from components.registry.api import Api
from components.registry.tracking import Run

KEY = "modelyard.comparison"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"


def parent(api: Api, name: str, key: str) -> Run:
    """Find the run of a comparison by its key, or create it; its status becomes RUNNING.

    Args:
        name: name of the experiment.
        key: fingerprint of the comparison.
    """
    experiment_id = tracking.experiment(api, name)
    request = {"experiment_ids": [experiment_id], "filter": f"tags.`{KEY}` = '{key}'", "max_results": 1}
    run_ids = [str(run["info"]["run_id"]) for run in api.pages("POST", "runs/search", "runs", request)]
    if not run_ids:
        tags = [{"key": KEY, "value": key}]
        body = {"experiment_id": experiment_id, "run_name": name, "start_time": int(time.time() * 1000), "tags": tags}
        run_ids = [str(api.post("runs/create", body)["run"]["info"]["run_id"])]
    api.post("runs/update", {"run_id": run_ids[0], "status": "RUNNING"})
    return tracking.by_id(api, run_ids[0])


def adopt(api: Api, parent: Run, child: Run, name: str) -> None:
    """Make the run of a model a child of the comparison's run, under the model's name."""
    api.post("runs/update", {"run_id": child.id, "run_name": name})
    api.post("runs/log-batch", {"run_id": child.id, "tags": [{"key": PARENT, "value": parent.id}]})


def attach(api: Api, parent: Run, folder: Path, note: str, parameters: Mapping[str, str]) -> None:
    """Upload the files of the report, its text (Markdown, shown on the page of the run) and the parameters."""
    api.upload_folder(parent.artifact_uri, folder)
    tags = [{"key": NOTE, "value": note[:5000]}]
    api.post("runs/log-batch", {"run_id": parent.id, "tags": tags})
    tracking.log_parameters(api, parent, parameters)
