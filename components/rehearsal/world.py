"""What happens around the model, hour by hour: requests, and the truths that are told of the answers later.

The rows after a change are drawn from the same pool with other weights: rows whose `column` is high are drawn more
often (exponential tilting by its normal scores), and so are rows whose answer is wrong, until the accuracy has fallen
by `drop`. So each row is a real input with the model's real answer, and the drift harms as much as the scenario says.
All draws depend on the seed, the scenario and the hour alone: every policy meets the same requests and truths.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from components.contracts.rehearsal_scenario import USED_BY, ScenarioSpec
from components.core.errors import UsageError
from components.drift import column_kinds
from components.drift.distances import Real
from components.monitoring.output_columns import CONFIDENCE, OUTPUT
from components.rehearsal.clock import BEGIN, Clock
from components.rehearsal.pool import NEW_LABEL, Pool

Integers = NDArray[np.int64]

HOURS_A_DAY, HOURS_A_WEEK, HOURS_A_MONTH = 24, 168, 730
REQUESTS_AN_HOUR = 60.0
DAYTIME = 0.8  # by how much seasonal traffic swings about its mean
WEEKEND = 0.5  # share of the traffic that a weekend has
_LARGEST_WEIGHT = 1e6
_UNCHANGED = ("label_noise", "no_traffic")  # inputs and their truths stay as they were


class Hour(NamedTuple):
    """The requests of an hour.

    Args:
        places: rows of the pool, in the order of the requests, (M,).
        told: hours from now until the truth of each answer is told, (M,); -1: it never is.
        flipped: whether a wrong truth is told, (M,).
        sides: uniform numbers that choose who answers, champion or challenger, (M,).
    """

    places: Integers
    told: Integers
    flipped: NDArray[np.bool_]
    sides: Real

    def of(self, chosen: Integers) -> Hour:
        """Some of the requests."""
        return Hour(self.places[chosen], self.told[chosen], self.flipped[chosen], self.sides[chosen])


class World:
    """A scenario on a pool.

    Args:
        hours: of the rehearsal.
        requests_an_hour: of the log; None without a log.

    Raises:
        UsageError: the scenario does not fit the pool or the time.
    """

    def __init__(
        self, spec: ScenarioSpec, pool: Pool, hours: int, seed: int, requests_an_hour: float | None = None
    ) -> None:
        self.spec, self.pool, self.hours = spec, pool, hours
        self.clock = Clock(BEGIN, hours)
        self.rate = spec.requests_an_hour or requests_an_hour or REQUESTS_AN_HOUR
        self.changes_at = self._changes_at()
        self.column: str | None = None  # that moves, and by how much
        self.moves = 0.0
        self._sign = 1.0
        self._seed = [seed, zlib.crc32(spec.name.encode())]
        self._even = np.arange(1, pool.clean + 1) / pool.clean
        self._unsure = self._least_sure()
        self._weights = np.cumsum(self._after())
        self._weights /= self._weights[-1]

    def _changes_at(self) -> int | None:
        """The hour of the change; None without one."""
        if self.spec.name in ("none", "seasonal", "recorded"):
            return None
        day = self.hours / HOURS_A_DAY / 3 if self.spec.day is None else self.spec.day
        if round(day * HOURS_A_DAY) >= self.hours:
            raise UsageError(
                f"the change of {self.spec.name} comes after the end",
                got=f"day {day:g}",
                expected=f"less than {self.hours / HOURS_A_DAY:g} days",
                next_step="choose an earlier day=, or more --months",
            )
        return round(day * HOURS_A_DAY)

    def level(self, hour: int) -> float:
        """How far inputs and truths have changed, 0 to 1. What varies with the hour of the day is no change."""
        if self.changes_at is None or hour < self.changes_at or self.spec.name in _UNCHANGED:
            return 0.0
        if self.spec.name == "gradual":
            return min(1.0, (hour - self.changes_at) / (self.spec.ramp_days * HOURS_A_DAY))
        return 1.0

    def mix(self, hour: int) -> float:
        """The share of the rows that are drawn as after the change."""
        if self.spec.name == "seasonal":
            is_weekend = hour % HOURS_A_WEEK >= 5 * HOURS_A_DAY
            return 1.0 if is_weekend else 0.5 - 0.5 * self._daytime(hour)
        return self.level(hour)

    def usual_mix(self, level: float) -> float:
        """The share of the rows of a whole week that are drawn as after the change, at a level of it."""
        if self.spec.name != "seasonal":
            return level
        week = range(HOURS_A_WEEK)
        return sum(self._rate(hour) * self.mix(hour) for hour in week) / sum(map(self._rate, week))

    @staticmethod
    def _daytime(hour: int) -> float:
        """1 at noon, -1 at midnight."""
        return -math.cos(2 * math.pi * (hour % HOURS_A_DAY) / HOURS_A_DAY)

    def draw(self, hour: int) -> Hour:
        """The requests of an hour; the same whenever they are asked for."""
        rng = np.random.default_rng([*self._seed, hour])
        count = int(rng.poisson(self._rate(hour)))
        places = self.places(rng, count, self.mix(hour), self.level(hour))
        is_after = self.changes_at is not None and hour >= self.changes_at
        is_late = self.spec.name == "label_delay" and is_after
        mean, share = (
            (self.spec.late_hours, self.spec.late_share) if is_late else (self.spec.label_hours, self.spec.labels)
        )
        told = np.where(rng.random(count) < share, np.floor(rng.exponential(1.0, count) * mean), -1).astype(np.int64)
        is_known = self.pool.truth[places] != NEW_LABEL  # the monitor counts other truths apart
        told = np.where(np.isfinite(self.pool.right[places]) & is_known, told, -1)
        is_noisy = self.spec.name == "label_noise" and is_after
        flipped = rng.random(count) < (self.spec.noise if is_noisy else 0.0)
        return Hour(places, told, flipped, rng.random(count))

    def places(self, rng: np.random.Generator, count: int, mix: float, level: float) -> Integers:
        """Rows of the pool of which a share is drawn as after the change."""
        draws, chosen = rng.random(count), rng.random(count)
        even = np.searchsorted(self._even, draws, side="right")
        after = np.searchsorted(self._weights, draws, side="right")
        places = np.minimum(np.where(chosen < mix, after, even), self.pool.clean - 1).astype(np.int64)
        if self.spec.name in ("broken_sensor", "new_class"):
            concerned = rng.random(count) < self.spec.share * level
            if self.spec.name == "new_class":
                chosen_rows = self._unsure[rng.integers(0, len(self._unsure), count)]
                places = np.where(concerned, chosen_rows, places)
            places = np.where(concerned, places + self.pool.clean, places)
        return places

    def accuracy(self, right: Real, level: float) -> float | None:
        """The expected accuracy at a level of the change; None if it is not known.

        Args:
            right: of the answers to the rows of the pool, (N,).
        """
        if not self.pool.is_scored:
            return None
        clean = self.pool.clean
        even, after = np.full(clean, 1 / clean), np.diff(self._weights, prepend=0.0)
        mix = self.usual_mix(level)
        weights = (1 - mix) * even + mix * after
        kept = float(weights @ right[:clean])
        if self.spec.name not in ("broken_sensor", "new_class"):
            return kept
        changed = right[clean:][self._unsure].mean() if self.spec.name == "new_class" else weights @ right[clean:]
        share = self.spec.share * level
        return float((1 - share) * kept + share * changed)

    def _rate(self, hour: int) -> float:
        if self.spec.name == "no_traffic" and self.changes_at is not None and hour >= self.changes_at:
            return self.rate * self.spec.left
        if self.spec.name == "seasonal":
            is_weekend = hour % HOURS_A_WEEK >= 5 * HOURS_A_DAY
            return self.rate * (WEEKEND if is_weekend else 1.0) * (1 + DAYTIME * self._daytime(hour))
        return self.rate

    def _least_sure(self) -> Integers:
        """The half of the rows in whose answers the model has less confidence; all of them without confidences."""
        rows = self.pool.rows.iloc[: self.pool.clean]
        if CONFIDENCE not in rows:
            return np.arange(self.pool.clean)
        confidence = column_kinds.numbers(rows[CONFIDENCE])
        return np.argsort(np.nan_to_num(confidence), kind="stable")[: max(1, self.pool.clean // 2)]

    def _after(self) -> Real:
        """Weights of the rows that are as they were, after the change, (clean,)."""
        spec, clean = self.spec, self.pool.clean
        if spec.name == "label_share":
            return self._of_label()
        if spec.name not in ("gradual", "sudden", "seasonal", "label_delay", "bad_retraining"):
            return np.ones(clean)
        tilt = np.zeros(clean)
        if spec.shift:
            self.column, scores = self._scores()
            self.moves = spec.shift * self._sign
            tilt = spec.shift * scores
        weights = np.exp(tilt)
        right = self.pool.right[:clean]
        if not self.pool.is_scored or spec.drop == 0:
            return weights
        target = float(right.mean()) - spec.drop
        if not 0 < target < 1 or right.min() == 1:
            raise UsageError(
                f"the accuracy cannot fall by drop={spec.drop:g}",
                got=f"an accuracy of {right.mean():.3f} on {clean:,} rows",
                expected="some answers that are wrong, and a drop below the accuracy",
            )
        right_weight, wrong_weight = float(weights @ right), float(weights @ (1 - right))
        factor = right_weight * (1 - target) / (target * wrong_weight)
        return weights * np.where(right == 1, 1.0, min(factor, _LARGEST_WEIGHT))

    def _scores(self) -> tuple[str | None, Real]:
        """The column that moves, and its normal scores, high where answers are wrong unless the column is chosen."""
        rows, clean = self.pool.rows.iloc[: self.pool.clean], self.pool.clean
        numbers = {
            str(name): column_kinds.numbers(rows[name])
            for name in rows.columns
            if not str(name).startswith(OUTPUT) and column_kinds.kind_of(rows[name]) == "number"
        }
        if self.spec.column is not None and self.spec.column not in numbers:
            raise UsageError(
                "that is no column of numbers of the inputs",
                got=self.spec.column,
                expected=", ".join(numbers) or "none",
            )
        wrong = 1 - self.pool.right[:clean] if self.pool.is_scored else None
        best, found = None, np.zeros(clean)
        strongest = -1.0
        for name in [self.spec.column] if self.spec.column is not None else numbers:
            scores = _normal_scores(numbers[name])
            if np.ptp(scores) == 0:
                continue
            related = 0.0 if wrong is None or np.ptp(wrong) == 0 else float(np.corrcoef(scores, wrong)[0, 1])
            if abs(related) > strongest:
                strongest, best = abs(related), name
                self._sign = 1.0 if related >= 0 or self.spec.column is not None else -1.0
                found = self._sign * scores
        return best, found

    def _of_label(self) -> Real:
        truth = self.pool.truth[: self.pool.clean]
        labels, counts = np.unique(np.array([str(one) for one in truth if one is not None]), return_counts=True)
        if len(labels) < 2:
            raise UsageError("label_share needs rows of two labels at least", got=", ".join(map(str, labels)) or "none")
        label = self.spec.label or str(labels[int(np.argmin(counts))])
        if label not in labels:
            raise UsageError("no row has that label", got=label, expected=", ".join(map(str, labels)))
        self.column = label
        return np.where(truth == label, self.spec.factor, 1.0)

    def parameters(self) -> dict[str, Any]:
        """The parameters of the scenario that are used, as they are."""
        values = self.spec.model_dump(mode="json", exclude={"name"})
        used = {key: value for key, value in values.items() if self.spec.name in USED_BY.get(key, (self.spec.name,))}
        day = None if self.changes_at is None else self.changes_at / HOURS_A_DAY
        found = {"day": day, "requests_an_hour": round(self.rate, 2)} | ({"column": self.column} if self.column else {})
        return {key: found.get(key, value) for key, value in used.items()}

    def told(self) -> str:
        """What changes, in words."""
        spec = self.spec
        moved = f", {self.column} moves by about {self.moves:g} standard deviations" if self.column else ""
        falls = f"the accuracy falls by {spec.drop:.1%}" if self.pool.is_scored else "the rows change"
        return {
            "none": "nothing changes",
            "gradual": f"over {spec.ramp_days:g} days {falls}{moved}",
            "sudden": f"{falls} at once{moved}",
            "seasonal": "rows and their number vary with hour and weekday, as they always did: no change",
            "broken_sensor": f"{spec.column or 'the input'} is {spec.fault} in {spec.share:.0%} of the requests",
            "new_class": f"{spec.share:.0%} of the requests are of a class that the model does not have",
            "label_share": f"the odds of the label {self.column} are {spec.factor:g} times as large",
            "label_delay": f"{falls} at once{moved}; then truths come after {spec.late_hours:g} h on average, of "
            f"{spec.late_share:.0%} of the answers",
            "label_noise": f"{spec.noise:.0%} of the truths are told wrongly; the model is as good as before",
            "bad_retraining": f"{falls} at once{moved}; each retrained model has a mistake and is {spec.worse_by:.1%} "
            "worse than it should be",
            "no_traffic": f"{spec.left:.0%} of the requests are left",
            "recorded": "the traffic of the log, as it was",
        }[spec.name]  # fmt: skip


def _normal_scores(values: Real) -> Real:
    """Normal quantiles of the ranks, of mean 0; 0 where a value is missing."""
    scores = np.zeros(len(values))
    present = np.isfinite(values)
    if present.any():
        scores[present] = special.ndtri(stats.rankdata(values[present]) / (present.sum() + 1))
        scores[present] -= scores[present].mean()
    return scores
