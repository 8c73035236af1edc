"""Series in lists and CSV, and their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.core.errors import SampleError
from components.preprocessing import series


def test_lists_and_csv_are_read_alike() -> None:
    rows = [[1.0, 2.5], [3.0, -4e-3], [5.0, 6.0]]
    expected = np.asarray(rows)
    for item in (rows, "1,2.5\n3,-4e-3\n5,6\n", b"\xef\xbb\xbfHUFL,OT\n1,2.5\r\n3,-0.004\r\n\r\n5,6", expected):
        assert (series.read(item, 2) == expected).all()
        assert series.read(item, None).shape == (3, 2)


@pytest.mark.parametrize("item", [[1, 2, 3, 4], "1\n2\n3\n4\n", "1,2,3,4", "values\n1\n2\n3\n4"])
def test_flat_numbers_are_steps_one_after_another(item: Any) -> None:
    assert series.read(item, 1).tolist() == [[1], [2], [3], [4]]
    assert series.read(item, 2).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ([], "empty"),
        ("", "empty"),
        ("a,b\n", "empty"),
        ([[]], "empty"),
        ([[1, 2], [3]], "unequal"),
        ("1,2\n3\n", "unequal"),
        ([1, [2]], "unequal"),
        ([[1, "2"]], "not a number"),
        ([[1, True]], "not a number"),
        ([[1, None]], "not a number"),
        ("1,2\n3,x\n", "not a number"),
        ("1,2\n3,\n", "not finite"),
        ([[1, float("nan")]], "not finite"),
        ("1,2\ninf,3", "not finite"),
        ([[1, 1e300]], "not finite"),
        ([[1, 10**400]], "too large"),
        ([1, 2, 3], "incomplete step"),
        ([[1, 2, 3]], "another number of channels"),
        (7, "not a series"),
        ({"a": 1}, "not a series"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_no_series_is_refused(item: Any, what: str) -> None:
    with pytest.raises(SampleError, match=what):
        series.read(item, 2)


def test_the_first_value_that_is_not_finite_is_named() -> None:
    with pytest.raises(SampleError) as caught:
        series.read([[1, 2], [3, float("nan")]], 2)
    assert caught.value.where == "step 1, channel 1"


def test_csv_brings_numbers_back_as_they_were() -> None:
    values = np.random.default_rng(0).normal(size=(150, 3)) * 10.0 ** np.arange(-150, 0)[:, None]
    assert (series._of_csv(series.to_csv(values)) == values).all()


def test_statistics_are_those_of_all_steps_and_survive_large_numbers() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 3)) * [1, 1e-3, 5] + [1e6, 0, -2]
    statistics = series.SeriesStatistics()
    for part in np.split(values, [1, 10, 10, 500]):
        statistics.add(part)
    mean, std = statistics.result()
    assert mean == pytest.approx(values.mean(axis=0), rel=1e-12)
    assert std == pytest.approx(values.std(axis=0), rel=1e-9)


def test_a_channel_that_never_changes_can_be_divided_by() -> None:
    statistics = series.SeriesStatistics()
    statistics.add(np.ones((5, 1)))
    assert statistics.result()[1][0] > 0
    with pytest.raises(SampleError, match="no values"):
        series.SeriesStatistics().result()


def test_facts_of_series() -> None:
    seen = series.describe(np.asarray([1.0, np.nan, 3.0]))
    assert seen == {"steps": 3, "finite": False, "minimum": 1.0, "maximum": 3.0, "mean": 2.0, "standard_deviation": 1.0}
    assert series.describe(np.asarray([1.0]))["finite"] is True
    assert series.describe(["x"])["finite"] is False
    assert series.describe(None)["finite"] is False
    assert tuple(series.describe([])) == series.DESCRIBED
