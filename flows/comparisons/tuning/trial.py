"""One trial: its training through the stage runner, the figure of each epoch to record and pruner, what came of it.

The outcome depends on the settings and on what the trial knows of others (`TrialView`) alone: figures known already,
of a finished training or of a checkpoint, are reported like new ones, and may end the trial just as these.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from components.contracts.training_request import Event, Metrics, Started, TrainingFigures
from components.core.errors import DiskFullError, Interrupted, ModelyardError, StageKilled
from components.core.project import Project
from components.identity.package import Package
from components.registry import tracking
from components.registry.api import Api
from components.registry.tracking import Run, RunSink
from components.tasks.task import ValidationMetric
from components.tuning.record import StudyRecord, Told
from components.tuning.view import TrialView
from flows.comparisons.tuning import variants
from flows.comparisons.tuning.variants import Variant
from flows.pipelines import pretrained, stage_placement, stage_requests
from flows.pipelines.stages import RunContext
from flows.runners.stage_runner import LineSink

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
GRACE_SECONDS = 60.0
ATTEMPTS = 3  # of a training that is killed, as by a kernel without memory left
FINISHES = "finishes"  # the fact of a trial that a person asked for: the trial that it takes to the end


class _Pruned(BaseException):
    """The trial ends early. Not an Exception, so that no `except Exception` on the way catches it."""


class Stopped(BaseException):
    """The search stops; the checkpoint is written, and the trial goes on at the next call."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a search share.

    Args:
        metric: figure of the validation split.
        objectives: names of `TuneSpec.objectives`.
        cores: of each trial.
        stopping: set when the search stops.
        new_run: makes the MLflow run of a trial.
    """

    project: Project
    api: Api
    record: StudyRecord
    metric: ValidationMetric
    objectives: tuple[str, ...]
    cores: int
    stopping: threading.Event
    new_run: Callable[[Variant, int], Run]


class _Epochs:
    """Takes the figures of epochs, each once and in their order."""

    def __init__(self, setting: Setting, view: TrialView, number: int, last: int) -> None:
        self._setting, self._view, self._number, self._last = setting, view, number, last
        self._known = dict(setting.record.trials()[number].intermediate_values)
        self._seen = 0
        # The recipe is what all else is compared with, and is trained to its end.
        self._is_pruned = number > 0 and FINISHES not in setting.record.trials()[number].user_attrs

    def take(self, epoch: int, value: float) -> None:
        """Take the figure of an epoch, unless it was taken before.

        Raises:
            _Pruned: the trial ends here.
        """
        if epoch <= self._seen:
            return
        self._seen = epoch
        if epoch not in self._known:
            self._setting.record.report(self._number, epoch, value)
        if epoch < self._last and self._view.ends_early(epoch, value) and self._is_pruned:
            raise _Pruned

    def take_known(self) -> None:
        """Take what the record has of an earlier call, as far as it goes without a gap."""
        while (value := self._known.get(self._seen + 1)) is not None:
            self.take(self._seen + 1, value)

    def take_history(self, history: list[dict[str, float]]) -> None:
        """Take the rows of a training's history."""
        for row in history:
            self.take(round(row["epoch"]), row[f"validation/{self._setting.metric.name}"])


