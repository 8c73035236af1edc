"""The usual distance in time from one row to the next."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

DAY = 86_400.0
_USUAL = 0.9  # share of the steps that must be the same to be the rule
_JITTER = 0.5  # where steps vary: a row can be this share of the median early or late
_HOLIDAYS = 5  # working days: most days from one to the next, over a weekend and holidays


class StepRule(NamedTuple):
    """Bounds of a step in seconds: what is outside is a gap, or a row too many; `text` says the rule."""

    low: float
    high: float
    text: str


def usual(seconds: Sequence[float]) -> StepRule | None:
    """The rule that the steps of rising times follow; None for fewer than three rows.

    One step, if nine of ten are the same; or months; or working days; else half to one and a half of the median.
    """
    distances = [after - before for before, after in pairwise(seconds)]
    if len(distances) < 2:
        return None
    step, count = Counter(distances).most_common(1)[0]
    if count >= _USUAL * len(distances):
        return StepRule(step, step, f"a row every {readable(step)}")
    median = sorted(distances)[len(distances) // 2]
    if median >= 28 * DAY and (months := _months(seconds)) is not None:
        return months
    days = [datetime.datetime.fromtimestamp(time, datetime.UTC).weekday() for time in seconds]
    if median == DAY and max(days) < 5:
        return StepRule(DAY, _HOLIDAYS * DAY, f"a row every working day, up to {_HOLIDAYS} days over holidays")
    text = f"the steps vary around {readable(median)}, from half to one and a half of that"
    return StepRule((1 - _JITTER) * median, (1 + _JITTER) * median, text)


def readable(seconds: float) -> str:
    """A duration in the largest unit that it is a multiple of."""
    for name, unit in (("days", DAY), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count:,} {name}" if count > 1 else name[:-1]
    return f"{seconds:,g} seconds"


def _months(seconds: Sequence[float]) -> StepRule | None:
    """The same number of months from row to row, on the same day or the last days of the month."""
    dates = [datetime.datetime.fromtimestamp(time, datetime.UTC) for time in seconds]
    numbers = [12 * date.year + date.month for date in dates]
    step, count = Counter(after - before for before, after in pairwise(numbers)).most_common(1)[0]
    same_day = Counter(date.day for date in dates).most_common(1)[0][1] >= _USUAL * len(dates)
    if step < 1 or count < _USUAL * (len(dates) - 1) or not (same_day or min(date.day for date in dates) >= 28):
        return None
    name = "month" if step == 1 else f"{step} months"
    low, high = (28, 31) if step == 1 else (int(30.4369 * step) - 3, int(30.4369 * step) + 4)
    return StepRule(low * DAY, high * DAY, f"a row every {name}")
