"""Values of pipeline files and Optuna's representations of them, and the contract of `tune:`."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from pydantic import ValidationError

from components.contracts.tune_spec import TuneSpec
from components.tuning import space


def spec(**keys: dict[str, Any]) -> TuneSpec:
    return TuneSpec.model_validate({"space": {name.replace("__", "."): value for name, value in keys.items()}})


def test_mappings_are_chosen_whole_and_come_back_as_they_were() -> None:
    models = [{"family": "cnn", "name": "kim"}, {"family": "rnn", "name": "gru", "width": 64}]
    wanted = spec(
        model={"choice": models}, train__clip_norm={"choice": [None, 1.0]}, model__dropout={"float": [0, 0.5]}
    )
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    settings = space.suggest(trial, wanted)
    assert settings["model"] in models
    assert settings["train.clip_norm"] in (None, 1.0)
    assert 0 <= settings["model.dropout"] <= 0.5
    parameters, distributions = space.fixed(wanted, settings)
    assert parameters.keys() == distributions.keys() == settings.keys()
    assert all(distributions[key]._contains(distributions[key].to_internal_repr(parameters[key])) for key in parameters)


def test_a_recipe_outside_of_the_space_is_told_as_far_as_it_fits() -> None:
    wanted = spec(
        train__optimizer={"choice": ["adamw", "sgd"]},
        train__momentum={"float": [0.5, 0.9], "when": {"train.optimizer": "sgd"}},
        train__learning_rate={"float": [0.1, 1.0]},
    )
    values = {"train.optimizer": "adamw", "train.momentum": 0.6, "train.learning_rate": 0.001}
    assert space.fixed(wanted, values)[0] == {"train.optimizer": "adamw"}
    assert space.fixed(wanted, {**values, "train.optimizer": "sgd"})[0].keys() == {"train.optimizer", "train.momentum"}


def test_a_drawn_float_is_short_and_in_its_range() -> None:
    wanted = spec(train__learning_rate={"float": [1.00004e-3, 1.00005e-3]}, model__dropout={"float": [0, 1]})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        settings = space.suggest(study.ask(), wanted)
        assert 1.00004e-3 <= settings["train.learning_rate"] <= 1.00005e-3
        assert len(f"{settings['model.dropout']:.10g}".partition(".")[2].lstrip("0")) <= 4


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"space": {}}, "at least 1 item"),
        ({"space": {"gates.accuracy": {"float": [0, 1]}}}, "a key of model, train or input"),
        ({"space": {"train.seed": {"int": [0, 9]}}}, "the best seed is luck"),
        ({"space": {"train.epochs": {"int": [9, 2]}}}, "less than the highest"),
        ({"space": {"train.epochs": {"int": [1, 2], "choice": [1, 2]}}}, "give one of"),
        ({"space": {"train.learning_rate": {"float": [0, 1], "log": True}}}, "above 0"),
        ({"space": {"train.optimizer": {"choice": ["sgd", "sgd"]}}}, "stands twice"),
        ({"space": {"train.epochs": {"int": [1, 9], "when": {"train.optimizer": "sgd"}}}}, "no other key of the space"),
        (
            {"space": {"train.optimizer": {"choice": ["sgd", "adamw"]},
                       "train.momentum": {"float": [0, 1], "when": {"train.optimizer": "adam"}}}},
            "is never 'adam'",
        ),
        (
            {"space": {"train.epochs": {"int": [1, 2], "when": {"train.batch_size": 8}},
                       "train.batch_size": {"int": [8, 9], "when": {"train.epochs": 1}}}},
            "in a circle",
        ),
        ({"space": {"train.learning_rate": {"float": [0.1, 1]}}, "sampler": "grid"}, "a grid needs step or choice"),
        ({"space": {"train.epochs": {"int": [1, 2]}}, "objectives": ["parameters"]}, "objectives are metric and"),
        ({"space": {"train.epochs": {"int": [1, 2]}}, "objectives": ["metric", "seconds"], "sampler": "gp"}, "one"),
        ({"space": {"train.epochs": {"int": [1, 2]}}, "enqueue": [{"train.epochs": 7}]}, "none of its values"),
        ({"space": {"train.epochs": {"int": [1, 2]}}, "objectives": ["test"]}, "Input should be 'metric'"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_in_words(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TuneSpec.model_validate(section)
