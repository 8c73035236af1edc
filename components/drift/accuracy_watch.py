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
from numpy.typing import NDArray

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
    state = start(limit, false_alarms_per_month=false_alarms_per_month, windows_per_month=windows_per_month)
    for right, wrong in groups:
        state = state.advance(right, wrong)
    return state.result()


class WatchState(NamedTuple):
    """The detector between two groups; see `AccuracyWatch`.

    Args:
        log_threshold: of the evidence.
        statistic: log M for each bet.
        sums, begins: of the likeliest begin, for the group that `begins` names.
        log_evidence: after the last group with labels.
    """

    limit: float
    log_threshold: float
    statistic: Real
    sums: Real
    begins: NDArray[np.int64]
    log_evidence: float = -math.inf
    groups: int = 0
    labels: int = 0
    right: int = 0
    alarm_at: int | None = None

    def advance(self, right: int, wrong: int) -> WatchState:
        """The state after a group of labels.

        Raises:
            UsageError: a number is negative.
        """
        if min(right, wrong) < 0:
            raise UsageError("numbers of labels must not be negative")
        if right + wrong == 0:  # says nothing, and is no look
            return self._replace(groups=self.groups + 1)
        rates = BETS / (1 - self.limit)
        gain = right * np.log1p(rates * (self.limit - 1)) + wrong * np.log1p(rates * self.limit)
        statistic = np.logaddexp(0.0, self.statistic) + gain
        evidence = float(np.logaddexp.reduce(statistic) - math.log(len(BETS)))
        is_first = self.alarm_at is None and evidence >= self.log_threshold
        return self._replace(
            statistic=statistic,
            sums=np.maximum(self.sums, 0.0) + gain,
            begins=np.where(self.sums <= 0, self.groups, self.begins),
            log_evidence=evidence,
            groups=self.groups + 1,
            labels=self.labels + right + wrong,
            right=self.right + right,
            alarm_at=self.groups if is_first else self.alarm_at,
        )

    def result(self) -> AccuracyWatch:
        """What the detector says."""
        return AccuracyWatch(
            limit=self.limit,
            groups=self.groups,
            labels=self.labels,
            right=self.right,
            log10_evidence=self.log_evidence / math.log(10),
            log10_threshold=self.log_threshold / math.log(10),
            begin=int(self.begins[int(np.argmax(self.sums))]) if self.groups else None,
            alarm_at=self.alarm_at,
        )


def start(limit: float, *, false_alarms_per_month: float, windows_per_month: float) -> WatchState:
    """The detector before the first group.

    Raises:
        UsageError: the limit is no accuracy between 0 and 1.
    """
    if not 0 < limit < 1:
        raise UsageError("the limit of the accuracy must lie between 0 and 1", got=limit)
    return WatchState(
        limit=limit,
        log_threshold=math.log(windows_per_month / false_alarms_per_month),
        statistic=np.full(len(BETS), -np.inf),
        sums=np.zeros(len(BETS)),
        begins=np.zeros(len(BETS), np.int64),
    )