def run(setting: Setting, variant: Variant, view: TrialView, number: int) -> Told:
    """Run a trial to its end.

    Args:
        view: that proposed it, or took what it tries.

    Raises:
        Stopped: the search stops.
    """
    folder, fingerprint = variant.run_folder(setting.project), variant.fingerprint.digest
    epochs = _Epochs(setting, view, number, variant.spec.train.epochs)
    begin = time.monotonic()
    facts: dict[str, Any] = {"fingerprint": fingerprint}
    mlflow_run = setting.new_run(variant, number)
    figures = variants.figures(folder, fingerprint)
    try:
        if figures is not None:
            facts["trained_before"] = True
            epochs.take_history(figures.history)
        else:
            epochs.take_known()
            _train_through_kills(setting, variant, epochs, mlflow_run)
            figures = variants.figures(folder, fingerprint)
    except _Pruned:
        facts["seconds"] = round(time.monotonic() - begin, 2)
        tracking.finish(setting.api, mlflow_run, "FINISHED")
        return Told("pruned", facts=facts, system=view.system())
    except (Stopped, Interrupted):  # a machine that shuts down interrupts each of its processes
        tracking.finish(setting.api, mlflow_run, "KILLED")
        raise Stopped from None
    except DiskFullError:  # no fault of the trial, which goes on once there is space
        tracking.finish(setting.api, mlflow_run, "KILLED")
        raise
    except ModelyardError as error:
        facts["reason"] = "; ".join(line.strip() for line in error.lines())[:1000]
        tracking.finish(setting.api, mlflow_run, "FAILED")
        return Told("failed", facts=facts, system=view.system())
    if figures is None:
        facts["reason"] = "the training left no figures"
        tracking.finish(setting.api, mlflow_run, "FAILED")
        return Told("failed", facts=facts, system=view.system())
    values = objective_values(setting.metric, setting.objectives, figures)
    facts |= {
        "seconds": round(figures.seconds, 2),
        "parameters": figures.parameters,
        "loss": figures.history[figures.kept_epoch - 1]["validation/loss"],
        "kept_epoch": figures.kept_epoch,
        "epochs": len(figures.history),
    }
    logged = {f"tune/{name}": value for name, value in zip(setting.objectives, values, strict=True)}
    tracking.log_metrics(setting.api, mlflow_run, logged, step=0)
    tracking.finish(setting.api, mlflow_run, "FINISHED")
    return Told("complete", values, facts, view.system())


def objective_values(
    metric: ValidationMetric, objectives: tuple[str, ...], figures: TrainingFigures
) -> tuple[float, ...]:
    """The objectives of a finished training; of the metric, that of the epoch whose weights are kept."""
    kept = figures.history[figures.kept_epoch - 1]
    known: Mapping[str, float] = {
        "metric": kept[f"validation/{metric.name}"],
        "parameters": float(figures.parameters),
        "seconds": figures.seconds,
        "megabytes": figures.parameters * 4 / 1e6,
    }
    return tuple(known[name] for name in objectives)


def _train_through_kills(setting: Setting, variant: Variant, epochs: _Epochs, mlflow_run: Run) -> None:
    """Train; a process that is killed is started again a few times, from its checkpoint."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _train(setting, variant, epochs, mlflow_run)
        except StageKilled:
            if attempt == ATTEMPTS:
                raise


def _train(setting: Setting, variant: Variant, epochs: _Epochs, mlflow_run: Run) -> None:
    """Train, or resume from the checkpoint; figures go to MLflow and to `epochs`."""
    context = RunContext(setting.project, variant.spec, setting.api, _silent)
    start = pretrained.package(setting.api, setting.project, variant.spec, variant.fingerprint)
    sink = RunSink(setting.api, mlflow_run)
    try:
        train(context, variant, start, setting, lambda event: _on_event(event, sink, epochs, setting))
    finally:
        sink.close()


def train(
    context: RunContext,
    variant: Variant,
    start: Package | None,
    setting: Setting,
    take: Callable[[Event], None],
) -> None:
    """Run the training's stage; `take` gets each of its events, and stops it by raising."""

    def on_event(line: str) -> None:
        if setting.stopping.is_set():
            raise Stopped
        try:
            event = _EVENT.validate_json(line)
        except ValidationError:
            return
        take(event)

    request = stage_requests.trial_training(
        setting.project,
        variant.spec,
        variant.fingerprint.digest,
        variant.data_digest,
        variant.prepared,
        start,
        cores=stage_placement.cores(setting.project, variant.spec) or setting.cores,
        is_remote="train" in stage_placement.remote_stages(setting.project, variant.spec),
    )
    sink: LineSink = on_event
    replace(context, log=_silent).run(request, sink, GRACE_SECONDS)


def _on_event(event: Event, sink: RunSink, epochs: _Epochs, setting: Setting) -> None:
    sink.emit(event)
    if isinstance(event, Started):
        epochs.take_history(event.history)
    elif isinstance(event, Metrics) and f"validation/{setting.metric.name}" in event.values:
        epochs.take(event.epoch, event.values[f"validation/{setting.metric.name}"])


def _silent(_: str) -> None:
    """What a training says is in its run folder and in MLflow; several at once would only mix their lines."""
