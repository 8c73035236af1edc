"""A model's quality on a split with a 95 % confidence interval.

Legend: N samples, R resamples.

accuracy   Wilson's score interval (Wilson 1927, JASA 22:209-212), which is valid also if all predictions are correct;
           of independent samples only.
any other  the percentile bootstrap (Efron and Tibshirani 1993, chapter 13): samples are drawn with replacement, and the
           metric is computed for each resample.
blocks     if neighbouring samples overlap (windows of one series), runs of neighbours are drawn, and the interval is
           widened for the variance that runs miss, as in components.evaluation.paired_bootstrap. If samples belong to
           groups, whole groups are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import special

from components.contracts.comparison import Quality
from components.evaluation import paired_bootstrap
from components.evaluation.classification import ClassificationScores
from components.evaluation.scorer import Real, Scored

CONFIDENCE = 0.95
RESAMPLES = 2000
CHUNK = 2_000_000  # counts drawn at once; bounds the memory


def quality(scored: Scored, metric: str, *, resamples: int = RESAMPLES, seed: int = 0) -> Quality:
    """A metric of a scored package, with its interval."""
    value = scored.figures()[metric]
    if _has_exact_interval(scored, metric):
        return wilson(value, scored.samples)
    clusters = paired_bootstrap.clusters_of(scored)
    length = 1 if scored.overlap == 1 else min(2 * scored.overlap, scored.samples)
    rng = np.random.default_rng(seed)
    if clusters is None:
        chunks = resample_counts(rng, scored.samples, length, resamples)
    else:
        chunks = paired_bootstrap.cluster_resamples(rng, clusters, resamples)
    resampled = np.concatenate([scored.resampled(metric, weights) for weights in chunks])  # (R,)
    lower, upper = (
        float(np.quantile(resampled, probability)) for probability in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    )
    factor = _widening(scored.samples, length)
    if clusters is not None:
        factor = paired_bootstrap.widening(len(np.unique(clusters)), (1 + CONFIDENCE) / 2)
    return Quality(value=value, lower=value - factor * (value - lower), upper=value + factor * (upper - value))


def wilson(proportion: float, samples: int) -> Quality:
    """Wilson's score interval of a share of `samples`."""
    z = float(special.ndtri((1 + CONFIDENCE) / 2))
    middle = (proportion + z * z / (2 * samples)) / (1 + z * z / samples)
    half = (
        z / (1 + z * z / samples) * math.sqrt(proportion * (1 - proportion) / samples + z * z / (4 * samples * samples))
    )
    return Quality(value=proportion, lower=min(proportion, middle - half), upper=max(proportion, middle + half))


def method(scored: Scored, metric: str) -> str:
    """A description of the method that `quality` uses for the interval."""
    if _has_exact_interval(scored, metric):
        return "Wilson's score interval"
    if (clusters := paired_bootstrap.clusters_of(scored)) is not None:
        count = len(np.unique(clusters))
        return f"bootstrap of {count:,} groups of test samples ({RESAMPLES:,} resamples, seeded)"
    runs = f" of runs of {min(2 * scored.overlap, scored.samples)} neighbours" if scored.overlap > 1 else ""
    return f"bootstrap{runs} over the samples ({RESAMPLES:,} resamples, seeded)"


def _has_exact_interval(scored: Scored, metric: str) -> bool:
    is_share = metric == "accuracy" and isinstance(scored, ClassificationScores)
    return is_share and not paired_bootstrap.is_dependent(scored)


def resample_counts(rng: np.random.Generator, samples: int, length: int, resamples: int) -> Iterator[Real]:
    """Counts of each sample in resamples, in chunks (rows, N) with R rows in all; drawn in runs of neighbours."""
    remaining = resamples
    while remaining:
        rows = min(remaining, max(1, CHUNK // samples))
        starts = rng.integers(0, samples, (rows, -(-samples // length)))
        indices = ((starts[:, :, None] + np.arange(length)) % samples).reshape(rows, -1)[:, :samples]
        flat_indices = indices + samples * np.arange(rows)[:, None]
        yield np.bincount(flat_indices.ravel(), minlength=rows * samples).reshape(rows, samples).astype(np.float64)
        remaining -= rows


def _widening(samples: int, length: int) -> float:
    """Factor for an interval: runs show 5/6 of the variance of a mean; Student's t quantile, as there are few runs."""
    if length == 1:
        return 1.0
    runs = max(2, samples // length)
    level = (1 + CONFIDENCE) / 2
    return math.sqrt(6 / 5 * runs / (runs - 1)) * float(special.stdtrit(runs - 1, level) / special.ndtri(level))
