"""Statistics of long columns: from files as in memory, bit for bit, whatever blocks they come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.preprocessing import number_statistics


@pytest.mark.parametrize("rows", [1, 2, 127, 1024, 1025, 5000, 30_011])
@pytest.mark.parametrize("kind", ["normal", "tied", "wide"])
def test_a_column_in_files_has_the_statistics_of_the_array(
    rows: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_statistics, "_BLOCK", 1024)
    rng = np.random.default_rng(rows)
    values = rng.normal(size=rows)
    if kind == "tied":
        values = values.round(1) + 0.0  # without -0.0
    if kind == "wide":
        values = np.exp(values * 40) * rng.choice([-1, 1], rows)
    values[1:][rng.random(rows - 1) < 0.1] = np.nan
    blocks = np.split(values, np.sort(rng.integers(0, rows + 1, 7)))
    whole = number_statistics.of_array(values, with_quantiles=True)
    found = number_statistics.of_blocks(blocks, tmp_path / "x", with_quantiles=True, in_memory=0)
    assert repr(found) == repr(whole)
    assert found.mean == values[~np.isnan(values)].mean()
    assert found.quantiles[0] == found.minimum == np.nanmin(values)
    assert not list(tmp_path.iterdir())


def test_columns_without_values_and_short_ones(tmp_path: Path) -> None:
    nothing = np.full(3, np.nan)
    for in_memory in (0, 100):
        found = number_statistics.of_blocks([nothing], tmp_path / "x", with_quantiles=False, in_memory=in_memory)
        assert (found.rows, found.samples, found.quantiles) == (3, 0, [])
    short = number_statistics.of_blocks([np.array([2.0]), np.array([4.0])], tmp_path / "x", with_quantiles=False)
    assert (short.mean, short.std, short.median) == (3.0, 1.0, 3.0)


def test_zeros_of_both_signs_are_ordered_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    values = np.array([0.0, -0.0, 0.0, -0.0, 1.0])
    for order in (values, values[::-1]):
        found = number_statistics.of_blocks([order], tmp_path / "x", with_quantiles=True, in_memory=0)
        assert np.signbit(found.minimum)
        assert not np.signbit(found.median)
