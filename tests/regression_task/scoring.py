"""The scorer: squared errors on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit


class Errors(NamedTuple):
    """Sums: squared error, number of samples."""

    def mse(self, total: Real) -> Real:
        return np.asarray(total[..., 0] / total[..., 1])

    def slices(self, total: Real) -> list[Slice]:
        return []

    def document(self, total: Real) -> dict[str, Any]:
        return {}

    def draw(self, total: Real, folder: Path) -> None:
        pass

    def card_lines(self, total: Real, samples: int) -> CardLines:
        return CardLines([], [])


class RegressionScorer(NamedTuple):
    truth: tuple[str, ...] | None = ("target",)

    def score(self, package: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        summands, not_finite = np.ones((len(frozen), 2)), 0
        for index, batch, outputs in batched_prediction.outputs(package, frozen.split, step):
            finite = batched_prediction.finite(outputs["value"])
            not_finite += int(np.count_nonzero(~finite))
            summands[index, 0] = np.square(outputs["value"] - batch["target"])
        return AdditiveScores(summands, {"mse": Errors().mse}, Errors(), not_finite)


SCORER = RegressionScorer()
