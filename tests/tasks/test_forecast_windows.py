"""Look-back and horizon of a drafted forecast fit the season and the number of rows."""

from __future__ import annotations

import numpy as np
import pytest

from components.drafting.profile import Profile
from components.tasks import find, forecast_windows

TASK = find("forecasting")
HOUR, DAY = 3600.0, 86_400.0
MONTHS = np.arange("1949-01", "1961-01", dtype="datetime64[M]").astype("datetime64[s]").astype(np.float64)
WORKING_DAYS = np.array([DAY * (7 * week + day) for week in range(60) for day in range(5)])


@pytest.mark.parametrize(
    ("seconds", "period"),
    [
        (np.arange(100) * HOUR / 2, 48), (np.arange(100) * HOUR, 24), (np.arange(100) * DAY, 7), (WORKING_DAYS, 5),
        (np.arange(100) * 7 * DAY, 52), (MONTHS, 12), (MONTHS[::3], 4), (MONTHS[::12], 1), (MONTHS[:2], 1),
        (np.delete(np.arange(300) * HOUR, slice(50, 90)), 24),
    ],
)  # fmt: skip
def test_the_season_is_told_by_the_step(seconds: np.ndarray, period: int) -> None:
    assert forecast_windows.season(seconds.tolist()) == period


@pytest.mark.parametrize(
    ("rows", "period", "sizes"),
    [(17_420, 24, (336, 96)), (144, 12, (36, 12)), (144, 1, (18, 1)), (2_284, 52, (208, 52)),
     (100_000, 1440, (336, 96)), (30, 12, (7, 2)), (400, 24, (96, 24))],
)  # fmt: skip
def test_windows_hold_two_seasons_where_the_rows_allow(rows: int, period: int, sizes: tuple[int, int]) -> None:
    assert forecast_windows.sizes(rows, period) == sizes
    look_back, horizon = sizes
    assert look_back + horizon <= int(0.7 * rows)
    assert horizon <= int(0.1 * rows)
    profile = Profile(samples=rows, columns={"time_seconds": (np.arange(rows) * DAY * 7 / period).tolist()})
    drafted = TASK.draft_settings(profile, {"values": ["a"]})
    assert set(drafted) == {"look_back", "horizon", "channels"}
    training, (first, *others) = TASK.draft_training(rows, drafted), TASK.draft_candidates(rows, drafted)
    assert first == {"model": TASK.draft_model(rows, drafted), "train": training}
    assert {other["model"]["name"] for other in others} == {"gru", "patchtst"}
    assert all(other["train"]["learning_rate"] < training["learning_rate"] for other in others)
