"""The look-back and the horizon of a drafted forecast, by the season of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

MAX_HORIZON, MAX_LOOK_BACK = 96, 336
_DAY = 86_400.0
_YEAR = 365.25 * _DAY
_WINDOWS = 12  # horizons in all rows at least, so that validation, a tenth of them, has one
_SHORT = 24  # rows that are looked back at, where there are enough of them, whatever the season


def season(seconds: Sequence[float]) -> int:
    """Rows of the usual season: a day of hours and minutes, a week of days, a year of weeks, months and quarters.

    The periods are those by which forecasts are usually compared (Makridakis et al. 2020, doi:10.1016/j.ijforecast.
    2019.04.014, table 1), and a week for days. 1 where there is none: years, or fewer than three rows.

    Args:
        seconds: rising times.
    """
    steps = sorted(after - before for before, after in pairwise(seconds))
    if len(steps) < 2 or steps[len(steps) // 2] <= 0:
        return 1
    step = steps[len(steps) // 2]
    if step <= _DAY / 2:
        return round(_DAY / step)
    if step < 6 * _DAY:  # the mean step, as a week of working days has five
        return max(1, round(7 * _DAY / max(step, sum(steps) / len(steps))))
    return max(1, round(_YEAR / step))


def sizes(rows: int, period: int) -> tuple[int, int]:
    """Look-back and horizon: a season ahead, or a hundredth of the rows if that is more; two seasons back, or four
    horizons; within bounds.

    Args:
        rows: of the whole table.
        period: rows of a season.
    """
    horizon = max(1, min(MAX_HORIZON, max(rows // 100, min(period, rows // _WINDOWS))))
    look_back = max(4 * horizon, 2 * period, min(_SHORT, rows // 8))
    return max(horizon, min(MAX_LOOK_BACK, look_back, rows // 4)), horizon
