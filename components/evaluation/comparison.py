"""Comparison of a candidate with the champion on the same samples, for the champion gate.

Legend: N samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from components.evaluation import paired_bootstrap, paired_proportions
from components.evaluation.classification import ClassificationScores
from components.evaluation.metrics import Labels
from components.evaluation.scorer import Scored


class Pairs(NamedTuple):
    """Numbers of samples that both, one or none of the models answer correctly."""

    both: int
    candidate_only: int
    champion_only: int
    neither: int


class SliceDifference(NamedTuple):
    """One slice (class): its samples, the figure of each model, and the gain of the candidate."""

    name: str
    samples: int
    candidate: float
    champion: float
    gain: float


class ChampionComparison(NamedTuple):
    """The facts of the champion gate; `lower` and `upper` are one-sided bounds of the gain at the confidence.

    Args:
        scale: factor of the gain in reports: 100 for shares, in percentage points; else 1.
        p_value: of the exact test of accuracy against `min_effect`; None for metrics with a bootstrap interval, and
            where samples overlap or belong to groups.
        pairs: correct and wrong samples of both models, for classifiers.
    """

    metric: str
    higher_is_better: bool
    samples: int
    candidate: float
    champion: float
    lower: float
    upper: float
    min_effect: float
    confidence: float
    passed: bool
    scale: int
    p_value: float | None
    pairs: Pairs | None
    slices: list[SliceDifference]

    @property
    def gain(self) -> float:
        """The candidate's figure minus the champion's; the other way if lower is better."""
        return self.candidate - self.champion if self.higher_is_better else self.champion - self.candidate


def compare(
    candidate: Scored,
    champion: Scored,
    metric: str,
    *,
    higher_is_better: bool = True,
    min_effect: float,
    confidence: float,
) -> ChampionComparison:
    """Compare two packages that were scored on the same split.

    The candidate passes if its gain is above `min_effect` at the confidence: for accuracy by the exact test of
    `paired_proportions`, for every other metric by the lower bound of `paired_bootstrap`. The exact test assumes
    independent samples: where they overlap or belong to groups, accuracy has to pass both, and the bounds are the wider
    of both.
    """
    candidate_figure, champion_figure = candidate.figures()[metric], champion.figures()[metric]
    pairs, p_value = None, None
    if isinstance(candidate, ClassificationScores) and isinstance(champion, ClassificationScores):
        pairs = count_pairs(candidate.truth, candidate.answers, champion.answers)
    if pairs is not None and metric == "accuracy":
        b, c, count = pairs.candidate_only, pairs.champion_only, candidate.samples
        p_value = paired_proportions.p_value(b, c, count, min_effect)
        bounds = paired_proportions.interval(b, c, count, confidence)
        passed = p_value <= 1 - confidence
        if paired_bootstrap.is_dependent(candidate):
            other = _bootstrap(candidate, champion, metric, confidence, higher_is_better)
            bounds = paired_proportions.Interval(min(bounds.lower, other.lower), max(bounds.upper, other.upper))
            passed, p_value = passed and other.lower > min_effect, None
    else:
        bounds = _bootstrap(candidate, champion, metric, confidence, higher_is_better)
        passed = bounds.lower > min_effect
    return ChampionComparison(
        metric=metric,
        higher_is_better=higher_is_better,
        samples=candidate.samples,
        candidate=candidate_figure,
        champion=champion_figure,
        lower=bounds.lower,
        upper=bounds.upper,
        min_effect=min_effect,
        confidence=confidence,
        passed=passed,
        scale=100 if pairs is not None and metric in ("accuracy", "macro_f1") else 1,
        p_value=p_value,
        pairs=pairs,
        slices=_slices(candidate, champion, metric, higher_is_better),
    )


def _bootstrap(
    candidate: Scored, champion: Scored, metric: str, confidence: float, higher_is_better: bool
) -> paired_proportions.Interval:
    if (
        metric == "macro_f1"
        and not paired_bootstrap.is_dependent(candidate)
        and isinstance(candidate, ClassificationScores)
        and isinstance(champion, ClassificationScores)
    ):
        classes = len(candidate.classes) + 1  # and none of them
        return paired_bootstrap.macro_f1_interval(
            candidate.truth, candidate.answers, champion.answers, classes, confidence
        )
    return paired_bootstrap.interval(candidate, champion, metric, confidence, higher_is_better=higher_is_better)


def _slices(candidate: Scored, champion: Scored, metric: str, higher_is_better: bool) -> list[SliceDifference]:
    """The slices that have this metric."""
    champion_figures = {part.name: part.figures for part in champion.slices()}
    differences = []
    for part in candidate.slices():
        figures = part.figures.get(metric), champion_figures.get(part.name, {}).get(metric)
        if figures[0] is not None and figures[1] is not None:
            gain = figures[0] - figures[1] if higher_is_better else figures[1] - figures[0]
            differences.append(SliceDifference(part.name, part.samples, figures[0], figures[1], gain))
    return differences


def count_pairs(truth: Labels, candidate: Labels, champion: Labels) -> Pairs:
    """Count correct and wrong samples of both models, from labels (N,)."""
    candidate_correct, champion_correct = candidate == truth, champion == truth
    return Pairs(
        both=int(np.count_nonzero(candidate_correct & champion_correct)),
        candidate_only=int(np.count_nonzero(candidate_correct & ~champion_correct)),
        champion_only=int(np.count_nonzero(~candidate_correct & champion_correct)),
        neither=int(np.count_nonzero(~candidate_correct & ~champion_correct)),
    )
