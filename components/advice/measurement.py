"""The figure of each experiment on the validation split, and how much of its uncertainty it shares with the others.

All experiments are measured on the same samples, so what is hard for one is hard for the others: most of the sampling
error is common to a whole curve and does not disturb its form. The common part is the correlation of the figures over
resamples of the split (the same resamples for all experiments).

Legend: E experiments, R resamples.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.comparison.quality import method, quality, resample_counts
from components.contracts.advice import Experiment, ReportRequest
from components.contracts.comparison import Quality
from components.core import atomic
from components.core.strict import Strict
from components.evaluation.scorer import Scored
from components.evaluation.stage import score
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import Package, PackageFacts

RESAMPLES = 300
Z_95 = 1.959964


class Figure(Strict):
    """The figure of a trained model, cached in a file so that it is scored once.

    Args:
        resampled: the metric over the resamples, (R,).
    """

    scoring: str
    split: Literal["validation"]
    metric: str
    samples: int
    method: str
    quality: Quality
    resampled: list[float]


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
        measured.append(Measured(experiment, package, _score_once(request, experiment, package, frozen, metric)))
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


def _score_once(
    request: ReportRequest, experiment: Experiment, package: Package, frozen: FrozenSplit, metric: str
) -> Figure:
    cache_file = Path(request.known) / f"{package.digest[:16]}.json"
    if cache_file.is_file():
        try:
            figure = Figure.model_validate_json(cache_file.read_bytes())
        except ValueError:  # of an older version
            pass
        else:
            if figure.scoring == request.scoring and figure.metric == metric:
                return figure
    print(f"scoring {experiment.name}", file=sys.stderr, flush=True)
    scored = score(package, frozen)
    figure = Figure(
        scoring=request.scoring,
        split="validation",
        metric=metric,
        samples=scored.samples,
        method=method(scored, metric),
        quality=quality(scored, metric),
        resampled=[float(value) for value in _resampled(scored, metric)],
    )
    atomic.write_text(cache_file, figure.model_dump_json())
    return figure


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
