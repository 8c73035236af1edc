"""Forecasting, from rows of a table to answers in their own units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from components.core.errors import SampleError, UsageError
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit
from components.tasks import find
from components.tasks.forecasting import ForecastingProcessor, ForecastingSettings
from tests.tasks import whole_path

TASK = find("forecasting")
ROWS = np.stack([np.arange(20.0), 100 - 3 * np.arange(20.0)], axis=1)  # (T, C)
SAMPLES = [{"time": f"2016-07-01 {hour:02}:00:00", "values": row} for hour, row in enumerate(ROWS)]


@pytest.fixture
def processor(tmp_path: Path) -> ForecastingProcessor:
    return whole_path.fitted(TASK, SAMPLES[:12], tmp_path, look_back=4, horizon=2, channels=["up", "down"])


def network(graph: str, feed: Arrays) -> Arrays:
    """Goes on as the last two rows went; its quantiles cross."""
    assert graph == "model"
    past = feed["past"]  # (N, L, C)
    step = past[:, -1] - past[:, -2]
    ahead = np.stack([past[:, -1] + step, past[:, -1] + 2 * step], axis=1)  # (N, H, C)
    return {"values": np.stack([ahead + 1, ahead, ahead - 1], axis=-1)}


def test_from_rows_to_answers(processor: ForecastingProcessor) -> None:
    window = SAMPLES[10:16]
    example = TASK.window_example(window, processor.look_back)
    assert (example.media, example.suffix) == ("text/csv", ".csv")
    assert example.truth == "2016-07-01 14:00:00: 14, 58"
    samples = [processor.read(item, max_pixels=0) for item in (example.content, ROWS[2:6].tolist())]
    answers = whole_path.alone_and_batched(processor, network, samples, [])
    assert np.asarray(answers[0]["values"]) == pytest.approx(ROWS[14:16], abs=1e-4)
    assert np.asarray(answers[1]["values"]) == pytest.approx(ROWS[6:8], abs=1e-4)
    assert answers[0]["channels"] == ["up", "down"]
    low, mid, high = (np.asarray(answers[0]["quantiles"][name]) for name in ("0.1", "0.5", "0.9"))
    assert mid.tolist() == answers[0]["values"]
    assert (high - mid) == pytest.approx(np.tile(processor.std, (2, 1)), rel=1e-4)  # put in order, in their own units
    assert (mid > low).all()
    json.dumps(answers, allow_nan=False)


def test_stored_rows_are_standardised_by_the_train_rows_and_windows_are_those_of_the_rows(
    processor: ForecastingProcessor, tmp_path: Path
) -> None:
    assert processor.mean == pytest.approx(ROWS[:12].mean(axis=0))
    assert processor.std == pytest.approx(ROWS[:12].std(axis=0))
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, processor))
    table = np.stack([row["values"] for row in encoded])  # (T, C)
    assert table.dtype == np.float32
    np.save(tmp_path / "values.npy", table)
    split = StoredSplit(tmp_path, processor.arrays())
    assert len(split) == 20 - 6 + 1
    batch = split.batch(np.asarray([0, 10]))
    assert batch["past"].shape == (2, 4, 2)
    assert batch["future"].shape == (2, 2, 2)
    assert (batch["past"][1] == processor.read(ROWS[10:14].tolist(), max_pixels=0)["past"]).all()
    assert (batch["future"][1] == table[14:16]).all()
    looked = TASK.describe_prepared(batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["mean"].shape == (2,)


def test_what_a_network_gets_and_gives(processor: ForecastingProcessor) -> None:
    input_spec, output_spec = processor.input_spec(), processor.output_spec()
    assert (input_spec.max_length, input_spec.channels, input_spec.fixed, input_spec.mean, input_spec.std) == (
        4,
        2,
        True,
        [0, 0],
        [1, 1],
    )
    assert (output_spec.horizon, output_spec.channels, output_spec.quantiles) == (2, 2, [0.1, 0.5, 0.9])


@pytest.mark.parametrize(
    "item", [ROWS[:3].tolist(), ROWS[:5].tolist(), [[1, 2, 3]] * 4, [[1, float("nan")]] * 4, "x,y\n1,2\n", b"\xff", 3]
)
def test_bad_requests_are_refused(processor: ForecastingProcessor, item: object) -> None:
    with pytest.raises(SampleError):
        processor.read(item, max_pixels=0)


def test_bad_rows_are_seen_and_refused(processor: ForecastingProcessor) -> None:
    odd = {"time": "yesterday", "values": np.asarray([1.0, np.nan])}
    seen = TASK.describe(odd)
    assert tuple(seen) == TASK.raw_columns
    assert np.isnan(seen["time_seconds"])
    assert seen["finite"] is False
    assert TASK.describe(SAMPLES[0])["time_seconds"] == 1467331200.0
    for values in (odd["values"], np.asarray([1.0])):
        with pytest.raises(SampleError) as caught:
            processor.encode(whole_path.raws(TASK, [SAMPLES[0], {"time": "", "values": values}], processor))
        assert str(caught.value.where).startswith("sample 1")


@pytest.mark.parametrize("change", [{"quantiles": [0.1, 0.9]}, {"quantiles": [0.9, 0.5]}, {"quantiles": [0.5, 1.0]},
                                    {"channels": ["a", "a"]}, {"look_back": 0}])  # fmt: skip
def test_settings_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ForecastingSettings.model_validate(change)


def test_names_of_channels_are_as_many_as_columns() -> None:
    settings = ForecastingSettings(channels=["one"])
    with pytest.raises(UsageError, match="names"):
        TASK.fit(settings, iter(whole_path.raws(TASK, SAMPLES, settings)), [])
    assert TASK.fit(ForecastingSettings(), iter(whole_path.raws(TASK, SAMPLES, settings)), []).names() == ["0", "1"]


def test_forecasts_agree_if_they_are_all_but_equal() -> None:
    one = {"values": [[1.0, 100.0]]}
    assert TASK.agree(one, {"values": [[1.01, 100.0]]})
    assert not TASK.agree(one, {"values": [[1.0, 101.0]]})
