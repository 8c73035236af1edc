"""The verdict in words, and when there is none."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.advice import error_scale, summary, verdict
from components.advice.levers import Forecast
from components.advice.measurement import Figure, Measured, own_shares, standard_errors
from components.contracts.advice import Experiment
from components.contracts.comparison import Quality

ACCURACY = error_scale.of("accuracy", higher_is_better=True)
UNFITTED = [Forecast("time", None, "2 sizes were measured")]


def figure(value: float, half: float, resampled: list[float] | None = None) -> Figure:
    quality = Quality(value=value, lower=value - half, upper=min(1.0, value + half))
    return Figure(
        scoring="s", split="validation", metric="accuracy", samples=150, method="m", quality=quality,
        resampled=resampled or [value],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("probabilities", "word", "text"),
    [
        (
            {"data": 0.7, "ceiling": 0.3},
            "data",
            "by the data (70% likely); nothing is known of twice the steps.",
        ),
        ({"data": 0.4, "ceiling": 0.6}, "ceiling", "At its ceiling (60% likely): no lever takes away 5% of the error"),
        ({"data": 0.4, "model": 0.35, "ceiling": 0.25}, "unknown", "data 40%, model 35%, ceiling 25%; the experiments"),
        ({}, "unknown", "It cannot be told what limits this pipeline: twice the steps: 2 sizes were measured."),
    ],
)
def test_the_likeliest_is_told_if_it_is_likely(probabilities: dict[str, float], word: str, text: str) -> None:
    assert verdict.of(probabilities) == word
    assert text in verdict.sentence(word, probabilities, UNFITTED)


def test_without_a_measurable_error_nothing_is_told() -> None:
    assert verdict.unresolved(figure(0.9, 0.05), ACCURACY) is None
    assert "150 validation samples cannot tell" in str(verdict.unresolved(figure(0.99, 0.02), ACCURACY))
    assert "best value of accuracy is not known" in str(verdict.unresolved(figure(7.0, 0.02), ACCURACY))
    assert verdict.unresolved(figure(0.99, 0.02), error_scale.of("mse", higher_is_better=False)) is None


def test_a_baseline_that_is_as_good_is_named() -> None:
    known = {"the commonest class": 0.5, "a linear model": 0.93}
    assert verdict.beside(figure(0.95, 0.01), known, higher_is_better=True) == ""
    assert "0.9000 beside 0.9300 of a linear model" in verdict.beside(figure(0.9, 0.01), known, higher_is_better=True)
    assert "of the commonest class" in verdict.beside(figure(0.9, 0.01), known, higher_is_better=False)


def test_noise_that_all_experiments_share_is_not_their_own() -> None:
    rising, falling = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]
    alike = [figure(0.5, 0.1, rising), figure(0.6, 0.1, [2 * value for value in rising])]
    assert own_shares(alike) == pytest.approx([0.01, 0.01])
    assert own_shares([alike[0], figure(0.5, 0.1, falling)]) == pytest.approx([1, 1])
    assert own_shares([alike[0], figure(1.0, 0.1, [1.0] * 4)]) == pytest.approx([1, 1])
    assert standard_errors(alike) == pytest.approx([0.1 / 1.96, 0.1 / 1.96], rel=1e-3)


def test_a_part_with_fewer_steps_that_has_not_learnt_yet_is_no_point_of_the_law(tmp_path: Path) -> None:
    def measured(name: str, steps: float, train: float, validation: float, is_base: bool = False) -> Measured:
        folder = tmp_path / name
        folder.mkdir()
        row = {"train/loss": train, "validation/loss": validation}
        (folder / "history.json").write_text(json.dumps({"epochs": [row], "kept_epoch": 1}))
        own = Experiment(
            name=name, curves=["data"], is_base=is_base, seed=0, trained=str(folder), samples=9, parameters=9,
            steps=steps, epochs=1, kept_epoch=1, seconds=None,
        )  # fmt: skip
        return Measured(own, SimpleNamespace(folder=folder), figure(0.5, 0.1))  # type: ignore[arg-type]

    found, reasons = summary.without_undertrained(
        [
            measured("base", 1.0, 1.0, 1.0, is_base=True),
            measured("half", 1.0, 1.0, 1.0),
            measured("learnt", 0.25, 0.5, 1.0),
            measured("raw", 0.25, 1.0, 1.05),
        ]
    )
    assert [one.experiment.curves for one in found] == [["data"], ["data"], ["data"], []]
    assert reasons.keys() == {"raw"}
    assert "with 25% of the steps it has not learnt its part yet (loss 1.0000 on train" in reasons["raw"]
