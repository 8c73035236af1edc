"""Runs: one experiment for each pipeline, one run for each training, found by its `train_fingerprint`."""

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
MAX_VALUES = 200_000  # about 40 MB, the values of hours of training
# Small files of a dataset's folder: the manifests and the verdicts.
DATA_FILES = tuple(f"{kind}/{name}" for kind in ("validated", "prepared") for name in ("manifest.json", "verdict.json"))


@dataclass(frozen=True)
class Run:
    """An MLflow run."""

    id: str
    experiment: str
    artifact_uri: str
    status: str
    start_ms: int

    def url(self, server: str) -> str:
        """URL of the run in the UI."""
        return f"{server}/#/experiments/{self.experiment}/runs/{self.id}"


def experiment(api: Api, name: str) -> str:
    """The id of the experiment of that name; the experiment is created if it does not exist."""
    try:
        return str(api.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"])
    except MissingError:
        pass
    try:
        return str(api.post("experiments/create", {"name": name})["experiment_id"])
    except TakenError:
        return str(api.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"])


def find(api: Api, experiment_id: str, train_fingerprint: str) -> Run | None:
    """The run of a training, or None; of several (concurrent starts) the one with the earliest start."""
    request = {"experiment_ids": [experiment_id], "filter": f"tags.`{KEY}` = '{train_fingerprint}'", "max_results": 50}
    runs = [_run(run) for run in api.pages("POST", "runs/search", "runs", request)]
    return min(runs, key=lambda run: (run.start_ms, run.id), default=None)


def by_id(api: Api, run_id: str) -> Run:
    """The run of that id.

    Raises:
        MissingError: there is no such run.
    """
    return _run(api.get("runs/get", run_id=run_id)["run"])


def ensure(api: Api, pipeline: str, train_fingerprint: str, tags: Mapping[str, str]) -> Run:
    """Find or create the run of a training; set its tags, and its status to RUNNING unless it is FINISHED."""
    experiment_id = experiment(api, pipeline)
    while True:
        run = find(api, experiment_id, train_fingerprint) or _create_run(
            api, experiment_id, pipeline, train_fingerprint
        )
        try:
            if run.status != "FINISHED":
                api.post("runs/update", {"run_id": run.id, "status": "RUNNING"})
            api.post("runs/log-batch", {"run_id": run.id, "tags": _key_values(tags)})
        except RegistryError as error:
            # A concurrent process created this run, found an earlier one and deleted its own.
            if "Current state is deleted" not in error.what:
                raise
        else:
            return run


def _create_run(api: Api, experiment_id: str, pipeline: str, train_fingerprint: str) -> Run:
    """Create a run, and delete it again if another process created an earlier one at the same time."""
    body = {
        "experiment_id": experiment_id,
        "run_name": f"{pipeline}-{train_fingerprint[:8]}",
        "start_time": _now(),
        "tags": _key_values({KEY: train_fingerprint}),
    }
    created = _run(api.post("runs/create", body)["run"])
    earliest = find(api, experiment_id, train_fingerprint) or created
    if earliest.id != created.id:
        api.post("runs/delete", {"run_id": created.id})
    return earliest


def finish(api: Api, run: Run, status: str) -> None:
    """Close a run: FINISHED, FAILED or KILLED."""
    api.post("runs/update", {"run_id": run.id, "status": status, "end_time": _now()})


def log_parameters(api: Api, run: Run, parameters: Mapping[str, Any]) -> None:
    """Log parameters; nested mappings become dotted names. Logging the same values again is no error."""
    pairs = [{"key": key, "value": str(value)[:6000]} for key, value in flatten("", parameters)]
    for start in range(0, len(pairs), 100):
        api.post("runs/log-batch", {"run_id": run.id, "params": pairs[start : start + 100]})


def log_metrics(api: Api, run: Run, values: Mapping[str, float], step: int, model_id: str | None = None) -> None:
    """Log values at a step; with `model_id` they are also metrics of the logged model."""
    timestamp = _now()
    model = {"model_id": model_id} if model_id else {}
    metrics = [
        {"key": key, "value": value, "timestamp": timestamp, "step": step, **model} for key, value in values.items()
    ]
    api.post("runs/log-batch", {"run_id": run.id, "metrics": metrics})


def log_dataset(api: Api, run: Run, name: str, digest: str, source: Mapping[str, str], profile: str) -> None:
    """Log the dataset of a run by its digest."""
    dataset = {
        "name": name,
        "digest": digest[:36],
        "source_type": "dvc",
        "source": json.dumps(dict(source), sort_keys=True),
        "profile": profile,
    }
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    body = {"run_id": run.id, "datasets": [{"tags": tags, "dataset": dataset}]}
    try:
        api.post("runs/log-inputs", body)
    except TakenError:  # another run of the experiment has logged the same dataset at this very moment
        api.post("runs/log-inputs", body)


def log_plots(api: Api, run: Run, folder: Path) -> None:
    """Upload all files of a folder to `plots/`."""
    api.upload_folder(f"{run.artifact_uri}/plots", folder)


def log_profile(api: Api, run: Run, folder: Path) -> None:
    """Upload what says where the time of a training goes as artifacts under `profile/`."""
    api.upload_folder(f"{run.artifact_uri}/profile", folder)


def log_data(api: Api, run: Run, dataset: Path) -> None:
    """Upload manifests and verdicts of the run's data to `data/`, so that they outlive the local data."""
    for name in DATA_FILES:
        api.upload_file(run.artifact_uri, f"data/{name}", dataset / name)


def logged_data(api: Api, artifact_uri: str, target: Path) -> bool:
    """Download the files of `log_data` to a folder; False if the run lacks them."""
    try:
        for name in DATA_FILES:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            api.download_file(artifact_uri, f"data/{name}", target / name)
    except RegistryError:
        return False
    return True


class RunSink:
    """A `MetricSink` that sends metrics to a run from a background thread, one batch in each interval.

    `emit` never waits for the registry. While the registry does not answer, up to `max_values` values are buffered and
    sent later; `close` raises if values were not sent.
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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Buffer metrics, and the parameters of a `Started` event."""
        if isinstance(event, Metrics):
            timestamp = _now()
            with self._lock:
                for key, value in event.values.items():
                    if len(self._values) < self._max_values:
                        self._values.append((key, value, timestamp, event.step))
                    else:
                        self._dropped += 1
        elif isinstance(event, Started):
            with self._lock:
                self._parameters.append(event.model_dump(include={"parameters", "device", "precision", "compiled"}))

    def close(self) -> None:
        """Send the buffered values and stop the thread.

        Raises:
            RegistryError: values were not sent; the message has their number and the reason.
        """
        self._stop.set()
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
            last = self._stop.wait(self._interval_seconds)
            try:
                self._send()
                self._failure = None
            except (RegistryError, DiskFullError) as error:  # the values stay in the buffer and are sent again
                self._failure = error
                last = last or self._stop.is_set()
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


def _key_values(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def flatten(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Flatten nested mappings to pairs of dotted name and value; each name begins with the prefix."""
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += flatten(f"{prefix}{key}.", value) if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return pairs


def _now() -> int:
    return int(time.time() * 1000)
