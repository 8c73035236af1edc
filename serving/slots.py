"""A loaded package in a slot, and all slots of a worker at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

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
from components.core.strict import Strict
from components.inference.predictor import Arrays, Check, EmbeddedPredictions
from components.tasks.task import Prediction
from serving import metrics
from serving.background import Background
from serving.batcher import Batcher
from serving.exchange import encoded
from serving.input_contract import Judgement
from serving.loaded import LoadedPackage
from serving.request import PredictionRequest
from serving.request_stats import RequestRecorder


class SlotAnswer(NamedTuple):
    """The answer to a request.

    Args:
        predictions: one for each sample.
        samples: their arrays.
        judgement: what they miss, where expectations are enforced.
        embeddings: (N, D), where they were asked for and the package has any.
    """

    predictions: list[Prediction]
    samples: list[Arrays]
    judgement: Judgement | None = None
    embeddings: NDArray[np.float32] | None = None


class ModelSlot:
    """A loaded package in a slot. A request uses the same object from its start to its end.

    Args:
        threads: the pool that runs inference; a challenger has its own, so that a hanging challenger blocks no other.
        count: threads in the pool.

    Attributes:
        is_described: whether the log describes the inputs of its answers now, as far as that is known: only then are
            embeddings of use. The log sets it.
    """

    def __init__(self, role: SlotName, loaded: LoadedPackage, threads: Executor, count: int) -> None:
        self.role, self.loaded, self.threads = role, loaded, threads
        self.is_described = True
        # Parameters of a request hold for all its samples, and a sampled answer for its place among them.
        batches = role != "challenger" and loaded.predictor.endpoint.parameters is None
        size = loaded.settings.batch_size or loaded.settings.max_batch_size
        self.batcher = Batcher(self._compute, threads, count, size) if batches else None
        self.since = time.time()
        self.recorder = RequestRecorder()
        self.background = Background()
        model, version, package = loaded.settings.model, loaded.spec.version, loaded.spec.package_digest
        self.about = {"name": model, "version": version, "package": package}
        self.headers = {
            "X-Modelyard-Model": model,
            VERSION_HEADER: version,
            "X-Modelyard-Package": package,
            ROLE_HEADER: role,
            WORKER_HEADER: str(os.getpid()),
        }
        self.encoded_headers = encoded(self.headers.items())
        self.encoded_about = orjson.dumps(self.about)
        self.labels = (model, version, role)
        self._seconds = metrics.SECONDS.labels(*self.labels)
        self._flagged = metrics.FLAGGED.labels(*self.labels)
        self._dropped = metrics.DROPPED.labels(model, version)
        self._predictions = {
            label: metrics.PREDICTIONS.labels(*self.labels, label) for label in loaded.predictor.signature.classes
        }
        self._unlabelled = None if self._predictions else metrics.PREDICTIONS.labels(*self.labels, "")

    def read(self, request: PredictionRequest) -> list[Arrays]:
        """The arrays of a request's samples.

        Raises:
            SampleError: an item is not what the task takes.
        """
        return self.loaded.predictor.read(request.items)

    def accept(self, request: PredictionRequest) -> tuple[list[Arrays], Judgement | None]:
        """`read`, and hold the samples against the expectations that the bundle enforces.

        Raises:
            SampleError: an item is not what the task takes, or misses an expectation and is refused for it.
        """
        samples, contract = self.read(request), self.loaded.contract
        if contract is None:
            return samples, None
        judgement = contract.judge(self.loaded.predictor, request.items, samples)
        if judgement.missed:
            self._flagged.inc(len({missed.sample for missed in judgement.missed}))
        return samples, judgement

    def answer(self, request: PredictionRequest, check: Check | None = None, *, embeds: bool = False) -> SlotAnswer:
        """Answer one request by itself and count the answer.

        Args:
            check: called before each run of a graph; what it raises ends the work.
            embeds: the answer is to have the embeddings of the samples, where the package has any.

        Raises:
            SampleError: an item is not what the task takes.
            InferenceError: the version failed; the caller counts it with `fail`.
        """
        begin, processor = time.perf_counter(), time.thread_time()
        samples, judgement = self.accept(request)
        predictions, embeddings = self._compute(samples, embeds, request.parameters, check)
        self.count(predictions, time.perf_counter() - begin, time.thread_time() - processor)
        return SlotAnswer(predictions, samples, judgement, embeddings)

    def _compute(
        self, samples: Sequence[Arrays], embeds: bool, parameters: Strict | None = None, check: Check | None = None
    ) -> EmbeddedPredictions:
        """The answers to some samples, with their embeddings if that is asked."""
        predictor = self.loaded.predictor
        if embeds:
            return predictor.answer_and_embed(samples, parameters, check)
        return EmbeddedPredictions(predictor.answer(samples, parameters, check), None)

    def count(self, predictions: list[Prediction], seconds: float, processor_seconds: float | None) -> None:
        """Count an answer: by label, where answers have one.

        Args:
            seconds: from the begin of reading the samples to the end of inference.
            processor_seconds: of a request that was computed alone.
        """
        self.recorder.answer(seconds, processor_seconds)
        self._seconds.observe(seconds)
        for prediction in predictions:
            counter = self._predictions.get(prediction.get("label", "")) or self._unlabelled
            (counter or metrics.PREDICTIONS.labels(*self.labels, "")).inc()

    def fail(self, code: str) -> None:
        """Count a request that this version did not answer."""
        self.recorder.fail(not_finite=code == "not_finite")
        metrics.FAILURES.labels(*self.labels, code).inc()

    def drop(self) -> None:
        """Count a shadow request that was dropped because the challenger was busy."""
        self.recorder.drop()
        self._dropped.inc()

    def status(self) -> SlotStatus:
        """The status of this slot."""
        spec = self.loaded.spec
        return SlotStatus(version=spec.version, package_digest=spec.package_digest, state="ready", since=self.since)

    def publish(self, here: bool) -> None:
        """Set the Prometheus gauge that says whether this package is in this slot."""
        metrics.IN_SLOT.labels(*self.labels, self.about["package"]).set(int(here))


@dataclass(frozen=True)
class Slots:
    """All slots at one moment.

    Args:
        generation, decision: of the spec that was reconciled last.
        challenger_recorder: kept after the challenger was removed.
        policy: the challenger's.
        missing: slots of the spec whose package is not loaded, with the reason.
    """

    generation: int = 0
    decision: int = 0
    champion: ModelSlot | None = None
    challenger: ModelSlot | None = None
    previous: ModelSlot | None = None
    staged: ModelSlot | None = None
    challenger_recorder: RequestRecorder | None = None
    policy: RolloutPolicy | None = None
    missing: Mapping[SlotName, SlotStatus] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, role: SlotName) -> ModelSlot | None:
        """The occupant of a slot."""
        slot: ModelSlot | None = getattr(self, role)
        return slot

    @property
    def canary_percent(self) -> float:
        """The challenger's share of the requests; 0 for a shadow, and without a challenger."""
        return self.policy.canary_percent if self.policy else 0.0

    def status(self, role: SlotName) -> SlotStatus | None:
        """The status of a slot: of its occupant, or why it is empty."""
        slot = self.get(role)
        return slot.status() if slot else self.missing.get(role)

    def named(self, version: str) -> ModelSlot | None:
        """The slot with a version, named by its number or its package's digest; the staged slot first."""
        candidates = (self.staged, self.champion, self.challenger, self.previous)
        return next((slot for slot in candidates if slot and is_named(slot.loaded.spec, version)), None)

    def all(self) -> list[ModelSlot]:
        """The occupied slots."""
        return [slot for role in SLOT_NAMES if (slot := self.get(role))]


def is_named(slot: SlotSpec | SlotStatus, version: str) -> bool:
    """Whether a request for `version`, a number or a digest, means this slot's version."""
    return version in (slot.package_digest, slot.version)


def failure(error: InferenceError | SampleError) -> str:
    """The code of a failure, for metrics and responses."""
    if isinstance(error, SampleError):
        return "sample"
    return "not_finite" if isinstance(error, NotFiniteError) else "inference"
