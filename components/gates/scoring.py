"""What a package answers on the frozen test split, through the class that answers in its bundle.

Legend: N samples, H height, W width, C channels, K classes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.contracts.errors import CorruptArtifactError, InferenceError, SampleError
from components.contracts.package import Package
from components.contracts.progress import Progress
from components.evaluation.metrics import Labels
from components.inference.predictor import Predictor

BATCH = 256


class FrozenSplit(NamedTuple):
    """A test split: images uint8 (N, H, W, C), true labels (N,) and the names that they number."""

    images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    truth: Labels
    classes: list[str]

    @staticmethod
    def open(prepared: Path, classes: list[str]) -> FrozenSplit:
        """Map the test split of a prepared dataset.

        Raises:
            CorruptArtifactError: it holds no sample.
        """
        images = np.load(prepared / "test" / "images.npy", mmap_mode="r", allow_pickle=False)
        truth = np.load(prepared / "test" / "labels.npy", allow_pickle=False)
        if len(truth) == 0:
            raise CorruptArtifactError("the test split is empty", where=str(prepared / "test"))
        return FrozenSplit(images, truth, classes)


class Scored(NamedTuple):
    """Answers (N,) as numbers of the data's classes; K where the answer is none of them or not finite."""

    answers: Labels
    not_finite: int


class Unfit(NamedTuple):
    """A package that cannot be asked about this data, and why."""

    reason: str


def score(package: Package, split: FrozenSplit, label: str) -> Scored | Unfit:
    """Answer every test image. Classes meet by name, so an order of its own does not help or harm a package."""
    answers = np.full(len(split.truth), len(split.classes), np.int64)
    not_finite = 0
    try:
        predictor = Predictor(package, threads=os.cpu_count() or 1)
        predictor.check(split.images[:1])
        numbers = {name: number for number, name in enumerate(split.classes)}
        named = np.array([numbers.get(name, len(split.classes)) for name in predictor.signature.classes])
        with Progress(f"scoring {label}", len(answers)) as progress:
            for begin in range(0, len(answers), BATCH):
                batch = np.ascontiguousarray(split.images[begin : begin + BATCH])
                probabilities = predictor.probabilities(batch)  # (B, classes of the package)
                finite = np.isfinite(probabilities).all(axis=1)
                not_finite += int(np.count_nonzero(~finite))
                found = named[probabilities.argmax(axis=1)]
                answers[begin : begin + len(batch)][finite] = found[finite]
                progress.advance(len(batch))
    except (SampleError, InferenceError, CorruptArtifactError) as error:
        return Unfit("; ".join(line.strip() for line in error.lines()))
    return Scored(answers, not_finite)
