"""Watch labelled answers of a model for an accuracy below a limit, at a stated rate of false alarms.

Labels come in groups, by the window in which they arrive. While the accuracy is at least `limit`, 1 + r (limit - x) has
an expectation of at most 1 for a label x in {0, 1} and each r from 0 to 1 / (1 - limit), so the product E over a group
is an e-value. M <- (1 + M) E is the Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2023, arXiv:2203.03532,
section 2.3), and so is its mean over several r: the first alarm comes after c groups on average, at least, if it is
raised at M >= c. With c = windows a month / false alarms a month the stated rate holds for any number of looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.core.errors import UsageError
from components.drift.distances import Real

BETS: Real = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.98])  # as shares of the largest bet, 1 / (1 - limit)


class AccuracyWatch(NamedTuple):
    """The detector after the last group.

    Args:
        limit: accuracy that is still right.
        groups, labels, right: that were seen.
        log10_evidence, log10_threshold: there is an alarm where the evidence reaches the threshold.
        begin: number of the group (from 0) from which the accuracy seems to be too low; None without labels.
        alarm_at: number of the first group with an alarm; None without one.
    """

    limit: float
    groups: int
    labels: int
    right: int
    log10_evidence: float
    log10_threshold: float
    begin: int | None
    alarm_at: int | None


def watch(
    groups: Sequence[tuple[int, int]], limit: float, *, false_alarms_per_month: float, windows_per_month: float
) -> AccuracyWatch:
    """The state after groups of labels.

    Args:
        groups: (right, wrong) of each window, in the order in which the labels arrived.

    Raises:
        UsageError: the limit is no accuracy between 0 and 1, or a number is negative.
    """
    if not 0 < limit < 1:
        raise UsageError("the limit of the accuracy must lie between 0 and 1", got=limit)
    if any(min(group) < 0 for group in groups):
        raise UsageError("numbers of labels must not be negative")
    rates = BETS / (1 - limit)
    per_right, per_wrong = np.log1p(rates * (limit - 1)), np.log1p(rates * limit)
    threshold = math.log(windows_per_month / false_alarms_per_month)
    statistic = np.full(len(rates), -np.inf)
    sums = np.zeros(len(rates))  # of the likeliest begin, for the group that `begin` names
    begins = np.zeros(len(rates), np.int64)
    alarm_at: int | None = None
    evidence = -math.inf
    for number, (right, wrong) in enumerate(groups):
        if right + wrong == 0:  # says nothing, and is no look
            continue
        gain = right * per_right + wrong * per_wrong
        statistic = np.logaddexp(0.0, statistic) + gain
        begins = np.where(sums <= 0, number, begins)
        sums = np.maximum(sums, 0.0) + gain
        evidence = float(np.logaddexp.reduce(statistic) - math.log(len(rates)))
        if alarm_at is None and evidence >= threshold:
            alarm_at = number
    return AccuracyWatch(
        limit=limit,
        groups=len(groups),
        labels=sum(right + wrong for right, wrong in groups),
        right=sum(right for right, _ in groups),
        log10_evidence=evidence / math.log(10),
        log10_threshold=threshold / math.log(10),
        begin=int(begins[int(np.argmax(sums))]) if groups else None,
        alarm_at=alarm_at,
    )
