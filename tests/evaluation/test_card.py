"""The model card: the settings of the training as they were stated."""

from __future__ import annotations

from components.contracts.train_spec import TrainSpec
from components.evaluation.card import training_settings


def test_a_stated_zero_is_in_the_card() -> None:
    stated = {
        "weight_decay_by_name": {"bias": 0.0},
        "class_weights": {"3": 0.0, "4": 2.0},
        "augment": {"erase": 0.3},
    }
    spec = TrainSpec.model_validate(stated)
    lines = training_settings(spec)
    assert "- weight_decay_by_name: bias: 0.0" in lines
    assert "- class_weights: 3: 0.0, 4: 2.0" in lines
    assert "- augment: erase 0.3" in lines
    assert "- clip_norm: none" in lines
