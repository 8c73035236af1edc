"""Defaults of a task: what `modelyard new` writes for it, and its small network of each family.

A task class inherits `TaskDefaults` and overrides what differs. The figures are good to begin with, not tuned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

TRAIN_SHARE, VALIDATION_SHARE, TEST_SHARE = 0.7, 0.1, 0.2
STEPS = 600  # of a training: fewer leave a fresh network near its initial weights
BATCHES = 15  # an epoch at least, so that a small dataset gives enough steps
MIN_BATCH, MIN_EPOCHS, MAX_EPOCHS = 8, 5, 200

Layout = Mapping[str, Any]


class SourceProfile(Protocol):
    """What the defaults depend on: all samples of a source, described by the task.

    Args:
        texts: previews of some samples, spread over all, where previews are texts.
    """

    samples: int
    texts: list[str]

    def numbers(self, column: str) -> list[float]:
        """The finite numbers of a column of `Task.raw_columns`."""

    def values(self, column: str) -> Sequence[object]:
        """All values of a column that `Task.describe` gives; None where a sample has none."""


class TaskDefaults:
    """Defaults that most tasks share.

    Args:
        starting_model: `model:` of a drafted pipeline.
        family_models: by family, the small network that stands for the family in `modelyard compare --families`;
            small enough for a CPU.
        max_batch_size: largest batch of a drafted pipeline.
        describe_by_settings: `describe` takes the task's settings too, as its second argument.
        equal_samples_differ: samples of equal content may have different labels, as people of equal age and job have.
        item_field: the field of a raw sample that an item of a request is, if `describe` needs no other; "" for none.
        target_columns: those of `prepared_columns` that depend on the truth, which an input of a service has not.
    """

    starting_model: ClassVar[dict[str, Any]] = {}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {}
    max_batch_size: ClassVar[int] = 64
    describe_by_settings: ClassVar[bool] = False
    equal_samples_differ: ClassVar[bool] = False
    item_field: ClassVar[str] = ""
    target_columns: ClassVar[frozenset[str]] = frozenset({"class_number"})

    def draft_layout(self, layout: Layout) -> dict[str, Any]:
        """The recognised layout, as this task reads the files."""
        return dict(layout)

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """`input:` of a drafted dataset.yaml."""
        return {}

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
        """What a person should know of the drafted settings, one sentence each."""
        return []

    def draft_split(self, profile: SourceProfile) -> dict[str, Any]:
        """`split:` of a drafted dataset.yaml."""
        return {"test": TEST_SHARE, "validation": VALIDATION_SHARE, "seed": 0}

    def draft_model(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`model:` of a drafted pipeline.

        Args:
            samples: of the train split.
            settings: `input:` of the drafted dataset.yaml.
        """
        return dict(self.starting_model)

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`train:` of a drafted pipeline: as many epochs as make `STEPS`, within bounds.

        Args:
            samples, settings: as of `draft_model`.
        """
        fitting = 1 << math.floor(math.log2(max(1.0, samples / BATCHES)))
        batch_size = min(self.max_batch_size, max(MIN_BATCH, fitting))
        epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(STEPS * batch_size / max(1.0, samples))))
        return {"epochs": epochs, "batch_size": batch_size, "optimizer": "adamw", "learning_rate": 1e-3, "seed": 0}

    def draft_candidates(self, samples: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`model:` and `train:` of each model that `modelyard try` trains: the drafted one and one of each family.

        Args:
            samples, settings: as of `draft_model`.
        """
        drafted, train = self.draft_model(samples, settings), self.draft_training(samples, settings)
        families = [{"family": family, **model} for family, model in self.family_models.items()]
        others = [model for model in families if model["name"] != drafted["name"]]
        return [{"model": model, "train": train} for model in (drafted, *others)]


def high(profile: SourceProfile, column: str) -> float:
    """The 95th percentile of a column."""
    values = sorted(profile.numbers(column))
    return values[int(0.95 * (len(values) - 1))]


def power_of_two(value: float, least: int, most: int) -> int:
    """The next power of two from `value` on, within bounds."""
    return min(most, max(least, 1 << math.ceil(math.log2(max(1.0, value)))))
