"""Defaults of a task: what `modelyard new` writes for it, and its small network of each family.

A task class inherits `TaskDefaults` and overrides what differs. The figures are good to begin with, not tuned.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

TRAIN_SHARE, VALIDATION_SHARE, TEST_SHARE = 0.7, 0.1, 0.2
STEPS = 600  # of a training: fewer leave a fresh network near its initial weights
BATCHES = 15  # an epoch at least, so that a small dataset gives enough steps
MIN_BATCH, MIN_EPOCHS, MAX_EPOCHS = 8, 5, 60

Layout = Mapping[str, Any]


class SourceProfile(Protocol):
    """What the defaults depend on: all samples of a source, described by the task."""

    samples: int

    def numbers(self, column: str) -> list[float]:
        """The finite numbers of a column of `Task.raw_columns`."""


class TaskDefaults:
    """Defaults that most tasks share.

    Args:
        starting_model: `model:` of a drafted pipeline.
        family_models: by family, the small network that stands for the family in `modelyard compare --families`;
            small enough for a CPU.
        max_batch_size: largest batch of a drafted pipeline.
    """

    starting_model: ClassVar[dict[str, Any]] = {}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {}
    max_batch_size: ClassVar[int] = 64

    def draft_layout(self, layout: Layout) -> dict[str, Any]:
        """The recognised layout, as this task reads the files."""
        return dict(layout)

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """`input:` of a drafted dataset.yaml."""
        return {}

    def draft_split(self, profile: SourceProfile) -> dict[str, Any]:
        """`split:` of a drafted dataset.yaml."""
        return {"test": TEST_SHARE, "validation": VALIDATION_SHARE, "seed": 0}

    def draft_training(self, samples: int) -> dict[str, Any]:
        """`train:` of a drafted pipeline: as many epochs as make `STEPS`, within bounds."""
        trained = TRAIN_SHARE * samples
        fitting = 1 << math.floor(math.log2(max(1.0, trained / BATCHES)))
        batch_size = min(self.max_batch_size, max(MIN_BATCH, fitting))
        epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(STEPS * batch_size / max(1.0, trained))))
        return {"epochs": epochs, "batch_size": batch_size, "optimizer": "adamw", "learning_rate": 1e-3, "seed": 0}


def image_settings(profile: SourceProfile, max_side: int, multiple: int) -> dict[str, Any]:
    """Height, width and channels: the usual size, scaled down to `max_side`; grey where every image is grey.

    Args:
        multiple: height and width are multiples of this.
    """
    sizes = Counter(zip(profile.numbers("width"), profile.numbers("height"), strict=True))
    sizes.pop((0.0, 0.0), None)  # of files that are no images
    (width, height), often = sizes.most_common(1)[0]
    if often * 2 < profile.samples:  # no usual size: a square of the median width
        width = height = sorted(profile.numbers("width"))[profile.samples // 2]
    scale = min(1.0, max_side / max(width, height))
    sides = [max(multiple, multiple * round(side * scale / multiple)) for side in (height, width)]
    channels = 1 if set(profile.numbers("channels")) <= {0.0, 1.0} else 3
    return {"height": int(sides[0]), "width": int(sides[1]), "channels": channels}


def high(profile: SourceProfile, column: str) -> float:
    """The 95th percentile of a column."""
    values = sorted(profile.numbers(column))
    return values[int(0.95 * (len(values) - 1))]


def power_of_two(value: float, least: int, most: int) -> int:
    """The next power of two from `value` on, within bounds."""
    return min(most, max(least, 1 << math.ceil(math.log2(max(1.0, value)))))
