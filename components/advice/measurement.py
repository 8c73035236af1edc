"""The figure of each experiment on the validation split, and how much of its uncertainty it shares with the others.

All experiments are measured on the same samples, so what is hard for one is hard for the others: most of the sampling
error is common to a whole curve and does not disturb its form. The common part is the correlation of the figures over
resamples of the split (the same resamples for all experiments).

Legend: E experiments, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.comparison.quality import resample_counts
from components.comparison.scored_model import ScoredModel
from components.contracts.advice import Experiment, ReportRequest
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import Package, PackageFacts

RESAMPLES = 300
Z_95 = 1.959964


class Figure(ScoredModel):
    """The figure of a trained model.

    Args:
        resampled: the metric over the resamples, (R,).
    """

    resampled: list[float]

    @classmethod
    def _more(cls, scored: Scored, metric: str) -> dict[str, Any]:
        return {"resampled": [float(value) for value in _resampled(scored, metric)]}


class Measured(NamedTuple):
    """The trained parts of an experiment, opened as a package, and their figure."""

    experiment: Experiment
    package: Package
    figure: Figure


def measure(request: ReportRequest, frozen: FrozenSplit, metric: str) -> list[Measured]:
    """Score every experiment that is not scored yet.

    Raises:
        NotFoundError, CorruptArtifactError: trained parts are missing or damaged.
        NotFiniteError, InferenceError: a model cannot predict.
    """
    measured = []
    for experiment in request.experiments:
        package = _opened(experiment, frozen, request)
        figure = Figure.once(request.known, request.scoring, experiment.name, package, frozen, metric)
        measured.append(Measured(experiment, package, figure))
    return measured


def _opened(experiment: Experiment, frozen: FrozenSplit, request: ReportRequest) -> Package:
    folder = Path(experiment.trained)
    sealed = manifest.verify(folder, "trained")
    facts = PackageFacts(
        pipeline=request.pipeline,
        task=frozen.task.name,
        train_fingerprint=str(sealed.facts["train_fingerprint"]),
        data_digest=request.data_digest,
        lineage={},
    )
    return Package(folder, sealed.model_copy(update={"facts": facts.model_dump(mode="json")}))


def _resampled(scored: Scored, metric: str) -> NDArray[np.float64]:
    length = 1 if scored.overlap == 1 else min(2 * scored.overlap, scored.samples)
    chunks = resample_counts(np.random.default_rng(0), scored.samples, length, RESAMPLES)
    return np.concatenate([scored.resampled(metric, weights) for weights in chunks])


def standard_errors(figures: Sequence[Figure]) -> NDArray[np.float64]:
    """The standard error of each figure over samples like those of the split, (E,)."""
    return np.array([(figure.quality.upper - figure.quality.lower) / (2 * Z_95) for figure in figures])


def own_shares(figures: Sequence[Figure]) -> NDArray[np.float64]:
    """The share of each figure's sampling variance that it does not share with the others, (E,) in 0..1.

    1 minus its mean correlation with the other figures; 1 where a figure is the same for every resample.
    """
    values = np.array([figure.resampled for figure in figures])  # (E, R)
    spread = values.std(axis=1)
    usable = spread > 0
    if usable.sum() < 2:
        return np.ones(len(figures))
    shares = np.ones(len(figures))
    correlations = np.corrcoef(values[usable])
    others = (correlations.sum(axis=1) - 1) / (usable.sum() - 1)
    shares[usable] = 1 - np.clip(others, 0.0, 0.99)
    return shares
