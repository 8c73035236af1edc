"""A learning-rate range test on real data: the curve, what it suggests, and a loss that is not finite."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.training_request import RATES_FILE, RateCurve
from components.core.errors import TrainingError
from components.training import rate_range, stage
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request


def test_it_leaves_a_curve_and_no_checkpoint(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared")
    wanted = request(tmp_path / "prepared", tmp_path / "run").model_copy(update={"rates": (1e-6, 10.0, 60)})
    with (tmp_path / "events").open("w") as events:
        stage.train(wanted, EventStream(events))
    curve = RateCurve.model_validate_json((tmp_path / "run" / RATES_FILE).read_bytes())
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed) >= rate_range.LEAST_POINTS
    assert curve.rates == sorted(curve.rates)
    assert 1e-6 < curve.suggested < curve.lowest <= curve.rates[-1]
    assert 1e-4 < curve.suggested < 1.0
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "trained").exists()
    with (
        pytest.raises(TrainingError, match="not finite after a few batches"),
        (tmp_path / "events").open("w") as events,
    ):
        stage.train(wanted.model_copy(update={"rates": (1e30, 1e38, 60)}), EventStream(events))
