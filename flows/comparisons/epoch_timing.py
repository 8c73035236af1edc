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

TRIED_SECONDS = 10.0
WARM_SECONDS = 5.0  # of these; until then a network has not yet seen every length of batch
EPOCHS = 100_000  # more than can be tried
VALIDATION_SHARE = 1 / 3  # of what a training sample costs: forwards only

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def seconds_per_epoch(work: RunContext, keys: Fingerprints) -> float:
    """Of the training of these keys, whatever their epochs.

    Raises:
        ModelyardError: the training cannot begin.
    """
    found = known(work, keys)
    if found is None:
        work.log(f"trying for {TRIED_SECONDS:g} s how long an epoch of {work.spec.model.name} takes")
        found = _tried(work, keys)
        atomic.write_text(_kept(work, keys), json.dumps({"seconds_per_epoch": found}))
    return found


def known(work: RunContext, keys: Fingerprints) -> float | None:
    """Seconds an epoch as they were found here before, or None."""
    try:
        return float(json.loads(_kept(work, keys).read_bytes())["seconds_per_epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kept(work: RunContext, keys: Fingerprints) -> Path:
    parts = {name: value for name, value in keys.train.parts.items() if name != "train.epochs"}
    return work.project.state / "pace" / f"{digest.of_value(parts)[:16]}.json"


class _Enough(BaseException):
    """The training tried has shown how fast it is. Not an Exception: nobody on the way may take it for a failure."""


class _Watch:
    """When the epochs of a training ended, and how its batches went within the first, once it was warm."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._steps_per_epoch = 0
        self._ends: list[float] = []
        self._marks: list[tuple[float, int]] = []  # seconds, batches done

    def line(self, line: str) -> None:
        """Take a line of the training.

        Raises:
            _Enough: it was tried for long enough, and the pace is known.
        """
        try:
            event = _EVENT.validate_json(line)
        except ValidationError:
            return
        now = time.monotonic()
        if isinstance(event, Started):
            self._begun, self._steps_per_epoch = now, event.steps_per_epoch
        elif isinstance(event, Metrics) and "validation/loss" in event.values:
            self._ends.append(now)
        elif isinstance(event, TrainingProgress) and not self._ends and now - (self._begun or now) >= WARM_SECONDS:
            self._marks.append((now, event.step))
        known = len(self._ends) > 1 or len(self._marks) > 1
        if self._begun is not None and known and now - self._begun >= TRIED_SECONDS:
            raise _Enough

    def seconds_per_epoch(self, train: int, validation: int) -> float:
        """Without what comes first, which warms up: the first epoch, or the batches of the first seconds.

        Args:
            train, validation: samples of each split.
        """
        if len(self._ends) > 1:
            return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        (first, done), (last, reached) = self._marks[0], self._marks[-1]
        training = (last - first) / (reached - done) * self._steps_per_epoch
        return training * (1 + VALIDATION_SHARE * validation / train)


def _tried(work: RunContext, keys: Fingerprints) -> float:
    root = work.project.root
    prepared = work.project.dataset(work.spec.dataset) / "prepared"
    counts: dict[str, Any] = manifests.load(prepared, "prepared").facts["counts"]
    folder = work.project.state / "staging" / f"pace-{keys.train.digest[:16]}"
    start = pretrained.package(work.api, work.project, work.spec, keys.train)
    request = TrainRequest(
        pipeline=work.spec.name,
        train_fingerprint=keys.train.digest,
        data_digest=keys.data_digest,
        prepared=str(prepared.relative_to(root)),
        run_folder=str(folder.relative_to(root)),
        package="",
        model=work.spec.model,
        train=work.spec.train.model_copy(update={"epochs": EPOCHS, "early_stopping": None}),
        lineage={},
        pretrained_folder=None if start is None else str(start.folder.relative_to(root)),
    )
    watch = _Watch()
    quiet = replace(work, log=lambda _: None)
    try:
        quiet.run(stage_requests.trial(work.project, request, start), watch.line)
    except _Enough:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return watch.seconds_per_epoch(counts["train"], counts["validation"])
