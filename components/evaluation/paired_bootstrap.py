"""Paired bootstrap: whether one model has a better metric than another on the same samples.

Legend: N samples, K classes, R resamples, D distinct (truth, candidate's answer, champion's answer).

Samples are drawn with replacement, each with both answers, and the metric of each model is computed for each resample
(percentile interval: Efron and Tibshirani 1993, chapter 13). If the models rarely differ, a plain bootstrap is
overconfident: with three differing samples, all in favour of the candidate, almost every resample shows a gain. So two
pseudo-samples are added to the population, as Agresti and Min 2005 (Statistics in Medicine 24:729-740) and Bonett and
Price 2012 (37:479-488) do for proportions:

macro F1   one sample that only the candidate answers correctly and one that only the champion does, spread over the
           classes like the samples. Samples of the same three labels are equal, so a resample is one draw of D counts.
any other  one sample like those that differ, and one like them with the answers of the models swapped. If no sample
           differs, no pseudo-sample is added, and the gain is 0 without uncertainty.
blocks     if neighbouring samples overlap (windows of one series), runs of neighbours are drawn, wrapping around the
           end (circular block bootstrap: Politis and Romano 1992), of twice the length of the overlap. Such runs show
           5/6 of the variance of a mean, and their number M is small: the distance of the bounds from the gain is
           multiplied by sqrt(6/5 M/(M-1)) and by Student's t over the normal quantile. No pseudo-sample is added,
           since windows differ everywhere.
clusters   if samples belong to groups (a speaker, a patient), whole groups are drawn, with all their samples (cluster
           bootstrap: Davison and Hinkley 1997, section 3.8), and as pseudo-samples a group like those that differ, and
           one like them with the answers swapped. With M groups the distance of the bounds is multiplied by
           sqrt(M/(M-1)) and by Student's t over the normal quantile.

tests/evaluation/test_bootstrap_rate.py counts false passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator
from scipy import special

from components.evaluation.metrics import Labels, macro_f1_of_counts
from components.evaluation.paired_proportions import Interval
from components.evaluation.scorer import Real, Scored

RESAMPLES = 10_000
CHUNK = 2_000_000  # counts drawn in one piece, to bound the memory


def interval(
    candidate: Scored,
    champion: Scored,
    metric: str,
    confidence: float,
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bounds of the candidate's gain, each at the one-sided confidence."""
    resampled_gains = gains(
        candidate, champion, metric, higher_is_better=higher_is_better, resamples=resamples, seed=seed
    )
    bounds = _bounds(resampled_gains, confidence)
    clusters, length = clusters_of(candidate), _run_length(candidate, champion)
    if clusters is not None:
        factor = widening(len(np.unique(clusters)), confidence)
    elif length > 1:
        factor = math.sqrt(6 / 5) * widening(candidate.samples // length, confidence)
    else:
        return bounds
    gain = candidate.figures()[metric] - champion.figures()[metric]
    gain = gain if higher_is_better else -gain
    return Interval(gain - factor * (gain - bounds.lower), gain + factor * (bounds.upper - gain))


def clusters_of(scored: Scored) -> Labels | None:
    """The group of each sample (N,); None without groups."""
    clusters: Labels | None = getattr(scored, "clusters", None)  # scores of a plug-in may not have it
    return clusters


def is_dependent(scored: Scored) -> bool:
    """Whether samples overlap or belong to groups."""
    return scored.overlap > 1 or clusters_of(scored) is not None


def widening(units: int, confidence: float) -> float:
    """Factor for the bounds from few units (runs, groups), each bound at the one-sided confidence."""
    units = max(2, units)
    t_ratio = float(special.stdtrit(units - 1, confidence) / special.ndtri(confidence))
    return math.sqrt(units / (units - 1)) * t_ratio


def gains(
    candidate: Scored,
    champion: Scored,
    metric: str,
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Real:
    """The candidate's gain in R resamples, (R,)."""
    rng = np.random.default_rng(seed)
    clusters, length = clusters_of(candidate), _run_length(candidate, champion)
    if clusters is not None:
        differing = np.unique(clusters[candidate.differs(champion)])
        candidate, champion = candidate.concatenate(champion), champion.concatenate(candidate)
        chunks = cluster_resamples(rng, clusters, resamples, differing)
    elif length > 1:
        chunks = _run_resamples(rng, candidate.samples, length, resamples)
    else:
        differing = np.flatnonzero(candidate.differs(champion))
        candidate, champion = candidate.concatenate(champion), champion.concatenate(candidate)
        chunks = _with_pseudo_samples(rng, candidate.samples // 2, differing, resamples)
    sign = 1 if higher_is_better else -1
    return sign * np.concatenate(
        [candidate.resampled(metric, weights) - champion.resampled(metric, weights) for weights in chunks]
    )


def macro_f1_interval(
    truth: Labels,
    candidate: Labels,
    champion: Labels,
    classes: int,
    confidence: float,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bounds of the candidate's macro F1 minus the champion's, each at the one-sided confidence.

    Args:
        truth, candidate, champion: (N,), numbers of classes.
    """
    cells, counts = np.unique(np.stack([truth, candidate, champion], axis=1), axis=0, return_counts=True)  # (D, 3)
    support = np.bincount(truth, minlength=classes)
    occurring = np.flatnonzero(support)
    other = np.roll(occurring, 1) if len(occurring) > 1 else (occurring + 1) % classes
    pseudo_samples = [np.stack([occurring, occurring, other], axis=1), np.stack([occurring, other, occurring], axis=1)]
    cells = np.concatenate([cells, *pseudo_samples])
    weights = np.concatenate([counts, *[support[occurring] / len(truth)] * 2]).astype(np.float64)
    rng = np.random.default_rng(seed)

    def draw(rows: int) -> Real:
        sample = rng.multinomial(len(truth), weights / weights.sum(), size=rows).astype(np.float64)  # (rows, D)
        first, second = (macro_f1_of_counts(sample, cells[:, 0], cells[:, model], classes) for model in (1, 2))
        return first - second

    return _bounds(np.concatenate(list(_pieces(resamples, len(cells), draw))), confidence)


def _with_pseudo_samples(rng: Generator, samples: int, differing: Labels, resamples: int) -> Iterator[Real]:
    """Counts (rows, 2N) of each sample, then of each sample with the answers of the models swapped."""
    pseudo_samples = 2 if len(differing) else 0

    def draw(rows: int) -> Real:
        indices = rng.integers(0, samples + pseudo_samples, (rows, samples))
        for kind in range(pseudo_samples):
            chosen = indices == samples + kind
            indices[chosen] = rng.choice(differing, int(np.count_nonzero(chosen))) + kind * samples
        return _occurrences(indices, 2 * samples)

    return _pieces(resamples, 2 * samples, draw)


def cluster_resamples(
    rng: Generator, clusters: Labels, resamples: int, differing: Labels | None = None
) -> Iterator[Real]:
    """Counts of each sample in resamples of whole groups.

    Args:
        clusters: (N,) the group of each sample, 0 to M - 1, each of them occurring.
        differing: groups in which two models differ, for the pseudo-samples.

    Returns:
        Counts (rows, N); with `differing` (rows, 2N), as of `_with_pseudo_samples`.
    """
    count = int(clusters.max()) + 1
    sides = 1 if differing is None else 2
    imagined = np.empty(0, np.int64) if differing is None else differing
    pseudo = 2 if len(imagined) else 0

    def draw(rows: int) -> Real:
        indices = rng.integers(0, count + pseudo, (rows, count))
        for kind in range(pseudo):
            chosen = indices == count + kind
            indices[chosen] = rng.choice(imagined, int(np.count_nonzero(chosen))) + kind * count
        counts = _occurrences(indices, sides * count)  # (rows, sides * M)
        return counts[:, np.concatenate([clusters + side * count for side in range(sides)])]

    return _pieces(resamples, sides * max(count, len(clusters)), draw)


def _run_resamples(rng: Generator, samples: int, length: int, resamples: int) -> Iterator[Real]:
    """Counts (rows, N) of each sample, drawn in runs of neighbours; the last run is cut to a total of N."""

    def draw(rows: int) -> Real:
        starts = rng.integers(0, samples, (rows, -(-samples // length)))
        indices = (starts[:, :, None] + np.arange(length)) % samples  # (rows, runs, length)
        return _occurrences(indices.reshape(rows, -1)[:, :samples], samples)

    return _pieces(resamples, samples, draw)


def _run_length(candidate: Scored, champion: Scored) -> int:
    """Number of neighbours that are drawn together."""
    overlapping = max(candidate.overlap, champion.overlap)
    return 1 if overlapping == 1 else min(2 * overlapping, candidate.samples)


def _occurrences(indices: Labels, count: int) -> Real:
    """Occurrences of each number below `count` in each row: (rows, draws) -> (rows, count)."""
    flat_indices = indices + count * np.arange(len(indices))[:, None]
    return (
        np.bincount(flat_indices.ravel(), minlength=len(indices) * count)
        .reshape(len(indices), count)
        .astype(np.float64)
    )


def _pieces(resamples: int, width: int, draw: Callable[[int], Real]) -> Iterator[Real]:
    """Results of `draw` for `resamples` rows, piece by piece, to bound the memory."""
    remaining = resamples
    while remaining:
        rows = min(remaining, max(1, CHUNK // width))
        yield draw(rows)
        remaining -= rows


def _bounds(gains: Real, confidence: float) -> Interval:
    return Interval(float(np.quantile(gains, 1 - confidence)), float(np.quantile(gains, confidence)))
