"""Who answers: a loaded package in a slot, and all slots of a worker at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from types import MappingProxyType

from components.contracts.serving_spec import (
    ROLE_HEADER,
    SLOT_NAMES,
    VERSION_HEADER,
    WORKER_HEADER,
    RolloutPolicy,
    SlotName,
    SlotSpec,
    SlotStatus,
)
from components.core.errors import InferenceError, NotFiniteError, SampleError
from components.tasks.task import Prediction
from serving import metrics
from serving.background import Background
from serving.loaded import Loaded
from serving.request import Found
from serving.request_stats import RequestRecorder


class ModelSlot:
    """A loaded package in a slot: the one object that a request holds from its begin to its end.

    Args:
        threads: where it answers; a challenger has its own, so that one that hangs keeps nobody waiting.
    """

    def __init__(self, role: SlotName, loaded: Loaded, threads: Executor) -> None:
        self.role, self.loaded, self.threads = role, loaded, threads
        self.since = time.time()
        self.record = RequestRecorder()
        self.background = Background()
        model, version, package = loaded.settings.model, loaded.slot.version, loaded.slot.package_digest
        self.about = {"name": model, "version": version, "package": package}
        self.headers = {
            "X-Modelyard-Model": model,
            VERSION_HEADER: version,
            "X-Modelyard-Package": package,
            ROLE_HEADER: role,
            WORKER_HEADER: str(os.getpid()),
        }
        self.labels = (model, version, role)
        self._seconds = metrics.SECONDS.labels(*self.labels)
        self._dropped = metrics.DROPPED.labels(model, version)
        self._predictions = {
            label: metrics.PREDICTIONS.labels(*self.labels, label) for label in loaded.predictor.signature.classes
        }

    def answer(self, found: Found) -> list[Prediction]:
        """Answer one request and count the answer: by label, where answers have one.

        Raises:
            SampleError: an item is not what the task takes.
            InferenceError: the version failed; whoever asked counts it with `fail`.
        """
        begin, processor = time.perf_counter(), time.thread_time()
        predictions = self.loaded.predictor.predict(found.items, found.parameters)
        seconds = time.perf_counter() - begin
        self.record.answer(seconds, time.thread_time() - processor)
        self._seconds.observe(seconds)
        for prediction in predictions:
            counter = self._predictions.get(prediction.get("label", ""))
            (counter or metrics.PREDICTIONS.labels(*self.labels, "")).inc()
        return predictions

    def fail(self, code: str) -> None:
        """Count a request that this version did not answer."""
        self.record.fail(not_finite=code == "not_finite")
        metrics.FAILURES.labels(*self.labels, code).inc()

    def drop(self) -> None:
        """Count a request in the shadow that it did not get."""
        self.record.drop()
        self._dropped.inc()

    def held(self) -> SlotStatus:
        """As it is told."""
        slot = self.loaded.slot
        return SlotStatus(version=slot.version, package_digest=slot.package_digest, state="ready", since=self.since)

    def tell(self, here: bool) -> None:
        """Tell Prometheus that this package is in this slot, or no longer."""
        metrics.HELD.labels(*self.labels, self.about["package"]).set(int(here))


@dataclass(frozen=True)
class Slots:
    """All slots at one moment.

    Args:
        generation, decision: of the spec that was reconciled last.
        challenger_record: kept after the challenger was taken out.
        policy: the challenger's.
        missing: what the order names and is not there, with the reason.
    """

    generation: int = 0
    decision: int = 0
    champion: ModelSlot | None = None
    challenger: ModelSlot | None = None
    previous: ModelSlot | None = None
    staged: ModelSlot | None = None
    challenger_record: RequestRecorder | None = None
    policy: RolloutPolicy | None = None
    missing: Mapping[SlotName, SlotStatus] = field(default_factory=lambda: MappingProxyType({}))

    def seat(self, role: SlotName) -> ModelSlot | None:
        """Who is in a slot."""
        found: ModelSlot | None = getattr(self, role)
        return found

    @property
    def canary_percent(self) -> float:
        """The challenger's share of the requests; 0 for one in the shadow, and without one."""
        return self.policy.canary_percent if self.policy else 0.0

    def held(self, role: SlotName) -> SlotStatus | None:
        """What is told of a slot."""
        seat = self.seat(role)
        return seat.held() if seat else self.missing.get(role)

    def named(self, version: str) -> ModelSlot | None:
        """The slot with a version, named by its number or its package's digest; the staged slot first."""
        everyone = (self.staged, self.champion, self.challenger, self.previous)
        return next((seat for seat in everyone if seat and is_named(seat.loaded.slot, version)), None)

    def all(self) -> list[ModelSlot]:
        """Everyone who is there."""
        return [seat for role in SLOT_NAMES if (seat := self.seat(role))]


def is_named(slot: SlotSpec | SlotStatus, version: str) -> bool:
    """Whether a request for `version`, a number or a digest, means this slot's version."""
    return version in (slot.package_digest, slot.version)


def failure(error: InferenceError | SampleError) -> str:
    """One word for why a version did not answer."""
    if isinstance(error, SampleError):
        return "sample"
    return "not_finite" if isinstance(error, NotFiniteError) else "inference"
