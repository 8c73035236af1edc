"""Seconds per epoch of a training on this machine: measured in a trial of a few seconds, then cached.

The measurement turns a budget in seconds into a number of epochs, so the learning rate schedule ends with the training
and the training can be reproduced.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from components.contracts.training_request import Event, Metrics, Started, TrainingProgress, TrainRequest
from components.core import atomic
from components.identity import digest
from components.identity import manifest as manifests
from flows.pipelines import pretrained, stage_requests
from flows.pipelines.fingerprints import Fingerprints
from flows.pipelines.stages import RunContext

TRIAL_SECONDS = 10.0
WARM_UP_SHARE = 0.5  # of the trial; until then a network has not yet seen every length of batch
TRIAL_EPOCHS = 100_000  # more than a trial completes
VALIDATION_COST_RATIO = 1 / 3  # cost of a validation sample, forward only, relative to a training sample

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def seconds_per_epoch(context: RunContext, fingerprints: Fingerprints, trial_seconds: float = TRIAL_SECONDS) -> float:
    """Seconds per epoch of a training; measured if no measurement is cached. The number of epochs does not matter.

    Args:
        trial_seconds: the least duration of a measurement.

    Raises:
        ModelyardError: the trial could not start.
    """
    seconds = recorded(context, fingerprints)
    if seconds is None:
        context.log(f"measuring for {trial_seconds:g} s how long an epoch of {context.spec.model.name} takes")
        seconds = _measure(context, fingerprints, trial_seconds)
        atomic.write_text(_record_file(context, fingerprints), json.dumps({"seconds_per_epoch": seconds}))
    return seconds


def recorded(context: RunContext, fingerprints: Fingerprints) -> float | None:
    """The cached seconds per epoch; None if there is no measurement."""
    try:
        return float(json.loads(_record_file(context, fingerprints).read_bytes())["seconds_per_epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record_file(context: RunContext, fingerprints: Fingerprints) -> Path:
    inputs = {name: value for name, value in fingerprints.train.inputs.items() if name != "train.epochs"}
    return context.project.state / "pace" / f"{digest.of_value(inputs)[:16]}.json"


class _MeasurementDone(BaseException):
    """The trial has run long enough. Not an Exception, so that no `except Exception` on the way catches it."""


class _EpochTimer:
    """Records when epochs end and, after the warm-up, the progress of batches within the first epoch."""

    def __init__(self, trial_seconds: float = TRIAL_SECONDS) -> None:
        self._trial_seconds = trial_seconds
        self._started_at: float | None = None
        self._steps_per_epoch = 0
        self._epoch_ends: list[float] = []
        self._progress: list[tuple[float, int]] = []  # seconds, batches done

    def take_line(self, line: str) -> None:
        """Record one line of the training's output.

        Raises:
            _MeasurementDone: the trial has lasted long enough and can be evaluated.
        """
        try:
            event = _EVENT.validate_json(line)
        except ValidationError:
            return
        now = time.monotonic()
        if isinstance(event, Started):
            self._started_at, self._steps_per_epoch = now, event.steps_per_epoch
        elif isinstance(event, Metrics) and "validation/loss" in event.values:
            self._epoch_ends.append(now)
        elif (
            isinstance(event, TrainingProgress)
            and not self._epoch_ends
            and now - (self._started_at or now) >= WARM_UP_SHARE * self._trial_seconds
        ):
            self._progress.append((now, event.step))
        is_measurable = len(self._epoch_ends) > 1 or len(self._progress) > 1
        if self._started_at is not None and is_measurable and now - self._started_at >= self._trial_seconds:
            raise _MeasurementDone

    def seconds_per_epoch(self, train: int, validation: int) -> float:
        """Seconds per epoch without the warm-up: the first epoch, or the batches of the first seconds.

        Args:
            train, validation: number of samples of each split.
        """
        if len(self._epoch_ends) > 1:
            return (self._epoch_ends[-1] - self._epoch_ends[0]) / (len(self._epoch_ends) - 1)
        (first_time, first_step), (last_time, last_step) = self._progress[0], self._progress[-1]
        training_seconds = (last_time - first_time) / (last_step - first_step) * self._steps_per_epoch
        return training_seconds * (1 + VALIDATION_COST_RATIO * validation / train)


def _measure(context: RunContext, fingerprints: Fingerprints, trial_seconds: float) -> float:
    root = context.project.root
    prepared = context.project.dataset(context.spec.dataset) / "prepared"
    counts: dict[str, Any] = manifests.load(prepared, "prepared").facts["counts"]
    folder = context.project.state / "staging" / f"pace-{fingerprints.train.digest[:16]}"
    start = pretrained.package(context.api, context.project, context.spec, fingerprints.train)
    request = TrainRequest(
        pipeline=context.spec.name,
        train_fingerprint=fingerprints.train.digest,
        data_digest=fingerprints.data_digest,
        prepared=str(prepared.relative_to(root)),
        run_folder=str(folder.relative_to(root)),
        package="",
        model=context.spec.model,
        train=context.spec.train.model_copy(update={"epochs": TRIAL_EPOCHS, "early_stopping": None}),
        lineage={},
        pretrained_folder=None if start is None else str(start.folder.relative_to(root)),
    )
    timer = _EpochTimer(trial_seconds)
    silent_context = replace(context, log=lambda _: None)
    try:
        silent_context.run(stage_requests.trial(context.project, request, start), timer.take_line)
    except _MeasurementDone:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    learnt = min(context.spec.train.samples or counts["train"], counts["train"])
    return timer.seconds_per_epoch(learnt, counts["validation"])
