"""A comparison in MLflow: an experiment of its own, one parent run, below it one run a model."""

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
    """The run of a comparison, found by its key or created; set going.

    Args:
        name: of the experiment.
        key: what was compared and how.
    """
    where = tracking.experiment(api, name)
    asked = {"experiment_ids": [where], "filter": f"tags.`{KEY}` = '{key}'", "max_results": 1}
    found = [str(run["info"]["run_id"]) for run in api.pages("POST", "runs/search", "runs", asked)]
    if not found:
        tags = [{"key": KEY, "value": key}]
        body = {"experiment_id": where, "run_name": name, "start_time": int(time.time() * 1000), "tags": tags}
        found = [str(api.post("runs/create", body)["run"]["info"]["run_id"])]
    api.post("runs/update", {"run_id": found[0], "status": "RUNNING"})
    return tracking.by_id(api, found[0])


def adopt(api: Api, parent: Run, child: Run, name: str) -> None:
    """Let a model's run stand below the comparison's, under the model's name."""
    api.post("runs/update", {"run_id": child.id, "run_name": name})
    api.post("runs/log-batch", {"run_id": child.id, "tags": [{"key": PARENT, "value": parent.id}]})


def attach(api: Api, parent: Run, folder: Path, note: str, parameters: Mapping[str, str]) -> None:
    """The report's files, what it says in words (Markdown, shown on the run's page), and what was asked for."""
    api.upload_folder(parent.artifact_uri, folder)
    tags = [{"key": NOTE, "value": note[:5000]}]
    api.post("runs/log-batch", {"run_id": parent.id, "tags": tags})
    tracking.log_parameters(api, parent, parameters)
