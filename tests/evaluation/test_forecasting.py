"""Errors of forecasts against scikit-learn; windows of one table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error

from components import tasks
from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ForecastOutput
from components.evaluation.additive_metrics import AdditiveScores
from components.evaluation.forecasting import SCORER
from components.evaluation.scorer import Arrays
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.stored import StoredSplit
from tests.evaluation.stub_package import Answers, quiet

BACK, AHEAD, CHANNELS, LEVELS = 6, 4, 3, [0.1, 0.5, 0.9]
SPECS = (
    ArraySpec(name="past", type="float32", shape=(CHANNELS,), layout="window", of="values", stop=BACK),
    ArraySpec(
        name="future", type="float32", shape=(CHANNELS,), layout="window", of="values", start=BACK, stop=BACK + AHEAD
    ),
)
SHIFTS = np.array([-0.8, 0.1, 0.9], np.float32)


def outputs(feed: Arrays) -> Arrays:
    """The last row goes on; quantiles around it, the first two changed over, as networks do."""
    last = np.repeat(feed["past"][:, -1:], AHEAD, axis=1)  # (N, H, C)
    return {"values": (last[..., None] + SHIFTS)[..., [1, 0, 2]]}


def scored(folder: Path, answers: Answers | None = None) -> tuple[AdditiveScores, Arrays]:
    (folder / "test").mkdir(parents=True)
    table = np.cumsum(np.random.default_rng(0).normal(size=(80, CHANNELS)), axis=0).astype(np.float32)
    np.save(folder / "test" / "values.npy", table)
    split = StoredSplit(folder / "test", SPECS)
    processor = SimpleNamespace(channels=["load", "oil", "sun"])
    frozen = FrozenSplit(folder, tasks.find("forecasting"), SPECS, split, [], processor)  # type: ignore[arg-type]
    output_spec = ForecastOutput(horizon=AHEAD, channels=CHANNELS, quantiles=LEVELS)
    asked = answers or Answers(outputs)
    asked.processor = SimpleNamespace(inputs=lambda: ("past",), output_spec=lambda: output_spec)
    return SCORER.score(asked, frozen, quiet), split.batch(np.arange(len(split)))


def test_against_scikit_learn(tmp_path: Path) -> None:
    result, batch = scored(tmp_path)
    truth = batch["future"].ravel()
    values = np.sort(outputs(batch)["values"], axis=-1).astype(np.float64)
    assert result.samples == 80 - BACK - AHEAD + 1
    figures = result.figures()
    assert figures["mse"] == pytest.approx(mean_squared_error(truth, values[..., 1].ravel()))
    assert figures["mae"] == pytest.approx(mean_absolute_error(truth, values[..., 1].ravel()))
    losses = [mean_pinball_loss(truth, values[..., place].ravel(), alpha=level) for place, level in enumerate(LEVELS)]
    assert figures["pinball"] == pytest.approx(np.mean(losses))
    inside = (truth >= values[..., 0].ravel()) & (truth <= values[..., 2].ravel())
    assert figures["coverage"] == pytest.approx(inside.mean())


def test_each_channel_each_step_and_each_quantile_is_told(tmp_path: Path) -> None:
    result, batch = scored(tmp_path)
    document = result.document()
    errors = (batch["future"] - np.sort(outputs(batch)["values"], axis=-1)[..., 1].astype(np.float64)) ** 2
    assert [row["mse"] for row in document["per_channel"]] == pytest.approx(errors.mean(axis=(0, 1)).tolist())
    assert [row["mse"] for row in document["per_step"]] == pytest.approx(errors.mean(axis=(0, 2)).tolist())
    assert [row["quantile"] for row in document["quantiles"]] == LEVELS
    assert [part.name for part in result.slices()] == ["load", "oil", "sun"]


def test_neighbouring_windows_share_what_is_ahead_of_them(tmp_path: Path) -> None:
    assert scored(tmp_path)[0].overlap == AHEAD


def test_windows_answered_with_nan_are_counted(tmp_path: Path) -> None:
    def broken(feed: Arrays) -> Arrays:
        values = outputs(feed)["values"]
        values[3] = np.nan
        return {"values": values}

    assert scored(tmp_path, Answers(broken))[0].not_finite == 1


@pytest.mark.slow
def test_it_is_drawn_and_told(tmp_path: Path) -> None:
    result, _ = scored(tmp_path)
    result.draw(tmp_path / "plots")
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"horizon.png", "quantiles.png"}
    assert result.card_lines().results[2].startswith("| load | ")
