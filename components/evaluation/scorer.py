"""What an evaluation is: a `Scorer` asks a package about the frozen test split, and what comes of it is a `Scored`.

    package ─┐
             ├─► Scorer.score ─► Scored ─► figures, slices, resampled figures, tables, pictures, lines for the card
    split  ──┘

The evaluation stage and the gates both score here, through the class that answers in the bundle. A task names its
scorer as `package.module:NAME`. Legend: N samples, R resamples.
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
from components.identity.package import Signature
from components.tasks.task import Prediction, Processor, Task

Arrays = dict[str, NDArray[Any]]
Real = NDArray[np.float64]
ReportSamples = Callable[[int], None]  # told how many samples were just answered


class AnsweringPackage(Protocol):
    """A package that answers; `components.inference.predictor.Predictor` is one."""

    signature: Signature
    processor: Processor

    def outputs(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """A graph's outputs by name, finite or not."""

    def run(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """A graph's outputs by name; NotFiniteError where one is not."""

    def answer(self, samples: Sequence[Arrays], parameters: Strict | None = None) -> list[Prediction]:
        """One prediction a sample, in order."""


class Slice(NamedTuple):
    """A part of the split, looked at by itself: its samples, and those figures that it has by itself."""

    name: str
    samples: int
    figures: dict[str, float]


class CardLines(NamedTuple):
    """Markdown for the model card: what stands below the table of figures, and what the figures do not say."""

    results: list[str]
    limits: list[str]


class Scored(Protocol):
    """What a package is worth on a split.

    Args:
        samples: N, what a resample draws from.
        not_finite: samples that were answered with NaN or infinity; they count as wrong.
        overlap: a sample has something in common with so many of its neighbours, itself included (1: with none).
    """

    samples: int
    not_finite: int
    overlap: int

    def figures(self) -> dict[str, float]:
        """Every metric by name; the task's metrics are among them."""

    def slices(self) -> list[Slice]:
        """Parts of the split; [] where there are none."""

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) where samples count so often: weights (R, N). Where all are 1 it is the figure.

        Raises:
            KeyError: no such metric.
        """

    def beside(self, other: Self) -> Self:
        """This one's samples, then another's on the same split, as if all 2N were answered by one model."""

    def differs(self, other: Self) -> NDArray[np.bool_]:
        """Samples (N,) that another model on the same split did otherwise on."""

    def document(self) -> dict[str, Any]:
        """Tables for metrics.json, beside `overall`."""

    def draw(self, folder: Path) -> None:
        """PNG files."""

    def card_lines(self) -> CardLines:
        """For people."""


class Scorer(Protocol):
    """Scores packages of a task."""

    @property
    def truth(self) -> tuple[str, ...] | None:
        """Arrays that stay the data's for a package that reads samples otherwise (another tokenizer, another scaler);
        all others are made anew, so that tags stand beside its tokens. None: its figures would not compare."""

    def score(self, asked: AnsweringPackage, frozen: FrozenSplit, step: ReportSamples) -> Scored:
        """Ask for every sample of the test split.

        Raises:
            InferenceError: a graph failed.
        """


def of(task: Task) -> Scorer:
    """The scorer that a task names.

    Raises:
        NotFoundError: it cannot be imported.
    """
    module, _, name = task.scorer.partition(":")
    try:
        return cast(Scorer, getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise NotFoundError("the task's scorer cannot be imported", where=task.scorer, got=error) from error


def expected_samples(found: Scorer, frozen: FrozenSplit) -> int:
    """How many samples it will ask for: all, or its `most` where it says so (each may cost many runs of the graph)."""
    most: int | None = getattr(found, "most", None)
    return len(frozen) if most is None else min(most, len(frozen))
