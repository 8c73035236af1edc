"""Judge a challenger against the champion on live labels, with an error that holds whenever one looks.

Each unit of evidence is a difference d of correctness between -1 and 1. Paired: both models answered the same sample,
d = challenger right - champion right. Unpaired, as in a canary: d = challenger right - share of `champions` champion
answers that are right, each answer in one unit only. If the true difference is at most m, then 1 + r (d - m) has an
expectation of at most 1 for every r from 0 to 1 / (1 + m), so the wealth of a bettor with a fixed r is a
nonnegative supermartingale, and so is the mean over several r. By Ville's inequality it ever reaches 1 / alpha with a
probability of at most alpha (Waudby-Smith and Ramdas 2024, JRSSB 86:1-27, "Estimating means of bounded random variables
by betting"). All m that are refuted at alpha / 2 from below or above bound a confidence sequence of the difference.

The labels that arrive have to be a fair sample: if labels of wrong answers arrive earlier for one model than
for the other, the comparison judges that.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.core.errors import UsageError
from components.core.strict import Strict
from components.drift.distances import Real

Decision = Literal["better", "worse", "undecided"]

BETS: Real = 0.98 * np.exp2(-np.arange(1, 11, dtype=np.float64))  # as shares of the largest bet; and that itself
ALL_BETS: Real = np.append(0.98, BETS)
MARGINS: Real = np.linspace(-1, 1, 801)


class LiveComparison(Strict):
    """A comparison after so many labels; `update` and `update_paired` return the next one.

    Args:
        alpha: probability, at most, that a challenger which is not better by more than `min_effect` is ever called
            better; and that one which is not worse is ever called worse.
        min_effect: difference of accuracy that the challenger has to exceed; below 0: what it may lose.
        paired: whether both models answer the same samples (shadow), or samples of their own (canary).
        champions: champion answers to one of the challenger's in an unpaired comparison, 9 of a canary of 10 %.
        differences: numbers of units by d * champions, from -champions to champions.
        waiting: labels not yet in a unit: champion right, champion wrong, challenger right, challenger wrong.
        low, high: the confidence sequence of the difference, at 1 - alpha.
        decision: the first that was reached; it stays.
    """

    alpha: float = Field(gt=0, lt=1)
    min_effect: float = Field(default=0.0, gt=-1, lt=1)
    paired: bool = False
    champions: int = Field(default=1, ge=1, le=1000)
    seed: int = 0
    differences: tuple[int, ...] = ()
    waiting: tuple[int, int, int, int] = (0, 0, 0, 0)
    labels: tuple[int, int, int, int] = (0, 0, 0, 0)
    updates: int = 0
    low: float = -1.0
    high: float = 1.0
    decision: Decision = "undecided"

    @staticmethod
    def from_json(text: str | bytes) -> LiveComparison:
        """The comparison that `to_json` wrote."""
        return LiveComparison.model_validate_json(text)

    def to_json(self) -> str:
        """The state as JSON."""
        return self.model_dump_json()

    @property
    def units(self) -> int:
        """Differences that were observed."""
        return sum(self.differences)

    def update(
        self, *, champion_right: int, champion_wrong: int, challenger_right: int, challenger_wrong: int
    ) -> LiveComparison:
        """The comparison after new labels of answers of either model, of different samples.

        Raises:
            UsageError: a negative number, or the comparison is paired.
        """
        new = (champion_right, champion_wrong, challenger_right, challenger_wrong)
        self._check(new, paired=False)
        waiting = tuple(a + b for a, b in zip(self.waiting, new, strict=True))
        labels = tuple(a + b for a, b in zip(self.labels, new, strict=True))
        rng = np.random.default_rng([self.seed, self.updates])
        champion = rng.permutation(np.repeat([True, False], waiting[:2]))
        challenger = rng.permutation(np.repeat([True, False], waiting[2:]))
        units = min(len(challenger), len(champion) // self.champions)
        right = champion[: units * self.champions].reshape(units, self.champions).sum(axis=1)
        steps = challenger[:units] * self.champions - right
        counts = np.bincount(steps + self.champions, minlength=2 * self.champions + 1)
        rest, rest_challenger = champion[units * self.champions :], challenger[units:]
        left = (int(rest.sum()), int((~rest).sum()), int(rest_challenger.sum()), int((~rest_challenger).sum()))
        return self._judged(counts, {"waiting": left, "labels": labels})

    def update_paired(
        self, *, both_right: int, only_challenger: int, only_champion: int, both_wrong: int
    ) -> LiveComparison:
        """The comparison after new labels of samples that both models answered.

        Raises:
            UsageError: a negative number, or the comparison is not paired.
        """
        self._check((both_right, only_challenger, only_champion, both_wrong), paired=True)
        labels = (
            self.labels[0] + both_right + only_champion,
            self.labels[1] + both_wrong + only_challenger,
            self.labels[2] + both_right + only_challenger,
            self.labels[3] + both_wrong + only_champion,
        )
        counts = np.zeros(2 * self.champions + 1, np.int64)
        counts[[0, self.champions, -1]] += (only_champion, both_right + both_wrong, only_challenger)
        return self._judged(counts, {"labels": labels})

    def _check(self, counts: tuple[int, ...], paired: bool) -> None:
        if self.paired != paired:
            words = ("paired", "unpaired") if self.paired else ("unpaired", "paired")
            raise UsageError(f"the comparison is {words[0]}, and the labels are {words[1]}")
        if min(counts) < 0:
            raise UsageError("numbers of labels must not be negative", got=counts)

    def _judged(self, counts: NDArray[np.signedinteger], update: dict[str, object]) -> LiveComparison:
        before = np.array(self.differences, np.int64) if self.differences else np.zeros(len(counts), np.int64)
        total = before + counts
        values = np.arange(-self.champions, self.champions + 1) / self.champions
        decision, bound = self.decision, math.log(1 / self.alpha)
        if decision == "undecided":
            better = log_wealth(values, total, np.array([self.min_effect]))[0]
            worse = log_wealth(-values, total, np.array([-min(0.0, self.min_effect)]))[0]
            decision = "better" if better >= bound else "worse" if worse >= bound else "undecided"
        bound = math.log(2 / self.alpha)
        low = refuted_up_to(values, total, bound, self.low)
        high = -refuted_up_to(-values, total, bound, -self.high)
        found = {"differences": tuple(int(n) for n in total), "low": low, "high": high, "decision": decision}
        return self.model_copy(update={**update, **found, "updates": self.updates + 1})


def refuted_up_to(values: Real, counts: NDArray[np.signedinteger], bound: float, known: float) -> float:
    """The largest m of `MARGINS` for which "the mean is at most m" is refuted, at least `known`.

    The wealth falls with m, so that a search in few steps finds it.
    """
    first = int(np.searchsorted(MARGINS, known, side="right")) - 1  # refuted
    last = min(first + 1, len(MARGINS))  # perhaps not
    step = 1
    while last < len(MARGINS) and log_wealth(values, counts, MARGINS[[last]])[0] >= bound:
        first, step = last, 2 * step
        last = min(last + step, len(MARGINS))
    while last - first > 1:
        middle = (first + last) // 2
        refuted = log_wealth(values, counts, MARGINS[[middle]])[0] >= bound
        first, last = (middle, last) if refuted else (first, middle)
    return float(MARGINS[first])


def log_wealth(values: Real, counts: NDArray[np.signedinteger], margins: Real) -> Real:
    """Logarithms of the wealth against "the mean is at most m", for each margin m, (K,).

    Args:
        values: of the differences, (V,).
        counts: of each value, (V,).
        margins: between -1 and 1, (K,).
    """
    used = counts > 0
    rates = ALL_BETS / np.maximum(1 + margins[:, None], 1e-9)  # (K, B)
    gains = rates[..., None] * (values[used] - margins[:, None, None])  # (K, B, V)
    logs = np.log1p(np.maximum(gains, -1 + 1e-12)) @ counts[used].astype(np.float64)
    wealth: Real = np.logaddexp.reduce(logs, axis=1) - math.log(len(ALL_BETS))
    return wealth
