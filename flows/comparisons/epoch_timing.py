"""How long an epoch of a training takes on this machine: tried for a few seconds, then remembered.

A budget in seconds becomes a number of epochs this way: the learning rate's schedule then ends where the training does,
and the same epochs can be trained again, by anyone, to the same weights.
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
WARM_UP_SECONDS = 5.0  # of these; until then a network has not yet seen every length of batch
TRIAL_EPOCHS = 100_000  # more than can be tried
VALIDATION_COST_RATIO = 1 / 3  # of what a training sample costs: forwards only

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def seconds_per_epoch(context: RunContext, fingerprints: Fingerprints) -> float:
    """Of the training of these keys, whatever their epochs.

    Raises:
        ModelyardError: the training cannot begin.
    """
    seconds = recorded(context, fingerprints)
    if seconds is None:
        context.log(f"trying for {TRIAL_SECONDS:g} s how long an epoch of {context.spec.model.name} takes")
        seconds = _measure(context, fingerprints)
        atomic.write_text(_record_file(context, fingerprints), json.dumps({"seconds_per_epoch": seconds}))
    return seconds


def recorded(context: RunContext, fingerprints: Fingerprints) -> float | None:
    """Seconds an epoch as they were found here before, or None."""
    try:
        return float(json.loads(_record_file(context, fingerprints).read_bytes())["seconds_per_epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record_file(context: RunContext, fingerprints: Fingerprints) -> Path:
    inputs = {name: value for name, value in fingerprints.train.inputs.items() if name != "train.epochs"}
    return context.project.state / "pace" / f"{digest.of_value(inputs)[:16]}.json"


class _MeasurementDone(BaseException):
    """The training tried has shown how fast it is. Not an Exception: nobody on the way may take it for a failure."""


class _EpochTimer:
    """When the epochs of a training ended, and how its batches went within the first, once it was warm."""

    def __init__(self) -> None:
        self._started_at: float | None = None
        self._steps_per_epoch = 0
        self._epoch_ends: list[float] = []
        self._progress: list[tuple[float, int]] = []  # seconds, batches done

    def take_line(self, line: str) -> None:
        """Take a line of the training.

        Raises:
            _MeasurementDone: it was tried for long enough, and the pace is known.
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
            and now - (self._started_at or now) >= WARM_UP_SECONDS
        ):
            self._progress.append((now, event.step))
        is_measurable = len(self._epoch_ends) > 1 or len(self._progress) > 1
        if self._started_at is not None and is_measurable and now - self._started_at >= TRIAL_SECONDS:
            raise _MeasurementDone

    def seconds_per_epoch(self, train: int, validation: int) -> float:
        """Without what comes first, which warms up: the first epoch, or the batches of the first seconds.

        Args:
            train, validation: samples of each split.
        """
        if len(self._epoch_ends) > 1:
            return (self._epoch_ends[-1] - self._epoch_ends[0]) / (len(self._epoch_ends) - 1)
        (first, done), (last, reached) = self._progress[0], self._progress[-1]
        training = (last - first) / (reached - done) * self._steps_per_epoch
        return training * (1 + VALIDATION_COST_RATIO * validation / train)


def _measure(context: RunContext, fingerprints: Fingerprints) -> float:
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
    timer = _EpochTimer()
    silent_context = replace(context, log=lambda _: None)
    try:
        silent_context.run(stage_requests.trial(context.project, request, start), timer.take_line)
    except _MeasurementDone:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return timer.seconds_per_epoch(counts["train"], counts["validation"])
