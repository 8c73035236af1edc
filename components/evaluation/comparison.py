"""A candidate against the champion on the same samples: how they differ, and whether that is enough.

Legend: N samples, K classes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from components.evaluation import paired_bootstrap, paired_proportions
from components.evaluation.metrics import Labels, accuracy, class_figures, confusion_matrix, macro_f1


class Pairs(NamedTuple):
    """Samples by who is right about them."""

    both: int
    candidate_only: int
    champion_only: int
    neither: int


class ClassDifference(NamedTuple):
    """One class: its samples and the share of them that each gets right."""

    name: str
    samples: int
    candidate: float
    champion: float


class Comparison(NamedTuple):
    """What the champion gate decides by; `lower` and `upper` each hold with the confidence, from one side.

    Args:
        p_value: of accuracy's exact test against `min_effect`; None for macro F1, whose interval is a bootstrap's.
    """

    metric: str
    samples: int
    candidate: float
    champion: float
    lower: float
    upper: float
    min_effect: float
    confidence: float
    passed: bool
    p_value: float | None
    pairs: Pairs
    per_class: list[ClassDifference]

    @property
    def difference(self) -> float:
        """Candidate minus champion."""
        return self.candidate - self.champion


def compare(
    truth: Labels,
    candidate: Labels,
    champion: Labels,
    classes: list[str],
    *,
    metric: Literal["accuracy", "macro_f1"],
    min_effect: float,
    confidence: float,
) -> Comparison:
    """Compare answers (N,) with the truth (N,); an answer of number K is none of the classes.

    The candidate passes if the difference is above `min_effect` with that confidence: for accuracy by the exact test of
    `paired_proportions`, for macro F1 by the lower bound of `paired_bootstrap`.
    """
    count = len(classes) + 1  # and none of them
    tables = [confusion_matrix(truth, answers, count) for answers in (candidate, champion)]
    pairs = count_pairs(truth, candidate, champion)
    p_value = None
    if metric == "accuracy":
        values = [accuracy(table) for table in tables]
        b, c = pairs.candidate_only, pairs.champion_only
        p_value = paired_proportions.p_value(b, c, len(truth), min_effect)
        bounds = paired_proportions.interval(b, c, len(truth), confidence)
        passed = p_value <= 1 - confidence
    else:
        values = [macro_f1(table) for table in tables]
        bounds = paired_bootstrap.interval(truth, candidate, champion, count, confidence)
        passed = bounds.lower > min_effect
    rows = zip(classes, *map(class_figures, tables), strict=False)
    return Comparison(
        metric=metric,
        samples=len(truth),
        candidate=values[0],
        champion=values[1],
        lower=bounds.lower,
        upper=bounds.upper,
        min_effect=min_effect,
        confidence=confidence,
        passed=passed,
        p_value=p_value,
        pairs=pairs,
        per_class=[ClassDifference(name, a.support, a.recall, b.recall) for name, a, b in rows if a.support],
    )


def count_pairs(truth: Labels, candidate: Labels, champion: Labels) -> Pairs:
    """Samples by who is right, from labels (N,)."""
    first, second = candidate == truth, champion == truth
    return Pairs(
        both=int(np.count_nonzero(first & second)),
        candidate_only=int(np.count_nonzero(first & ~second)),
        champion_only=int(np.count_nonzero(~first & second)),
        neither=int(np.count_nonzero(~first & ~second)),
    )
