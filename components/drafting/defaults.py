"""First settings for a task and a small network for it, from what was seen. Good to begin with, not tuned."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from components.core.errors import UsageError
from components.drafting.profile import Profile

TRAIN_SHARE, VALIDATION_SHARE, TEST_SHARE = 0.7, 0.1, 0.2
LARGEST_SIDE = 128
LARGEST_PICTURE = 320  # of a detector
MODELS: dict[str, dict[str, Any]] = {
    "image-classification": {"family": "cnn", "name": "textbook", "depth": 3, "width": 32, "dropout": 0.25},
    "object-detection": {"family": "cnn", "name": "center"},
    "text-classification": {"family": "cnn", "name": "kim"},
    "token-classification": {"family": "rnn", "name": "gru", "width": 128, "bidirectional": True},
    "translation": {"family": "transformer", "name": "seq2seq-transformer"},
    "text-generation": {"family": "transformer", "name": "decoder", "depth": 3, "width": 192, "heads": 6},
    "forecasting": {"family": "linear", "name": "dlinear"},
    "series-classification": {"family": "rnn", "name": "gru", "width": 64},
    "sound-classification": {"family": "cnn", "name": "spectrogram-cnn"},
    "image-generation": {"family": "diffusion", "name": "unet"},
}
TRAIN: dict[str, Any] = {"optimizer": "adamw", "learning_rate": 1e-3, "seed": 0}
LARGEST_BATCH = 64
LARGEST_BATCHES = {"object-detection": 8, "text-generation": 32}
STEPS = 600  # of training: fewer leave a fresh network where it began
BATCHES = 15  # an epoch: little data comes in small batches, so that its steps are not too few
LEAST_BATCH, LEAST_EPOCHS, MOST_EPOCHS = 8, 5, 60


def of(task: str, seen: Profile, layout: dict[str, Any]) -> dict[str, Any]:
    """`input:` of dataset.yaml."""
    match task:
        case "image-classification" | "image-generation":
            return _picture(seen, LARGEST_SIDE, 1)
        case "object-detection":
            return _picture(seen, LARGEST_PICTURE, 16)
        case "text-classification" | "text-generation":
            return {"max_length": _power_of_two(1.3 * _high(seen, "words"), 16, 512)}
        case "token-classification":
            return {"max_length": _power_of_two(1.2 * _high(seen, "words"), 16, 512)}
        case "translation":
            words = max(_high(seen, "source_words"), _high(seen, "target_words"))
            return {"max_length": _power_of_two(2 * words, 16, 256)}
        case "forecasting":
            horizon = max(1, min(96, seen.samples // 100))
            return {"look_back": min(336, 4 * horizon), "horizon": horizon, "channels": layout["values"]}
        case "series-classification":
            steps = seen.numbers("steps")
            return {"channels": 1, "max_length": int(max(steps)), "fixed": min(steps) == max(steps)}
        case "sound-classification":
            rate = Counter(seen.numbers("rate")).most_common(1)[0][0]
            return {"rate": int(rate), "max_seconds": float(max(1, math.ceil(_high(seen, "seconds"))))}
        case _:
            return {}


def split(task: str, seen: Profile) -> dict[str, Any]:
    """`split:` of dataset.yaml."""
    if task != "forecasting":
        return {"test": TEST_SHARE, "validation": VALIDATION_SHARE, "seed": 0}
    train, validation = int(TRAIN_SHARE * seen.samples), int(VALIDATION_SHARE * seen.samples)
    rows = {"train": train, "validation": validation, "test": seen.samples - train - validation}
    return {"by": "time", "rows": rows}


def pipeline(name: str, task: str, samples: int) -> dict[str, Any]:
    """`pipelines/<name>.yaml`: as many epochs as make `STEPS`, within bounds.

    Raises:
        UsageError: a task of somebody's own, for which no network is known here.
    """
    if task not in MODELS:
        known = ", ".join(MODELS)
        raise UsageError("no network is known for this task", got=task, expected=known)
    trained = TRAIN_SHARE * samples
    fitting = 1 << math.floor(math.log2(max(1.0, trained / BATCHES)))
    batch_size = min(LARGEST_BATCHES.get(task, LARGEST_BATCH), max(LEAST_BATCH, fitting))
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(STEPS * batch_size / max(1.0, trained))))
    train = {"epochs": epochs, "batch_size": batch_size, **TRAIN}
    return {"name": name, "task": task, "dataset": name, "model": MODELS[task], "train": train}


def _picture(seen: Profile, largest: int, multiple: int) -> dict[str, Any]:
    """The usual size, made smaller until both sides are small enough; grey where every image is."""
    sizes = Counter(zip(seen.numbers("width"), seen.numbers("height"), strict=True))
    sizes.pop((0.0, 0.0), None)  # of files that are no images
    (width, height), often = sizes.most_common(1)[0]
    if often * 2 < seen.samples:  # all kinds: a square in the middle
        width = height = sorted(seen.numbers("width"))[seen.samples // 2]
    scale = min(1.0, largest / max(width, height))
    sides = [max(multiple, multiple * round(side * scale / multiple)) for side in (height, width)]
    channels = 1 if set(seen.numbers("channels")) <= {0.0, 1.0} else 3
    return {"height": int(sides[0]), "width": int(sides[1]), "channels": channels}


def _high(seen: Profile, column: str) -> float:
    """What one sample in twenty exceeds."""
    values = sorted(seen.numbers(column))
    return values[int(0.95 * (len(values) - 1))]


def _power_of_two(value: float, least: int, most: int) -> int:
    return min(most, max(least, 1 << math.ceil(math.log2(max(1.0, value)))))
