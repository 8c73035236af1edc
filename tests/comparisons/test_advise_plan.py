"""The experiments of an advice: what is trained, for how long, and what is left out."""

from __future__ import annotations

from fractions import Fraction

import pytest

from components.contracts.architectures import scaling
from components.contracts.pipeline import PipelineSpec
from flows.comparisons import advise_plan, advise_sizes
from flows.comparisons.advise_plan import Sizes

SPEC = PipelineSpec.model_validate(
    {
        "name": "flowers", "task": "text-classification", "dataset": "flowers",
        "model": {"family": "rnn", "name": "gru"}, "train": {"epochs": 12, "seed": 7},
    }
)  # fmt: skip


def test_parts_of_the_data_have_the_steps_of_the_whole_and_small_ones_are_left_out() -> None:
    planned, left_out = advise_plan.data_parts(SPEC, 12, Sizes(800, 100, 40))
    assert left_out == {"1/16 of the data": "50 samples are too few: at least 80"}
    settings = [(one.spec.train.samples, one.spec.train.epochs, one.spec.train.seed, one.steps) for one in planned]
    assert settings == [(100, 48, 7, 0.5), (100, 48, 8, 0.5), (200, 48, 7, 1.0), (400, 24, 7, 1.0)]
    assert all(one.curves == ("data",) for one in planned)
    assert advise_plan.base(SPEC, 12).spec is SPEC  # what `run` trained is not trained again


def test_sizes_of_the_model_are_the_nearest_counted_ones() -> None:
    candidates = [(scaling.scaled(SPEC.model, share), round(1000 * share**2)) for share in (0.36, 0.5, 0.7, 1.1, 1.4)]
    planned = advise_plan.model_sizes(SPEC, 12, candidates, 1000)  # type: ignore[arg-type]
    assert [one.name.partition(" (")[0] for one in planned] == [
        f"a network of {count:,} parameters" for count in (130, 250, 490, 1960)
    ]
    assert planned[-1].spec.model == candidates[-1][0]
    assert advise_plan.model_sizes(SPEC, 12, [], 0) == []


def test_shorter_trainings_and_what_fits_in_a_time() -> None:
    assert [one.spec.train.epochs for one in advise_plan.time_parts(SPEC, 12)] == [2, 3, 6]
    assert [one.spec.train.epochs for one in advise_plan.time_parts(SPEC, 4)] == [1, 2]
    assert advise_plan.time_parts(SPEC, 1) == []
    assert advise_plan.affordable_epochs(lambda _: 8.0, 0.5, 60, 40) == 15
    assert advise_plan.affordable_epochs(lambda _: 8.0, 0.5, 60, 10) == 10
    assert advise_plan.affordable_epochs(lambda _: 8.0, 0.5, 2, 10) == 0
    assert min(advise_sizes.WIDTH_FACTORS) == pytest.approx(0.088, rel=0.01)
    assert Fraction(1, 8) in advise_plan.TIME_PARTS
