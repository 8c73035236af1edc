"""How a model was chosen among the trials of a search: what `modelyard tune` leaves, and what the gate is told."""

from __future__ import annotations

from pydantic import Field

from components.core.strict import Strict


class StudySelection(Strict):
    """`.modelyard/tune/selections/<study>.json`.

    Args:
        metric: on the validation split, by which the trials were ranked.
        recipe: train fingerprint of the recipe that the search began with; it may have been released long before.
        trials: train fingerprints of the other trials, by number.
        finalists: train fingerprints of the trainings of `--apply`, over the seeds.
    """

    study: str
    pipeline: str
    metric: str
    recipe: str
    trials: dict[int, str]
    finalists: list[str] = Field(default_factory=list)

    def holds(self, train_fingerprint: str) -> bool:
        """Whether a training is one that the search chose among."""
        return train_fingerprint in {*self.trials.values(), *self.finalists}


class Chosen(Strict):
    """What the gate `selection` is told of a candidate that a search chose.

    Args:
        trials: number of trials of the study.
        scored: numbers of other trials whose package has been scored on the test split.
    """

    study: str
    metric: str
    trials: int
    scored: list[int]


class SelectionSpec(Strict):
    """`gates: {selection: ...}` of a pipeline that was tuned.

    Args:
        max_scored: other trials of the study that may have been scored on the test split.
    """

    max_scored: int = Field(default=0, ge=0)
