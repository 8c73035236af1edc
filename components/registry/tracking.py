"""Runs: one experiment a pipeline, one run a training, found again by its `train_key`."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contracts.errors import RegistryError
from components.contracts.training_request import Event, Metrics, Started
from components.registry.api import Api, MissingError, TakenError

KEY = "modelyard.train_key"
# Small files of a dataset's folder: how it was sealed, and what the expectations found.
DATA_FILES = tuple(f"{kind}/{name}" for kind in ("validated", "prepared") for name in ("manifest.json", "verdict.json"))


@dataclass(frozen=True)
class Run:
    """An MLflow run."""

    id: str
    experiment: str
    artifact_uri: str
    status: str
    begun_ms: int

    def url(self, server: str) -> str:
        """Its page in the UI."""
        return f"{server}/#/experiments/{self.experiment}/runs/{self.id}"


def experiment(api: Api, name: str) -> str:
    """The id of the experiment of that name; created if it is not there."""
    try:
        return str(api.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"])
    except MissingError:
        pass
    try:
        return str(api.post("experiments/create", {"name": name})["experiment_id"])
    except TakenError:
        return str(api.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"])


def find(api: Api, experiment_id: str, train_key: str) -> Run | None:
    """The run of that training, if there is one; of several (two started at once) the one that began first."""
    asked = {"experiment_ids": [experiment_id], "filter": f"tags.`{KEY}` = '{train_key}'", "max_results": 50}
    runs = [_run(run) for run in api.pages("POST", "runs/search", "runs", asked)]
    return min(runs, key=lambda run: (run.begun_ms, run.id), default=None)


def by_id(api: Api, run_id: str) -> Run:
    """One run.

    Raises:
        MissingError: there is none of that id.
    """
    return _run(api.get("runs/get", run_id=run_id)["run"])


def ensure(api: Api, pipeline: str, train_key: str, tags: Mapping[str, str]) -> Run:
    """The one run of a training: found, or created. A run found is set going again and gets the tags."""
    where = experiment(api, pipeline)
    while True:
        run = find(api, where, train_key) or _created(api, where, pipeline, train_key)
        try:
            if run.status != "FINISHED":
                api.post("runs/update", {"run_id": run.id, "status": "RUNNING"})
            api.post("runs/log-batch", {"run_id": run.id, "tags": _pairs(tags)})
        except RegistryError as error:
            # Found in the moment before the one who created it saw an earlier one and took its own away.
            if "Current state is deleted" not in error.what:
                raise
        else:
            return run


def _created(api: Api, experiment_id: str, pipeline: str, train_key: str) -> Run:
    """A new run, unless somebody else created one at the same time that began earlier."""
    body = {
        "experiment_id": experiment_id,
        "run_name": f"{pipeline}-{train_key[:8]}",
        "start_time": _now(),
        "tags": _pairs({KEY: train_key}),
    }
    created = _run(api.post("runs/create", body)["run"])
    found = find(api, experiment_id, train_key) or created
    if found.id != created.id:
        api.post("runs/delete", {"run_id": created.id})
    return found


def finish(api: Api, run: Run, status: str) -> None:
    """Close a run: FINISHED, FAILED or KILLED."""
    api.post("runs/update", {"run_id": run.id, "status": status, "end_time": _now()})


def log_parameters(api: Api, run: Run, parameters: Mapping[str, Any]) -> None:
    """Flat parameters; nested mappings become dotted names. The same values may be logged again."""
    found = [{"key": key, "value": str(value)[:6000]} for key, value in flat("", parameters)]
    for start in range(0, len(found), 100):
        api.post("runs/log-batch", {"run_id": run.id, "params": found[start : start + 100]})


def log_metrics(api: Api, run: Run, values: Mapping[str, float], step: int, model_id: str | None = None) -> None:
    """Named values at a step; with `model_id` they show on the model's page too."""
    at = _now()
    extra = {"model_id": model_id} if model_id else {}
    metrics = [{"key": key, "value": value, "timestamp": at, "step": step, **extra} for key, value in values.items()]
    api.post("runs/log-batch", {"run_id": run.id, "metrics": metrics})


def log_dataset(api: Api, run: Run, name: str, digest: str, source: Mapping[str, str], profile: str) -> None:
    """The dataset that the run read, by digest; shows on the run's page."""
    dataset = {
        "name": name,
        "digest": digest[:36],
        "source_type": "dvc",
        "source": json.dumps(dict(source), sort_keys=True),
        "profile": profile,
    }
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    api.post("runs/log-inputs", {"run_id": run.id, "datasets": [{"tags": tags, "dataset": dataset}]})


def log_plots(api: Api, run: Run, folder: Path) -> None:
    """All files of a folder, under `plots/`."""
    api.upload_folder(f"{run.artifact_uri}/plots", folder)


def log_data(api: Api, run: Run, dataset: Path) -> None:
    """What the run's data was sealed as and judged to be, under `data/`: it outlives the data in the folder."""
    for name in DATA_FILES:
        api.upload(run.artifact_uri, f"data/{name}", (dataset / name).read_bytes())


def logged_data(api: Api, artifact_uri: str, target: Path) -> bool:
    """Bring what `log_data` left of a run to a folder; returns whether it is there."""
    try:
        for name in DATA_FILES:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(api.download(artifact_uri, f"data/{name}"))
    except RegistryError:
        return False
    return True


class RunSink:
    """A `MetricSink` that hands metrics to a run as they come, a batch a second.

    A registry that does not answer for a while must not stop a training: what could not be sent is kept and sent with
    the next batch; `close` raises if it still cannot be sent.
    """

    def __init__(self, api: Api, run: Run, interval_seconds: float = 1.0) -> None:
        self._api = api
        self._run = run
        self._interval_seconds = interval_seconds
        self._held: list[dict[str, Any]] = []
        self._sent_at = 0.0

    def emit(self, event: Event) -> None:
        """Take metrics; other events become tags."""
        if isinstance(event, Metrics):
            at = _now()
            self._held += [
                {"key": key, "value": value, "timestamp": at, "step": event.step} for key, value in event.values.items()
            ]
            if time.monotonic() - self._sent_at >= self._interval_seconds:
                with contextlib.suppress(RegistryError):  # kept; `close` says it if it stays so
                    self._send()
        elif isinstance(event, Started):
            parameters = event.model_dump(include={"parameters", "device", "precision", "compiled"})
            log_parameters(self._api, self._run, {"network": parameters})

    def close(self) -> None:
        """Send what is held."""
        self._send()

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        while self._held:
            batch = self._held[:900]
            self._api.post("runs/log-batch", {"run_id": self._run.id, "metrics": batch})
            self._held = self._held[len(batch) :]


def _run(document: dict[str, Any]) -> Run:
    info = document["info"]
    return Run(info["run_id"], info["experiment_id"], info["artifact_uri"], info["status"], int(info["start_time"]))


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def flat(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Nested values under dotted names; the prefix is put before each."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += flat(f"{prefix}{key}.", value) if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return found


def _now() -> int:
    return int(time.time() * 1000)
