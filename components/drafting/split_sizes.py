"""The sizes of the splits that a source will have, and the training that fits them."""

from __future__ import annotations

from typing import Any

from components.drafting.profile import Profile
from components.tasks.task import Task

MIN_VALIDATION = 50  # samples; the best epoch on fewer is chance


def training(task: Task, profile: Profile, split: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """`model:` and `train:` of a drafted pipeline: what the task drafts for the train split.

    The last epoch is kept, under a learning rate that falls to zero, where validation is too small to choose one.

    Args:
        split, settings: `split:` and `input:` of the drafted dataset.yaml.
    """
    train, validation = sizes(profile, split)
    drafted = task.draft_training(train, settings)
    keep = {"keep": "last"} if validation < MIN_VALIDATION else {}
    return {"model": task.draft_model(train, settings), "train": {**drafted, **keep}}


def sizes(profile: Profile, split: dict[str, Any]) -> tuple[int, int]:
    """Number of samples of train and of validation."""
    if split.get("by") == "time":
        return int(split["rows"]["train"]), int(split["rows"]["validation"])
    given = profile.splits
    pool = given.get("train", 0) + given.get("", 0)
    pool -= 0 if "test" in given else round(pool * split["test"])
    drawn = 0 if "validation" in given else round(pool * split["validation"])
    return pool - drawn, given.get("validation", 0) + drawn
