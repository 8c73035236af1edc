"""A `MetricSink` that writes a run of Weights & Biases. The library is imported here and nowhere else, when it is used.

The run's id is the training's fingerprint, so a resumed training goes on in its run.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.contracts.metric_sink import MetricSink
from components.contracts.track_spec import WandbSpec
from components.contracts.training_request import Event, Finished, Metrics, TrainRequest
from components.core.errors import UsageError
from components.training.messages import log

STEP = "step"
_ID_LENGTH = 32


class WandbLog:
    """Metrics, by the step of the training, and the outcome as the run's summary.

    A failure of Weights & Biases (no network, no key) is logged once and ends the tracking, not the training.

    Args:
        folder: of the run; files are in `wandb/` below it.
        config: settings of the run, nested.
    """

    def __init__(self, spec: WandbSpec, request: TrainRequest, folder: Path, config: Mapping[str, Any]) -> None:
        self._run: Any = None
        self._attempt(lambda: self._start(spec, request, folder, config))

    def emit(self, event: Event) -> None:
        """Log the values of a `Metrics` event; the facts of `Finished` are the run's summary."""
        if self._run is None:
            return
        if isinstance(event, Metrics):
            values = {STEP: event.step, "epoch": event.epoch, **event.values}
            self._attempt(lambda: self._run.log(values))
        elif isinstance(event, Finished):
            summary = event.model_dump(mode="json", exclude={"event"})
            self._attempt(lambda: self._run.summary.update(summary))

    def close(self) -> None:
        """Finish the run: all of it is on disk, or sent."""
        if self._run is not None:
            run, self._run = self._run, None
            self._attempt(run.finish)

    def _start(self, spec: WandbSpec, request: TrainRequest, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=spec.project or os.environ.get("WANDB_PROJECT") or request.pipeline,
            entity=spec.entity,
            id=request.train_fingerprint[:_ID_LENGTH],
            name=f"{request.pipeline} {request.train_fingerprint[:12]}",
            resume="allow",
            mode=spec.mode or os.environ.get("WANDB_MODE") or "offline",
            dir=str(folder),
            config=dict(config),
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # whatever the library raises: a sink must not end the training
            self._run = None
            log(f"Weights & Biases failed, the training goes on without it: {type(error).__name__}: {error}")


def wandb_sinks(request: TrainRequest, folder: Path) -> list[MetricSink]:
    """The sink that a request asks for, or none.

    Raises:
        UsageError: the library is not installed.
    """
    spec = None if request.track is None else request.track.wandb
    if spec is None:
        return []
    if importlib.util.find_spec("wandb") is None:
        raise UsageError(
            "Weights & Biases is not installed",
            where="track.wandb",
            got="no package wandb",
            expected="the package wandb in this environment",
            next_step="pip install 'modelyard[wandb]', or leave out track.wandb",
        )
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read on import: no crash reports to the vendor
    config = {
        "model": request.model.model_dump(mode="json"),
        "train": request.train.model_dump(mode="json"),
        "data_digest": request.data_digest,
        "train_fingerprint": request.train_fingerprint,
        **request.lineage,
    }
    return [WandbLog(spec, request, folder, config)]
