"""The drift monitor: its rate of false alarms, what it finds and names, windows as they come."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import false_alarms
from benchmarks.drift.false_alarms import RATE, Setting
from components.core.errors import UsageError
from components.drift import sequential
from components.drift.sequential import Alarm, DriftMonitor


def table(rng: np.random.Generator, rows: int, shift: float = 0.0, correlation: float = 0.9) -> pd.DataFrame:
    first = rng.standard_normal(rows)
    second = correlation * first + math.sqrt(1 - correlation**2) * rng.standard_normal(rows)
    return pd.DataFrame({
        "age": 40 + 10 * (first + shift),
        "income": second,
        "city": rng.choice(["Bonn", "Graz", "Bern"], rows, p=[0.6, 0.3, 0.1]),
        "output.label": rng.random(rows) < 0.2,
    })  # fmt: skip


def monitor(rng: np.random.Generator, rows: int = 800, **settings: object) -> DriftMonitor:
    asked = {"false_alarms_per_month": 0.1, "windows_per_month": 720, **settings}
    return DriftMonitor.start(table(rng, rows), **asked)  # type: ignore[arg-type]


def watch(state: DriftMonitor, windows: list[pd.DataFrame], first: int = 0) -> tuple[DriftMonitor, Alarm | None]:
    for number, window in enumerate(windows, start=first):
        state, alarm = state.update(window, name=f"hour {number}")
        if alarm:
            return state, alarm
    return state, None


SMALL = Setting("", lambda rng, months, rows: rng.standard_normal((2, months, rows)), 2, 60, 6)


@pytest.mark.slow
def test_false_alarms_keep_to_the_rate_and_naive_ones_do_not() -> None:
    """100 months of hourly windows against references of 60 rows: at 2 a month 200 alarms at most are expected."""
    found = false_alarms.simulate(SMALL, 100, seed=0, rate=2.0)
    assert found <= 200 + 3 * math.sqrt(200)
    assert found > 0
    assert false_alarms.simulate(SMALL, 20, seed=0, naive=True, rate=2.0) > 3 * 2.0 * 20


@pytest.mark.slow
def test_false_alarms_of_all_kinds_of_streams_keep_to_the_rate() -> None:
    for setting in false_alarms.SETTINGS:
        months = 4 * setting.span
        assert false_alarms.simulate(setting, months, seed=5) <= 3 + 3 * RATE * months


def test_a_shift_is_found_named_and_dated() -> None:
    rng = np.random.default_rng(0)
    state, alarm = watch(monitor(rng), [table(rng, 60) for _ in range(40)])
    assert alarm is None
    state, alarm = watch(state, [table(rng, 60, shift=0.7) for _ in range(30)], first=40)
    assert alarm is not None
    assert alarm.streams[0].stream == "age"
    assert "higher" in alarm.streams[0].change
    assert alarm.streams[0].log10_evidence >= alarm.streams[0].log10_threshold
    assert abs(int(alarm.began.removeprefix("hour ")) - 40) <= 2
    assert int(alarm.window.removeprefix("hour ")) <= 50
    assert state.alarms == (alarm,)


def test_a_lost_correlation_is_seen_by_the_score_of_rows() -> None:
    rng = np.random.default_rng(0)
    _, alarm = watch(monitor(rng), [table(rng, 60, correlation=0.0) for _ in range(10)])
    assert alarm is not None
    assert [one.stream for one in alarm.streams] == ["row.distance"]


@pytest.mark.parametrize("change", ["unseen", "missing", "constant", "huge", "outputs"])
def test_sudden_changes_are_found_in_a_few_windows(change: str) -> None:
    rng = np.random.default_rng(0)
    windows = [table(rng, 60) for _ in range(6)]
    for window in windows:
        rows = rng.random(60) < 0.25
        if change == "unseen":
            window.loc[rows, "city"] = "Rome"
        elif change == "missing":
            window.loc[rows, "income"] = np.nan
        elif change == "constant":
            window["income"] = 0.1
        elif change == "huge":
            window.loc[rows, "age"] = 1e308
        else:
            window["output.label"] = rng.random(60) < 0.8
    column = {"unseen": "city", "huge": "age", "outputs": "output.label"}.get(change, "income")
    _, alarm = watch(monitor(rng, multivariate=False), windows)
    assert alarm is not None
    assert [one.stream for one in alarm.streams] == [column]


def test_an_embedding_is_watched() -> None:
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((4, 12))

    def embedding(rows: int, shift: float) -> np.ndarray:
        return (rng.standard_normal((rows, 4)) + shift * np.eye(4)[0]) @ axes + 0.1 * rng.standard_normal((rows, 12))

    state = DriftMonitor.start(
        pd.DataFrame(index=range(500)),
        false_alarms_per_month=0.1,
        windows_per_month=720,
        embedding=embedding(500, 0.0),
    )
    assert {stream.source for stream in state.streams} == {"embedding"}
    nothing = pd.DataFrame()
    for number in range(10):
        state, alarm = state.update(nothing, name=str(number), embedding=embedding(50, 0.0))
        assert alarm is None
    for number in range(10):
        state, alarm = state.update(nothing, name=str(number), embedding=embedding(50, 1.0))
        if alarm:
            break
    assert alarm is not None
    assert alarm.streams[0].stream.startswith("embedding.")


def test_state_is_json_and_the_order_of_rows_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    state = monitor(rng)
    window = table(rng, 50)
    first, _ = state.update(window, name="a")
    second, _ = DriftMonitor.from_json(state.to_json()).update(window.sample(frac=1, random_state=1), name="a")
    assert first == second
    assert first != state
    assert DriftMonitor.from_json(first.to_json()) == first


def test_windows_as_they_come() -> None:
    rng = np.random.default_rng(0)
    state = monitor(rng)
    assert state.update(table(rng, 0), name="empty") == (state, None)
    assert state.update(pd.DataFrame(), name="nothing") == (state, None)
    state, alarm = state.update(table(rng, 1), name="one row")
    assert alarm is None
    state, alarm = state.update(table(rng, 3000).drop(columns="age"), name="no age")
    assert alarm is None
    found = {stream.name: (stream.windows, stream.absent) for stream in state.streams}
    assert found["age"] == (1, 1)
    assert found["income"] == (2, 0)
    assert found["row.distance"] == (1, 1)
    state, _ = state.update(table(rng, 30).assign(city=None, extra=1), name="no city told")
    state, _ = state.update(table(rng, 30).assign(age="forty"), name="text in place of numbers")
    assert state.windows == 4
    assert len(state.names) <= 5


def test_a_change_becomes_what_is_usual() -> None:
    """Alarms end when most of the rows that ranks are taken among are of the new kind."""
    rng = np.random.default_rng(0)
    state, alarms = monitor(rng, rows=100), 0
    for number in range(60):
        state, alarm = state.update(table(rng, 100, shift=2.0), name=str(number))
        alarms += alarm is not None
        if number == 29:
            early = alarms
    assert 1 <= early <= 5
    assert alarms == early
    assert len(state.alarms) == alarms


def test_a_stream_of_ever_new_categories_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MOST_CATEGORIES", 8)
    rng = np.random.default_rng(0)
    state = monitor(rng, streams=["city"])
    for number in range(3):
        window = pd.DataFrame({"city": [f"town {number} {row}" for row in range(20)]})
        state, _ = state.update(window, name=str(number))
    assert len(state.streams[0].categories) == 9


def test_what_cannot_be_watched_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="too few rows"):
        monitor(rng, rows=10)
    with pytest.raises(UsageError, match="not in the reference"):
        monitor(rng, streams=["nosuch"])
    with pytest.raises(UsageError, match="nothing to watch"):
        DriftMonitor.start(pd.DataFrame({"x": [None] * 50}), false_alarms_per_month=1, windows_per_month=30)
    with pytest.raises(UsageError, match="another number of rows"):
        monitor(rng, embedding=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="greater than 0"):
        monitor(rng, false_alarms_per_month=0)
    state = DriftMonitor.start(
        table(rng, 50).assign(text=[f"a text {row}" for row in range(50)]),
        false_alarms_per_month=1,
        windows_per_month=30,
        streams=["age"],
    )
    assert set(state.unwatched) == {"income", "city", "output.label", "text"}


def by_hour(rng: np.random.Generator, hour: int, rows: int, shift: float = 0.0) -> pd.DataFrame:
    """Rows whose mean, atoms and categories follow the hour of the day."""
    wave = math.sin(2 * math.pi * hour / 24)
    number = 40 + 8 * wave + 5 * rng.standard_normal(rows) + shift
    city = rng.choice(["Bonn", "Graz", "Bern"], rows, p=[0.4 + 0.3 * wave, 0.4 - 0.3 * wave, 0.2])
    return pd.DataFrame({"age": number, "count": rng.poisson(2 + wave, rows), "city": city})


def days(
    rng: np.random.Generator, count: int, *, season: bool, rows: int = 40, shift_from: int | None = None
) -> list[int]:
    """The windows with an alarm among so many days of hours that follow the time of day."""
    reference = pd.concat([by_hour(rng, hour, 25) for hour in range(24)], ignore_index=True)
    state = DriftMonitor.start(reference, false_alarms_per_month=1.0, windows_per_month=730)
    found = []
    for number in range(24 * count):
        shift = 3.0 if shift_from is not None and number >= shift_from else 0.0
        window = by_hour(rng, number % 24, rows, shift)
        state, alarm = state.update(window, name=str(number), phase=str(number % 24) if season else None)
        if alarm:
            found.append(number)
    assert DriftMonitor.from_json(state.to_json()) == state
    return found


@pytest.mark.slow
def test_a_daily_pattern_is_drift_without_seasons_and_none_with_them() -> None:
    rng = np.random.default_rng(0)
    assert len(days(rng, 5, season=False)) > 5
    assert sum(len(days(rng, 30, season=True)) for _ in range(3)) <= 6  # three months; one a month is stated


@pytest.mark.slow
def test_a_shift_is_found_within_its_season() -> None:
    found = days(np.random.default_rng(1), 12, season=True, shift_from=24 * 7)
    assert found
    assert 24 * 7 <= found[0] <= 24 * 8


def test_ranks_of_a_phase_are_uniform_from_its_first_row_on() -> None:
    """Kolmogorov and Smirnov's test of the ranks of 300 phases of 20 rows that nothing came before."""
    from scipy import stats

    rng = np.random.default_rng(2)
    stream = monitor(rng).streams[0]
    found = []
    for _ in range(300):
        nothing = sequential.PhaseRows(counts=(0.0,) * (len(stream.cuts) + 1))
        values = 90 + rng.standard_normal(20)  # far from the reference, which cut the cells
        ranks, rows = sequential._ranks(stream, nothing, values, rng, rows_alone=True)
        assert sum(rows.counts) == 20
        found.append(ranks)
    assert stats.kstest(np.concatenate(found), "uniform").pvalue > 0.001
    assert abs(np.corrcoef([one[0] for one in found], [one[-1] for one in found])[0, 1]) < 0.2


def test_a_state_without_seasons_is_as_it_was() -> None:
    assert "phases" not in monitor(np.random.default_rng(0)).to_json()
