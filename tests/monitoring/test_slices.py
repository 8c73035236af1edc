"""Live quality by slices of a column, and challengers against champions, against scipy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from components.contracts.prediction_log import BY_REQUEST, OPEN, hour_of
from components.core.errors import UsageError
from components.monitoring import live_quality, overview, slices


def labelled(scores: list[int], role: str, version: str, first: int = 0) -> pd.DataFrame:
    return pd.DataFrame({
        "id": [f"{first + place}" for place in range(len(scores))], "index": 0, "role": role, "version": version,
        "output": [{"label": str(one)} for one in scores], "truth": ["1"] * len(scores),
    })  # fmt: skip


def test_a_shadow_is_compared_on_the_same_samples_and_a_canary_on_others() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random(200) < 0.8).astype(int).tolist(), (rng.random(200) < 0.9).astype(int).tolist()
    table = pd.concat([labelled(one, "champion", "1"), labelled(other, "shadow", "2")])
    (paired,) = live_quality.comparisons(table)
    expected = stats.ttest_rel(other, one).confidence_interval(0.95)
    assert (paired.champion, paired.challenger, paired.paired, paired.samples) == ("1", "2", True, 200)
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high))
    table = pd.concat([labelled(one, "champion", "1"), labelled(other[:50], "challenger", "2", 1000)])
    (apart,) = live_quality.comparisons(table)
    expected = stats.ttest_ind(other[:50], one, equal_var=False).confidence_interval(0.95)
    assert (apart.paired, apart.samples) == (False, 50)
    assert (apart.low, apart.high) == pytest.approx((expected.low, expected.high))
    assert apart.difference == pytest.approx(np.mean(other[:50]) - np.mean(one))


def test_slices_by_values_and_by_quarters() -> None:
    table = pd.DataFrame({"a": ["x", None, "y", "x"], "n": [1.0, 2.0, 3.0, np.nan], "b": [True, False, True, True]})
    assert [(name, len(part)) for name, part in slices.slices(table, "a")] == [("x", 2), ("y", 1), ("(none)", 1)]
    assert [name for name, _ in slices.slices(table, "n")] == ["1.0", "2.0", "3.0", "(none)"]
    assert [(name, len(part)) for name, part in slices.slices(table, "b")] == [("False", 1), ("True", 3)]
    many = pd.DataFrame({"n": np.arange(101.0), "t": [f"{place % 30}" for place in range(101)]})
    assert [(name, len(part)) for name, part in slices.slices(many, "n")] == [
        ("0 to 25", 25), ("25 to 50", 25), ("50 to 75", 25), ("75 to 100", 26),
    ]  # fmt: skip
    parts = dict(slices.slices(many, "t"))
    assert len(parts) == slices.MOST_VALUES + 1
    assert sum(map(len, parts.values())) == 101


def _write(log: Path, begin: float, names: list[str], rows: bool = True, **more: Any) -> list[str]:
    ids = [f"{int(begin):08x}-{place:016x}" for place in range(len(names))]
    block: dict[str, Any] = {
        "format": BY_REQUEST, "model": "m", "version": "1", "package": "p", "role": "champion", "id": ids,
        "time_us": [int(1e6 * begin)] * len(ids), "latency_us": [1000 * (1 + place) for place in range(len(ids))],
        "outputs": [[{"label": "a"}]] * len(ids), **({"rows": {"raw.town": names}} if rows else {}), **more,
    }  # fmt: skip
    path = log / OPEN / hour_of(begin) / "1-a.predictions.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(block) + "\n")
    return ids


def test_the_overview_has_figures_by_a_column(tmp_path: Path) -> None:
    log, now = tmp_path / "m", time.time()
    ids = _write(log, now - 3 * 3600, ["rome"] * 6 + ["paris"] * 4)
    _write(log, now - 5 * 3600, ["rome"] * 3, rows=False)
    truths = [
        json.dumps({"id": name, "index": 0, "truth": "a" if place < 8 else "b", "at": None, "arrived": now})
        for place, name in enumerate([*ids, "00000001-0000000000000001"])
    ]
    path = log / OPEN / hour_of(now) / "1-a.feedback.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(truths) + "\n")
    found = overview.overview(log, by="raw.town")
    figures = {one.slice: (one.value, one.samples) for one in found.figures}
    assert figures == {None: (0.8, 10), "paris": (0.5, 4), "rome": (1.0, 6)}
    assert (found.truths.labelled, found.truths.unlabelled, found.truths.unknown) == (10, 3, 1)
    (slot,) = found.slots
    assert slot.predictions == 13
    assert slot.median_ms == 4.0
    with pytest.raises(UsageError, match="no answer has this column"):
        overview.overview(log, by="raw.nothing")
