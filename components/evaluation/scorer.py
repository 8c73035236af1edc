"""Protocols of an evaluation: a `Scorer` runs a package on the frozen test split; the result is a `Scored`.

    package ─┐
             ├─► Scorer.score ─► Scored ─► figures, slices, resampled figures, tables, plots, lines for the model card
    split  ──┘

The evaluation stage and the gates both score with `Predictor`, the class that predicts in the bundle. A task names its
scorer, `package.module:NAME`. Legend: N samples, R resamples.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from components.core.errors import NotFoundError
from components.core.strict import Strict
from components.evaluation.test_split import FrozenSplit
from components.identity.answer_facts import DecisionFacts
from components.identity.package import Signature
from components.tasks.task import Prediction, Processor, Task

Arrays = dict[str, NDArray[Any]]
Real = NDArray[np.float64]
ReportSamples = Callable[[int], None]  # called with the number of samples that were just scored


class PackagePredictor(Protocol):
    """A package that predicts, such as `components.inference.predictor.Predictor`."""

    signature: Signature
    processor: Processor

    def outputs(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """A graph's outputs by name, finite or not."""

    def run(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """A graph's outputs by name; raises NotFiniteError for NaN and infinity."""

    def answer(self, samples: Sequence[Arrays], parameters: Strict | None = None) -> list[Prediction]:
        """One prediction for each sample, in order."""


def temperature_of(predictor: PackagePredictor) -> float:
    """By which the graph of a classifier divides its logits: 1 without calibration."""
    package = getattr(predictor, "package", None)
    facts = None if package is None else package.facts.calibration
    return 1.0 if facts is None else float(facts.temperature)


def decision_of(predictor: PackagePredictor) -> DecisionFacts | None:
    """The decision of a package; None: its likeliest class, or the thresholds of its processor."""
    package = getattr(predictor, "package", None)
    return None if package is None else package.facts.decision


class Slice(NamedTuple):
    """A part of the split: its number of samples, and its figures."""

    name: str
    samples: int
    figures: dict[str, float]


class CardLines(NamedTuple):
    """Markdown for the model card: lines below the table of figures, and limits of the figures."""

    results: list[str]
    limits: list[str]


class Scored(Protocol):
    """Scores of a package on a split.

    Args:
        samples: N, number of samples of a resample.
        not_finite: number of samples with NaN or infinity in the prediction; they count as wrong.
        overlap: number of neighbouring samples, itself included, that a sample shares data with (1: independent).
    """

    samples: int
    not_finite: int
    overlap: int

    def figures(self) -> dict[str, float]:
        """All metrics by name, including the task's metrics."""

    def slices(self) -> list[Slice]:
        """Parts of the split; [] for a task without slices."""

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) of samples with weights (R, N); weights of 1 give the figure itself.

        Raises:
            KeyError: no such metric.
        """

    def concatenate(self, other: Self) -> Self:
        """These samples, then another model's on the same split, as 2N samples of one model."""

    def differs(self, other: Self) -> NDArray[np.bool_]:
        """Samples (N,) on which another model on the same split has other scores."""

    def document(self) -> dict[str, Any]:
        """Tables for metrics.json, beside `overall`."""

    def draw(self, folder: Path) -> None:
        """PNG files."""

    def card_lines(self) -> CardLines:
        """Lines for the model card."""


class Scorer(Protocol):
    """Scores packages of a task."""

    @property
    def truth(self) -> tuple[str, ...] | None:
        """Arrays that keep the data's values for a package with another processor (another tokenizer, another scaler);
        all others are encoded by the package's processor. None: figures of such packages are not comparable."""

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> Scored:
        """Score all samples of the test split.

        Raises:
            InferenceError: a graph failed.
        """


def load_scorer(task: Task) -> Scorer:
    """The scorer that a task names.

    Raises:
        NotFoundError: the scorer cannot be imported.
    """
    module, _, name = task.scorer.partition(":")
    try:
        return cast(Scorer, getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise NotFoundError("the task's scorer cannot be imported", where=task.scorer, got=error) from error


def expected_samples(task_scorer: Scorer, frozen: FrozenSplit) -> int:
    """Number of samples that a scorer uses: all, or its `max_samples`, if a sample needs many runs of the graph."""
    max_samples: int | None = getattr(task_scorer, "max_samples", None)
    return len(frozen) if max_samples is None else min(max_samples, len(frozen))
