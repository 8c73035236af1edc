"""Runs: one experiment a pipeline, one run a training, found again by its `train_fingerprint`."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contracts.training_request import Event, Metrics, Started
from components.core.errors import DiskFullError, ModelyardError, RegistryError
from components.registry.api import Api, MissingError, TakenError

KEY = "modelyard.train_key"
BATCH_VALUES = 900  # MLflow takes 1,000 metrics in a batch
MAX_VALUES = 200_000  # some 40 MB: hours of a training
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


def find(api: Api, experiment_id: str, train_fingerprint: str) -> Run | None:
    """The run of that training, if there is one; of several (two started at once) the one that began first."""
    asked = {"experiment_ids": [experiment_id], "filter": f"tags.`{KEY}` = '{train_fingerprint}'", "max_results": 50}
    runs = [_run(run) for run in api.pages("POST", "runs/search", "runs", asked)]
    return min(runs, key=lambda run: (run.begun_ms, run.id), default=None)


def by_id(api: Api, run_id: str) -> Run:
    """One run.

    Raises:
        MissingError: there is none of that id.
    """
    return _run(api.get("runs/get", run_id=run_id)["run"])


def ensure(api: Api, pipeline: str, train_fingerprint: str, tags: Mapping[str, str]) -> Run:
    """The one run of a training: found, or created. A run found is set going again and gets the tags."""
    where = experiment(api, pipeline)
    while True:
        run = find(api, where, train_fingerprint) or _created(api, where, pipeline, train_fingerprint)
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


def _created(api: Api, experiment_id: str, pipeline: str, train_fingerprint: str) -> Run:
    """A new run, unless somebody else created one at the same time that began earlier."""
    body = {
        "experiment_id": experiment_id,
        "run_name": f"{pipeline}-{train_fingerprint[:8]}",
        "start_time": _now(),
        "tags": _pairs({KEY: train_fingerprint}),
    }
    created = _run(api.post("runs/create", body)["run"])
    found = find(api, experiment_id, train_fingerprint) or created
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
        api.upload_file(run.artifact_uri, f"data/{name}", dataset / name)


def logged_data(api: Api, artifact_uri: str, target: Path) -> bool:
    """Bring what `log_data` left of a run to a folder; returns whether it is there."""
    try:
        for name in DATA_FILES:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            api.download_file(artifact_uri, f"data/{name}", target / name)
    except RegistryError:
        return False
    return True


class RunSink:
    """A `MetricSink` that sends metrics to a run from a thread of its own, a batch a second.

    `emit` never waits for the registry. While the registry does not answer, up to `max_values` values are kept and sent
    once it answers again; what was not sent in the end is counted, and `close` raises.
    """

    def __init__(self, api: Api, run: Run, interval_seconds: float = 1.0, max_values: int = MAX_VALUES) -> None:
        self._api, self._run = api, run
        self._interval_seconds = max(interval_seconds, 0.01)
        self._max_values = max_values
        self._lock = threading.Lock()
        self._values: deque[tuple[str, float, int, int]] = deque()  # key, value, timestamp, step
        self._parameters: list[dict[str, Any]] = []
        self._dropped = 0
        self._failure: Exception | None = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Take metrics, and what a training says of itself when it starts."""
        if isinstance(event, Metrics):
            at = _now()
            with self._lock:
                for key, value in event.values.items():
                    if len(self._values) < self._max_values:
                        self._values.append((key, value, at, event.step))
                    else:
                        self._dropped += 1
        elif isinstance(event, Started):
            with self._lock:
                self._parameters.append(event.model_dump(include={"parameters", "device", "precision", "compiled"}))

    def close(self) -> None:
        """Send what is kept.

        Raises:
            RegistryError: says how many values were not sent, and why.
        """
        self._ends.set()
        self._thread.join()
        unsent = len(self._values) + self._dropped
        if not unsent and self._failure is None:
            return
        failure = self._failure
        why = failure.what if isinstance(failure, ModelyardError) else repr(failure or "the buffer was full")
        raise RegistryError(
            f"{unsent} metric values were not sent to the run: {why}",
            where=f"{self._api.url}, run {self._run.id}",
            got=failure.got if isinstance(failure, ModelyardError) else None,
            next_step="the TensorBoard log in the run's folder has them all",
        ) from failure

    def _work(self) -> None:
        while True:
            last = self._ends.wait(self._interval_seconds)
            try:
                self._send()
                self._failure = None
            except (RegistryError, DiskFullError) as error:  # kept, and sent again
                self._failure = error
                last = last or self._ends.is_set()
            except Exception as error:  # noqa: BLE001  # raised by `close`
                self._failure = error
                return
            if last:
                return

    def _send(self) -> None:
        while self._parameters:
            log_parameters(self._api, self._run, {"network": self._parameters[0]})
            del self._parameters[0]
        while True:
            with self._lock:
                batch = list(itertools.islice(self._values, BATCH_VALUES))
            if not batch:
                return
            names = ("key", "value", "timestamp", "step")
            metrics = [dict(zip(names, value, strict=True)) for value in batch]
            self._api.post("runs/log-batch", {"run_id": self._run.id, "metrics": metrics})
            with self._lock:
                for _ in batch:
                    self._values.popleft()


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
